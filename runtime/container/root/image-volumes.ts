/**
 * The directories that an image declares as volumes (`Volumes` of config.md).
 *
 * Rules: they exist when the command starts, as docker's do; files written there are in the container's own layer, like
 * all others. Their paths come from the image and are not trusted: ".", ".." and symbolic links are resolved inside the
 * root. An existing entry that is not a directory is left unchanged, with a warning.
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

/** Creates the missing ones below a root. */
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
    onWarning(`ignoring the image's volume ${quoted(path)}, which is not a directory: ${error.message}`);
  }
}
