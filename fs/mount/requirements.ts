/** What options ask of the host and of layers: checked before anything is changed. */
import { existsSync } from 'node:fs';
import { FUSE_SUPER_MAGIC } from '../sys/constants.js';
import { toBytes } from '../sys/path-bytes.js';
import { UsageError } from '../sys/refusal.js';
import { close, fstatfs, nameToHandle } from '../sys/syscalls.js';
import { openApart } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import type { MountOptions } from './options.js';

const SELINUX = '/sys/fs/selinux/enforce';

/** A mount with a context is the kernel's to refuse, in words that name no option. */
export function checkContext(context: string | undefined): void {
  if (context === undefined || existsSync(SELINUX)) return;
  throw new UsageError(`the option "-o context=${context}" needs SELinux, which this kernel does not run`);
}

/** Numbers last where file handles do (`handlesLast`), as fuse-overlayfs' "xino=on" demands. */
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
      `the layer "${path}" has no file handles, which "-o xino=on" asks for; leave it out`,
    );
  }
}
