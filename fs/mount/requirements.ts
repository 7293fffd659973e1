/** Requirements of options on the host and the layers, checked before anything is changed. */
import { existsSync } from 'node:fs';
import { FUSE_SUPER_MAGIC } from '../sys/constants.js';
import { toBytes } from '../sys/path-bytes.js';
import { UsageError } from '../sys/refusal.js';
import { close, fstatfs, nameToHandle } from '../sys/syscalls.js';
import { openApart } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import type { MountOptions } from './options.js';

const SELINUX = '/sys/fs/selinux/enforce';

/** Checked here because the kernel's error would not name the option. */
export function checkContext(context: string | undefined): void {
  if (context === undefined || existsSync(SELINUX)) return;
  throw new UsageError(`option "-o context=${context}" needs SELinux, which is not enabled in this kernel`);
}

/** Inode numbers persist if file handles do (`handlesLast`), which "xino=on" requires as in fuse-overlayfs. */
export function checkInodes({ lowers, upper }: Stack, { lastingInodes }: MountOptions): void {
  if (lastingInodes !== true) return;
  for (const path of [...lowers, ...(upper === undefined ? [] : [upper])]) {
    const fd = openApart(toBytes(path));
    try {
      if (fstatfs(fd).type !== FUSE_SUPER_MAGIC && nameToHandle(fd, '') !== undefined) continue;
    } finally {
      close(fd);
    }
    throw new UsageError(
      `layer "${path}" is on a filesystem without file handles, which "-o xino=on" needs; remove this option`,
    );
  }
}
