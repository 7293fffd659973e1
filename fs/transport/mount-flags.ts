/** Mount options that are flags of mount(2), as in mount(8). */
import { MS } from '../sys/constants.js';

export const MOUNT_FLAGS: Readonly<Record<string, number>> = {
  ro: MS.RDONLY,
  nosuid: MS.NOSUID,
  nodev: MS.NODEV,
  noexec: MS.NOEXEC,
  noatime: MS.NOATIME,
  nodiratime: MS.NODIRATIME,
  relatime: MS.RELATIME,
  sync: MS.SYNCHRONOUS,
  dirsync: MS.DIRSYNC,
};
