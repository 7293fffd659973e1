/**
 * The init layer, between the image and the container's own layer, and the three files of each container.
 *
 * Rules, as docker's: the layer contains empty mountpoints, so that the files can be mounted even if the image lacks them;
 * the files are stored beside the layer and bind mounted, so that changes to them are in no layer. Compare
 * initlayer.Setup in moby/daemon/initlayer.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { viewOf } from '../../../fs/index.js';
import {
  DirectoryNode,
  layerOf,
  locate,
  type Node,
  recordedOf,
  statOf,
  type Union,
  walk,
} from '../../../fs/offline.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isDirectory, isRegular, type Stat } from '../../../fs/sys/stat.js';
import {
  close,
  fchmodat,
  fchownat,
  getxattrat,
  openat,
  pread,
  setxattrat,
  utimensat,
} from '../../../fs/sys/syscalls.js';
import { textOf } from '../../host/text-of.js';
import { USER_FILE_MAX, type UserFiles } from '../spec/users.js';
import type { Mount } from '../spec/volumes.js';

/** The container's own files, by their names in the container. */
export const OWN_FILES = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'] as const;

/** Mountpoints that every container needs. */
const MOUNTPOINTS = ['dev', 'proc', 'sys'];
const PERMISSIONS = 0o7777;
const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;
const LOOPBACK_HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
`;

/**
 * Creates the layer in an empty directory. Directories of the image that it covers keep their owner, mode and times.
 * @param lowers the image's layers, the top one first
 * @param changeUsers returns the content of /etc/passwd and /etc/group, given the image's
 */
export function makeInitLayer(
  directory: string,
  upper: string,
  lowers: readonly string[],
  changeUsers: (files: UserFiles) => UserFiles = (files) => files,
): void {
  if (lowers.length === 0) makeDirectory(directory);
  const image = new Image(lowers.length === 0 ? [directory] : lowers); // no layers: an empty root
  try {
    for (const name of MOUNTPOINTS) if (image.find(name) === undefined) makeDirectory(join(directory, name));
    if (image.find('etc')?.isDirectory !== false) makeFiles(directory, image, changeUsers);
    image.resemble(directory, '', true);
    image.resemble(upper, '', false);
  } finally {
    image.close();
  }
}

/** Creates mountpoints of the files; none if /etc of the image is not a directory. */
function makeFiles(directory: string, image: Image, changeUsers: (files: UserFiles) => UserFiles): void {
  makeDirectory(join(directory, 'etc'));
  for (const path of OWN_FILES) write(join(directory, path), '');
  const [passwd, group] = ['etc/passwd', 'etc/group'].map((path) => image.content(path));
  const users = changeUsers({ passwd: passwd ?? '', group: group ?? '' });
  for (const [path, before, after] of [
    ['etc/passwd', passwd, users.passwd],
    ['etc/group', group, users.group],
  ] as const) {
    if (before === undefined || after === before) continue;
    write(join(directory, path), after);
    image.resemble(join(directory, path), path, true);
  }
  image.resemble(join(directory, 'etc'), 'etc', true);
}

/** Files of the image with their owners. */
class Image {
  readonly #view: Union;

  constructor(lowers: readonly string[]) {
    this.#view = viewOf({ lowers });
  }

  close(): void {
    this.#view.close();
  }

  find(
    path: string,
  ): { readonly node: Node; readonly stat: Stat; readonly isDirectory: boolean } | undefined {
    const names = path.split('/').filter((name) => name !== '');
    const node = walk(this.#view, names);
    if (node === undefined) return undefined;
    const stat = statOf(this.#view, node);
    return { node, stat, isDirectory: isDirectory(stat.mode) };
  }

  /** Content of a regular file, one character per byte; empty if it is missing, undefined if it is not regular or too large. */
  content(path: string): string | undefined {
    const found = this.find(path);
    if (found === undefined) return '';
    const { node, stat } = found;
    if (node instanceof DirectoryNode || !isRegular(recordedOf(this.#view, node, stat).mode))
      return undefined;
    if (stat.size > USER_FILE_MAX) return undefined;
    const buffer = Buffer.alloc(Number(stat.size));
    return buffer.toString('latin1', 0, pread(this.#view.handles.reader(node), buffer, buffer.length, 0));
  }

  /**
   * Copies owner, mode and times of the image's file.
   * @param recordsToo also copy the recorded ones in xattrs (`fs/union/owners/id-mapping.ts`)
   */
  resemble(file: string, path: string, recordsToo: boolean): void {
    const found = this.find(path);
    if (found === undefined) return;
    const { node, stat } = found;
    const { override } = layerOf(node);
    const { dirfd, name } = locate(this.#view, node);
    const value = recordsToo && override !== undefined ? getxattrat(dirfd, name, override) : undefined;
    const fd = openat(AT.FDCWD, toBytes(file), O.PATH | O.NOFOLLOW);
    try {
      fchownat(fd, '', stat.uid, stat.gid);
      fchmodat(fd, '', stat.mode & PERMISSIONS);
      if (override !== undefined && value !== undefined) setxattrat(fd, '', override, value);
      utimensat(fd, '', stat.atime, stat.mtime);
    } finally {
      close(fd);
    }
  }
}

/** Writes the container's files into its directory. @returns their bind mounts */
export function makeOwnFiles(directory: string, hostname: string, network: 'host' | 'none'): Mount[] {
  const contents: Record<(typeof OWN_FILES)[number], string> = {
    '/etc/hosts': hosts(hostname, network),
    '/etc/hostname': `${hostname}\n`,
    '/etc/resolv.conf': network === 'host' ? textOf('/etc/resolv.conf') : '',
  };
  return OWN_FILES.map((path) => {
    const source = join(directory, path.replace('/etc/', ''));
    write(source, contents[path]);
    return { destination: path, type: 'bind', source, options: ['bind', 'rprivate'] };
  });
}

/** The content of /etc/hosts: the host's on the host's network, and always the container's own name. */
function hosts(hostname: string, network: 'host' | 'none'): string {
  const known = network === 'host' ? textOf('/etc/hosts') || LOOPBACK_HOSTS : LOOPBACK_HOSTS;
  return `${known.replace(/\n*$/, '\n')}127.0.1.1\t${hostname}\n`;
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, DIRECTORY_MODE);
}

/** Writes a file with a fixed mode, independent of the umask. @param content one character per byte */
function write(path: string, content: string): void {
  writeFileSync(path, content, 'latin1');
  chmodSync(path, FILE_MODE);
}
