/**
 * The init layer: what lies between the image and the container's own layer, and the three files that are the
 * container's and not the image's.
 *
 * Rules, as docker's: the layer holds empty mountpoints, so that the files can be mounted whatever the image lacks;
 * the files lie beside it and are mounted over them, so that what the container writes to them is in no layer. Compare
 * initlayer.Setup in moby/daemon/initlayer.
 */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AT } from '../../fs/sys/constants.js';
import { isDirectory, type Stat } from '../../fs/sys/stat.js';
import { fchmodat, fchownat, utimensat } from '../../fs/sys/syscalls.js';
import { statOf } from '../../fs/union/lookup.js';
import { toBytes } from '../../fs/union/stack.js';
import { viewOf, walk } from '../../fs/union/view.js';
import type { Mount } from './volumes.js';

/** The container's own files, by their names in the container. */
export const OWN_FILES = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'] as const;

/** Where every container has something mounted. */
const MOUNTPOINTS = ['dev', 'proc', 'sys'];
const PERMISSIONS = 0o7777;
const DIRECTORY_MODE = 0o755;
const FILE_MODE = 0o644;
const LOOPBACK_HOSTS = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
`;

/**
 * Makes the layer in an empty directory. What it covers of the image keeps owner, mode and times.
 * @param lowers the image's layers, the top one first
 */
export function makeInitLayer(directory: string, lowers: readonly string[]): void {
  const image = viewOf({ lowers });
  try {
    const inImage = (path: string): Stat | undefined => {
      const node = walk(
        image,
        path.split('/').filter((name) => name !== ''),
      );
      return node && statOf(image, node);
    };
    for (const name of MOUNTPOINTS) if (inImage(name) === undefined) makeDirectory(join(directory, name));
    makeFiles(directory, inImage('etc'));
    resemble(directory, inImage(''));
  } finally {
    image.close();
  }
}

/** An image whose /etc is no directory has its files elsewhere. */
function makeFiles(directory: string, etc: Stat | undefined): void {
  if (etc !== undefined && !isDirectory(etc.mode)) return;
  makeDirectory(join(directory, 'etc'));
  for (const path of OWN_FILES) write(join(directory, path), '');
  resemble(join(directory, 'etc'), etc);
}

function resemble(path: string, stat: Stat | undefined): void {
  if (stat === undefined) return;
  const name = toBytes(path);
  fchownat(AT.FDCWD, name, stat.uid, stat.gid);
  fchmodat(AT.FDCWD, name, stat.mode & PERMISSIONS);
  utimensat(AT.FDCWD, name, stat.atime, stat.mtime);
}

/** Writes the container's files into its directory; the mounts that show them in the container. */
export function makeOwnFiles(directory: string, hostname: string, network: 'host' | 'none'): Mount[] {
  const contents: Record<(typeof OWN_FILES)[number], string> = {
    '/etc/hosts': hosts(hostname, network),
    '/etc/hostname': `${hostname}\n`,
    '/etc/resolv.conf': network === 'host' ? hostFile('/etc/resolv.conf') : '',
  };
  return OWN_FILES.map((path) => {
    const source = join(directory, path.replace('/etc/', ''));
    write(source, contents[path]);
    return { destination: path, type: 'bind', source, options: ['bind', 'rprivate'] };
  });
}

/** The host's names are the container's on the host's network; its own name always is. */
function hosts(hostname: string, network: 'host' | 'none'): string {
  const known = network === 'host' ? hostFile('/etc/hosts') || LOOPBACK_HOSTS : LOOPBACK_HOSTS;
  return `${known.replace(/\n*$/, '\n')}127.0.1.1\t${hostname}\n`;
}

function hostFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function makeDirectory(path: string): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, DIRECTORY_MODE);
}

/** Whatever the caller's umask. */
function write(path: string, content: string): void {
  writeFileSync(path, content);
  chmodSync(path, FILE_MODE);
}
