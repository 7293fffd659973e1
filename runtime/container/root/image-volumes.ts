/**
 * The directories that an image declares as volumes (`Volumes` of config.md).
 *
 * Rules: they exist when the command starts, as docker's do; what is written there is in the container's own layer, like
 * everything else. Their paths are the image's and so hostile: "." and ".." mean nothing beyond the root, symbolic links
 * lead at most to the root itself. What cannot be a directory is left as it is, with a warning.
 */
import { posix } from 'node:path';
import { quoted } from '../../../fs/input/shown.js';
import { AT, O } from '../../../fs/sys/constants.js';
import { Errno } from '../../../fs/sys/errno.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { close, openat } from '../../../fs/sys/syscalls.js';
import type { ExecutionConfig } from '../../image/oci.js';
import { Failure } from '../init/failure.js';
import { makeDirectory } from '../init/in-root.js';

/** Makes those that are missing below a root. */
export function makeVolumes(
  root: string,
  { Volumes = {} }: ExecutionConfig,
  onWarning: (message: string) => void,
): void {
  const paths = Object.keys(Volumes);
  if (paths.length === 0) return;
  const fd = openat(AT.FDCWD, toBytes(root), O.PATH | O.DIRECTORY);
  try {
    for (const path of paths) makeVolume(fd, path, onWarning);
  } finally {
    close(fd);
  }
}

function makeVolume(root: number, path: string, onWarning: (message: string) => void): void {
  try {
    close(makeDirectory(root, toBytes(posix.resolve('/', path))));
  } catch (error) {
    if (!(error instanceof Errno || error instanceof Failure)) throw error;
    onWarning(`the image's volume ${quoted(path)} is no directory: ${error.message}`);
  }
}
