/**
 * Standard input, output and error, as the container gets them.
 *
 * Rules: the host's null device is replaced by the container's, so that no descriptor of the host's /dev is left. Pipes
 * and sockets are given to the user, who could not reopen them through /dev/stdout otherwise. Files and terminals of the
 * caller keep their owner. Compare with runc's reOpenDevNull and fixStdioPermissions.
 */
import { AT, O, S } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { close, dup2, fchownat, fstat, openat } from '../../../fs/sys/syscalls.js';
import type { UserSpec } from '../spec/runtime-spec.js';
import { Failure } from './failure.js';
import { isNullDevice } from './hidden.js';

const STREAMS = [0, 1, 2];

export function adoptStreams({ uid }: UserSpec): void {
  const device = openat(AT.FDCWD, '/dev/null', O.RDWR);
  if (!isNullDevice(device)) throw new Failure('"/dev/null" is not the null device');
  for (const fd of STREAMS) {
    const { mode, gid } = fstat(fd);
    const type = mode & S.IFMT;
    if (isNullDevice(fd)) dup2(device, fd);
    else if (type === S.IFIFO || type === S.IFSOCK)
      unless([E.EPERM, E.EINVAL], () => fchownat(fd, '', uid, gid));
  }
  close(device);
}
