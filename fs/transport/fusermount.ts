/**
 * fusermount3(1): mounts and unmounts for users that may not call mount(2).
 *
 * Rule: it opens /dev/fuse, mounts it on a directory that the user may write to, and sends the descriptor through the
 * socket that _FUSE_COMMFD names. It decides what a user may do; its error messages are passed on. Compare
 * fuse_mount_fusermount in libfuse's lib/mount.c.
 */
import { spawnSync } from 'node:child_process';
import { MS } from '../sys/constants.js';
import { receiveDescriptor, socketpair } from '../sys/sockets.js';
import { close, setNonBlocking } from '../sys/syscalls.js';

const PROGRAM = 'fusermount3';
/** The descriptor of the program that is its end of the socket. */
const COMM_FD = 3;
/** Flags of mount(2) that every version takes from users. It adds nosuid and nodev itself. */
const FLAG_WORDS: readonly (readonly [flag: number, word: string])[] = [
  [MS.RDONLY, 'ro'],
  [MS.NOSUID, 'nosuid'],
  [MS.NODEV, 'nodev'],
  [MS.NOEXEC, 'noexec'],
  [MS.NOATIME, 'noatime'],
  [MS.SYNCHRONOUS, 'sync'],
  [MS.DIRSYNC, 'dirsync'],
];

/** Why the program failed: it is not installed, or its error message in one line. */
export type Refusal = { readonly missing: true } | { readonly said: string };

export interface HelperMount {
  readonly mountpoint: string;
  /** What /proc/mounts shows as source. */
  readonly source: string;
  /** The part of the type after "fuse.". */
  readonly subtype: string;
  readonly flags: number;
  readonly allowOther: boolean;
}

/** Paths are bytes, one per character, to `sys`, and text to Node. */
const toText = (bytes: string): string => Buffer.from(bytes, 'latin1').toString();

/** Mounts; the non-blocking descriptor of /dev/fuse, or why not. Paths are latin1 strings. */
export function helperMount(mount: HelperMount): number | Refusal {
  const [ours, theirs] = socketpair();
  try {
    const refusal = call(['-o', optionsOf(mount), '--', toText(mount.mountpoint)], theirs);
    if (refusal !== undefined) return refusal;
    const fd = receiveDescriptor(ours);
    if (fd === undefined) return { said: 'it did not send a file descriptor' };
    setNonBlocking(fd);
    return fd;
  } finally {
    close(ours);
    close(theirs);
  }
}

/** Unmounts; undefined when it is done, else why not. */
export function helperUnmount(mountpoint: string, lazy: boolean): Refusal | undefined {
  return call(['-u', ...(lazy ? ['-z'] : []), '--', toText(mountpoint)]);
}

function optionsOf({ source, mountpoint, subtype, flags, allowOther }: HelperMount): string {
  return [
    `fsname=${fitting(toText(source), toText(mountpoint)).replace(/[\\,]/g, '\\$&')}`,
    `subtype=${subtype}`,
    'default_permissions',
    ...(allowOther ? ['allow_other'] : []),
    ...FLAG_WORDS.filter(([flag]) => (flags & flag) !== 0).map(([, word]) => word),
  ].join(',');
}

/** A line of /proc/mounts beyond this is not found again by fusermount3 (getmntent(3) of glibc), which then unmounts nothing. */
const LINE_MAX = 4095;
/** What the line has beside source and mountpoint: type and options. */
const REST = 300;

/** As much of a mount's source as fits into its line of /proc/mounts. */
function fitting(source: string, mountpoint: string): string {
  const room = LINE_MAX - REST - lengthInMounts(mountpoint);
  let [length, kept] = [0, ''];
  for (const character of source) {
    length += lengthInMounts(character);
    if (length > room) break;
    kept += character;
  }
  return kept;
}

/** In bytes; some are written as four (mangle in fs/proc_namespace.c). */
const lengthInMounts = (text: string): number => Buffer.byteLength(text.replace(/[ \t\n\\#]/g, '\\ooo'));

function call(args: readonly string[], socket?: number): Refusal | undefined {
  const { status, stderr, error } = spawnSync(PROGRAM, args, {
    stdio: ['ignore', 'ignore', 'pipe', ...(socket === undefined ? [] : [socket])],
    env: { ...process.env, _FUSE_COMMFD: String(COMM_FD), LC_ALL: 'C' },
    encoding: 'utf8',
  });
  if (error !== undefined) return { missing: true };
  if (status === 0) return undefined;
  const [line = ''] = stderr.trim().split('\n').slice(-1);
  return { said: line.replace(/^\S*fusermount3?: /, '') || `exit code ${status}` };
}
