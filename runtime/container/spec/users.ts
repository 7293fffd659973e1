/**
 * The user of the container's process: `-u` or the image's User, looked up in the image's passwd and group files.
 *
 * Rules, as docker's: a name must be in the files, an id need not be; without a group, the user gets its own group and
 * those that list it; with a group, only that. The files come from the image: malformed lines are skipped.
 * Compare user.GetExecUser in moby/sys/user, passwd(5), group(5).
 */
import { UsageError } from '../../../fs/index.js';
import { quoted } from '../../../fs/input/shown.js';
import { AT, O, RESOLVE } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { openat2 } from '../../../fs/sys/mount-api.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isRegular } from '../../../fs/sys/stat.js';
import { close, fstat, openat, pread } from '../../../fs/sys/syscalls.js';

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Home directory. */
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** Contents of the image's files; empty if a file is missing. */
export interface UserFiles {
  readonly passwd: string;
  readonly group: string;
}

/** Largest id: (uid_t) -1 means "unchanged" to the kernel. */
const MAX_ID = 2 ** 32 - 2;
const NO_HOME = '/';

/**
 * @param text "", "USER", "USER:GROUP" or ":GROUP", each a name or an id
 * @param additional groups to add (--group-add), names or ids
 */
export function resolveUser(
  text: string,
  files: UserFiles,
  additional: readonly string[] = [],
): ContainerUser {
  const [userText = '', groupText = '', ...more] = text.split(':');
  if (more.length > 0)
    throw new UsageError(`invalid user ${quoted(text)}: use USER or USER:GROUP, names or ids`);
  const groups = entriesOf(files.group).flatMap(groupEntry);
  const user = findUser(userText === '' ? '0' : userText, files);
  const primary = groupText === '' ? user.gid : findGroup(groupText, groups);
  const listed = groupText === '' ? groups.filter(({ members }) => members.includes(user.name)) : [];
  const extra = additional.map((name) => findGroup(name, groups));
  const all = [primary, ...listed.map(({ gid }) => gid), ...extra];
  return { uid: user.uid, gid: primary, groups: [...new Set(all)], home: user.home };
}

function findUser(text: string, files: UserFiles): PasswdEntry {
  const users = entriesOf(files.passwd).flatMap(passwdEntry);
  const id = idOf(text);
  const found = users.find(({ name }) => name === text) ?? users.find(({ uid }) => uid === id);
  if (found !== undefined) return found;
  if (id === undefined) throw new UsageError(`user ${quoted(text)} is not in the image's /etc/passwd`);
  return { name: '', uid: id, gid: 0, home: NO_HOME };
}

function findGroup(text: string, groups: readonly GroupEntry[]): number {
  const id = idOf(text);
  const gid = groups.find(({ name }) => name === text)?.gid ?? id;
  if (gid === undefined) throw new UsageError(`group ${quoted(text)} is not in the image's /etc/group`);
  return gid;
}

const entriesOf = (file: string): string[][] => file.split('\n').map((line) => line.split(':'));

function passwdEntry([name = '', , uidText = '', gidText = '', , home = '']: string[]): PasswdEntry[] {
  const [uid, gid] = [idOf(uidText), idOf(gidText)];
  return name === '' || uid === undefined || gid === undefined
    ? []
    : [{ name, uid, gid, home: home === '' ? NO_HOME : home }];
}

function groupEntry([name = '', , gidText = '', members = '']: string[]): GroupEntry[] {
  const gid = idOf(gidText);
  return name === '' || gid === undefined
    ? []
    : [{ name, gid, members: members.split(',').filter((member) => member !== '') }];
}

function idOf(text: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

/** Bytes; larger files are refused. */
export const USER_FILE_MAX = 16 * 1024 * 1024;

/** Reads the image's files, following symlinks within its root only. */
export function readUserFiles(root: string): UserFiles {
  return { passwd: readInside(root, 'etc/passwd'), group: readInside(root, 'etc/group') };
}

function readInside(root: string, path: string): string {
  const directory = openat(AT.FDCWD, toBytes(root), O.PATH | O.DIRECTORY);
  try {
    const fd = unless([E.ENOENT, E.ENOTDIR, E.ELOOP], () =>
      openat2(directory, path, O.RDONLY | O.NONBLOCK, RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS),
    );
    return fd === undefined ? '' : contentOf(fd, `/${path}`);
  } finally {
    close(directory);
  }
}

function contentOf(fd: number, path: string): string {
  try {
    const stat = fstat(fd);
    if (!isRegular(stat.mode)) throw new UsageError(`the image's "${path}" is not a file`);
    if (Number(stat.size) > USER_FILE_MAX) throw new UsageError(`the image's "${path}" is too large`);
    const buffer = Buffer.alloc(Number(stat.size));
    return buffer.toString('utf8', 0, pread(fd, buffer, buffer.length, 0));
  } finally {
    close(fd);
  }
}
