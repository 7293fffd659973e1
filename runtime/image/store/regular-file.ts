/**
 * Files of a store, which may be another user's: reading them waits for nobody and follows no symlink.
 *
 * Rule: what is opened is a regular file or nothing (a FIFO would wait for its writer, a symlink would lead out).
 */
import {
  closeSync,
  constants,
  createReadStream,
  fstatSync,
  openSync,
  type ReadStream,
  readFileSync,
} from 'node:fs';

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/** Opens a file for reading. Throws the system's error, or one that says what else it is. */
export function openRegular(path: string): number {
  const fd = openFile(path);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new Error('is no regular file');
}

function openFile(path: string): number {
  try {
    return openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ELOOP') throw new Error('is a symlink');
    if (code === 'ENXIO') throw new Error('is no regular file'); // a socket
    if (code === 'ENOENT') throw error;
    throw new Error(`cannot be read: ${code}`);
  }
}

/** A whole small file. Throws as `openRegular`, and for what has more than `limit` bytes. */
export function readRegular(path: string, limit: number): Buffer {
  const fd = openRegular(path);
  try {
    const { size } = fstatSync(fd);
    if (size > limit) throw new Error(`has ${size} bytes; at most ${limit} are read`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** The same as a stream. */
export const streamRegular = (path: string): ReadStream => createReadStream(path, { fd: openRegular(path) });
