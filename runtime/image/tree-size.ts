/** What a directory takes on the disk, as du(1) counts it, but for files that have several names: those count each time. */
import { lstatSync } from 'node:fs';
import { AT, O } from '../../fs/sys/constants.js';
import { isDirectory } from '../../fs/sys/stat.js';
import { close, openat, readDirectory, statat } from '../../fs/sys/syscalls.js';
import { toBytes } from '../../fs/union/stack.js';

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

function sizeBelow(fd: number): number {
  let bytes = 0;
  for (const { name } of readDirectory(fd)) {
    const stat = statat(fd, name);
    if (stat === undefined) continue;
    bytes += Number(stat.blocks) * BLOCK;
    if (!isDirectory(stat.mode)) continue;
    const below = openat(fd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      bytes += sizeBelow(below);
    } finally {
      close(below);
    }
  }
  return bytes;
}
