/** The host that this process runs on. */
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  type Stats,
  statfsSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { AT, O } from '../../fs/sys/constants.js';
import { Errno, errnoName } from '../../fs/sys/errno.js';
import { toBytes } from '../../fs/sys/path-bytes.js';
import { ACTION, SeccompFilter } from '../../fs/sys/seccomp.js';
import { close, ficlone, getxattrat, openat, setxattrat } from '../../fs/sys/syscalls.js';
import type { DirectoryTrial, Host, HostFile, Outcome } from './host.js';
import { findProgram } from './programs.js';

const PERMISSION_BITS = 0o7777;
/** A child that takes longer hangs, e.g. on a dead network filesystem. */
const PATIENCE_MS = 5000;
const PRIVATE = 0o600;
/** More than filesystems store inside an inode, which reflinks cannot share. */
const SAMPLE_BYTES = 65_536;

/** The result of `ask`; undefined if it throws. */
function answer<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch {
    return undefined;
  }
}

export function realHost(): Host {
  const uid = process.geteuid?.() ?? 0;
  return {
    pid: process.pid,
    uid,
    gid: process.getegid?.() ?? 0,
    userName: answer(() => userInfo().username),
    home: answer(homedir),
    architecture: process.arch,
    nodeVersion: process.versions.node,
    environment: process.env,
    read: (path) => answer(() => readFileSync(path, 'latin1')),
    stat: (path) => answer(() => describe(path, statSync(path))),
    openRefusal,
    run,
    tryDirectory: (path) => answer(() => tryDirectory(path)),
    hasLibseccomp,
  };
}

function hasLibseccomp(): boolean {
  const filter = answer(() => new SeccompFilter(ACTION.ALLOW));
  filter?.release();
  return filter !== undefined;
}

function describe(path: string, stat: Stats): HostFile {
  return {
    kind: kindOf(stat),
    mode: stat.mode & PERMISSION_BITS,
    uid: stat.uid,
    ...(stat.isCharacterDevice() && { device: deviceNumber(stat.rdev) }),
    readable: mayAccess(path, constants.R_OK),
    writable: mayAccess(path, constants.W_OK),
    executable: mayAccess(path, constants.X_OK),
    hasCapabilities: stat.isFile() && hasXattr(path, 'security.capability'),
  };
}

/** makedev(3) undone. */
function deviceNumber(rdev: number): string {
  const major = (rdev >>> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00);
  return `${major}:${minor}`;
}

function kindOf(stat: Stats): HostFile['kind'] {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  return stat.isCharacterDevice() ? 'character device' : 'other';
}

const mayAccess = (path: string, mode: number): boolean =>
  answer(() => accessSync(path, mode) === undefined) === true;

function hasXattr(path: string, attribute: string): boolean {
  const fd = openat(AT.FDCWD, toBytes(path), O.PATH);
  try {
    return getxattrat(fd, '', attribute) !== undefined;
  } finally {
    close(fd);
  }
}

function openRefusal(path: string): string | undefined {
  try {
    close(openat(AT.FDCWD, toBytes(path), O.RDWR | O.NONBLOCK));
    return undefined;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return errnoName(error.code);
  }
}

function run(name: string, args: readonly string[], patienceMs = PATIENCE_MS): Outcome | undefined {
  const program = isAbsolute(name) ? name : findProgram(name);
  if (program === undefined) return undefined;
  const options = { timeout: patienceMs, killSignal: 'SIGKILL', encoding: 'buffer' } as const;
  const { status, stdout, stderr } = spawnSync(program, args, options);
  // without a process there are no streams, whatever the types say
  return {
    status: status ?? undefined,
    stdout: stdout ?? Buffer.alloc(0),
    stderr: stderr?.toString('latin1') ?? '',
  };
}

function tryDirectory(path: string): DirectoryTrial {
  const own = mkdtempSync(join(path, '.tscr-doctor-'));
  try {
    const { bavail, bsize } = statfsSync(own);
    return { ...tryFiles(own), free: bavail * bsize };
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

function tryFiles(directory: string): Omit<DirectoryTrial, 'free'> {
  const from = openSync(join(directory, 'from'), 'wx', PRIVATE);
  const to = openSync(join(directory, 'to'), 'wx', PRIVATE);
  try {
    writeSync(from, Buffer.alloc(SAMPLE_BYTES));
    const works = (attempt: () => void): boolean => answer(() => attempt() === undefined) === true;
    return {
      userXattrs: works(() => setxattrat(from, '', 'user.tscr-doctor', Buffer.from('1'))),
      trustedXattrs: works(() => setxattrat(from, '', 'trusted.tscr-doctor', Buffer.from('1'))),
      tmpfile: works(() => close(openat(AT.FDCWD, toBytes(directory), O.TMPFILE | O.RDWR, PRIVATE))),
      reflink: ficlone(to, from),
      symlinks: works(() => symlinkSync('from', join(directory, 'link'))),
    };
  } finally {
    closeSync(from);
    closeSync(to);
  }
}
