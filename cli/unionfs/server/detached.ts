/**
 * How a server in the background lets go of who asked for it: of his terminal and descriptors when it starts, of its
 * standard error with a last word when the mount is usable. What is logged from there on goes to work.
 */
import { readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { AT, O } from '../../../fs/sys/constants.js';
import { setsid } from '../../../fs/sys/process.js';
import { close, dup2, openat } from '../../../fs/sys/syscalls.js';
import { READY } from '../background.js';

const STDERR = 2;

/** @param launcher the process that waits for this one's word */
export function detachFrom(launcher: number): void {
  setsid();
  closeInherited(launcher);
}

/** The last word. Throws if nobody listens any more. @param log what standard error is from here on */
export function announce(log = openNull()): void {
  writeSync(STDERR, `${READY}\n`);
  redirectErrors(log);
}

/** Lets go of the log, and so of the filesystem of work. */
export const endLog = (): void => redirectErrors(openNull());

const openNull = (): number => openat(AT.FDCWD, '/dev/null', O.WRONLY);

function redirectErrors(fd: number): void {
  dup2(fd, STDERR);
  close(fd);
}

/** Closes what the caller had left open beside the standard streams: it is none of a server's business. */
function closeInherited(launcher: number): void {
  for (const fd of readdirSync(`/proc/${launcher}/fd`).map(Number)) {
    if (fd > STDERR && isInherited(fd, launcher)) close(fd);
  }
}

/**
 * Whether a descriptor came from the launcher: it keeps it over exec, and the same is open here. Node has set the flag
 * of the first ones by now (uv_disable_stdio_inheritance), so that it tells nothing here.
 */
function isInherited(fd: number, launcher: number): boolean {
  try {
    const information = readFileSync(`/proc/${launcher}/fdinfo/${fd}`, 'latin1'); // proc(5)
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(information)?.[1] ?? '', 8);
    if ((flags & O.CLOEXEC) !== 0) return false;
    return readlinkSync(`/proc/self/fd/${fd}`) === readlinkSync(`/proc/${launcher}/fd/${fd}`);
  } catch {
    return false; // not open here, or not there any more
  }
}
