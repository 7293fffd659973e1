/**
 * Detaches a server in the background from its launcher: from its terminal and descriptors at the start, and from its
 * standard error, with a last line, when the mount is usable. Later messages go to the log file in the work directory.
 */
import { readdirSync, readFileSync, readlinkSync, writeSync } from 'node:fs';
import { AT, O } from '../../../fs/sys/constants.js';
import { setsid } from '../../../fs/sys/process.js';
import { close, dup2, openat } from '../../../fs/sys/syscalls.js';
import { READY } from '../background.js';

const STDERR = 2;

/** @param launcher pid of the process that waits for the server */
export function detachFrom(launcher: number): void {
  setsid();
  closeInherited(launcher);
}

/** Reports that the mount is usable. Throws if the launcher has ended. @param log the file for standard error from now on */
export function announce(log = openNull()): void {
  writeSync(STDERR, `${READY}\n`);
  redirectErrors(log);
}

/** Closes the log, so that the filesystem of the work directory is not in use. */
export const endLog = (): void => redirectErrors(openNull());

const openNull = (): number => openat(AT.FDCWD, '/dev/null', O.WRONLY);

function redirectErrors(fd: number): void {
  dup2(fd, STDERR);
  close(fd);
}

/** Closes descriptors that were inherited from the caller, except the standard streams. */
function closeInherited(launcher: number): void {
  for (const fd of readdirSync(`/proc/${launcher}/fd`).map(Number)) {
    if (fd > STDERR && isInherited(fd, launcher)) close(fd);
  }
}

/**
 * Whether a descriptor was inherited: it is not close-on-exec in the launcher, and the same file is open here. The flag in
 * this process is not used, because Node sets it at startup (uv_disable_stdio_inheritance).
 */
function isInherited(fd: number, launcher: number): boolean {
  try {
    const information = readFileSync(`/proc/${launcher}/fdinfo/${fd}`, 'latin1'); // proc(5)
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(information)?.[1] ?? '', 8);
    if ((flags & O.CLOEXEC) !== 0) return false;
    return readlinkSync(`/proc/self/fd/${fd}`) === readlinkSync(`/proc/${launcher}/fd/${fd}`);
  } catch {
    return false; // not open, or closed in between
  }
}
