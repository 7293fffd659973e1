/** What a directory takes on the disk, as du(1) counts it, but for files that have several names: those count each time. */
import { lstatSync } from 'node:fs';
import { AT, O } from '../../../fs/sys/constants.js';
import { Descent } from '../../../fs/sys/descent.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { isDirectory, type Stat } from '../../../fs/sys/stat.js';
import { close, openat, statat } from '../../../fs/sys/syscalls.js';

/** Bytes that the files below a directory have on the disk; 0 if it is not there. */
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
/** What a name becomes when it is removed or replaced. */
const GONE = [E.ENOENT, E.ENOTDIR, E.ELOOP];

/** Who moves directories meanwhile ends the counting. */
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
