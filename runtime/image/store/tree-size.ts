/** The disk usage of a directory, as by du(1); but hard links are counted each time. */
import { lstatSync } from 'node:fs';
import { AT, O } from '../../../fs/sys/constants.js';
import { Descent } from '../../../fs/sys/descent.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isDirectory, type Stat } from '../../../fs/sys/stat.js';
import { close, openat, statat } from '../../../fs/sys/syscalls.js';

/** Disk usage of the files below a directory in bytes; 0 if it does not exist. */
export function treeSize(path: string): number {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return 0;
  const fd = openat(AT.FDCWD, toBytes(path), O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  try {
    return sizeBelow(fd);
  } finally {
    close(fd);
  }
}

const BLOCK = 512;
/** Errors for a name that was removed or replaced. */
const GONE = [E.ENOENT, E.ENOTDIR, E.ELOOP];

/** Counting stops if directories are moved at the same time. */
function sizeBelow(fd: number): number {
  const descent = new Descent(fd);
  let bytes = 0;
  try {
    unless([E.ESTALE], () => {
      for (const { blocks } of everythingBelow(descent)) bytes += blocks * BLOCK;
    });
    return bytes;
  } finally {
    descent.close();
  }
}

function* everythingBelow(descent: Descent): Generator<Stat> {
  for (;;) {
    const entry = descent.next();
    if (entry === undefined) {
      if (descent.depth === 0) return;
      descent.leave();
      continue;
    }
    const stat = statat(descent.fd, entry.name);
    if (stat === undefined) continue;
    yield stat;
    if (isDirectory(stat.mode)) unless(GONE, () => descent.enter(entry.name));
  }
}
