/**
 * Mounts and serves on one thread, while the main thread only supervises (`supervise.ts`). A program that does nothing else
 * saves loading all modules twice.
 */

import { close } from '../sys/syscalls.js';
import { attachFuse, openFuse } from './attach.js';
import type { MountOptions } from './options.js';
import { prepare, take } from './prepare.js';
import { attachedOf, serveData } from './serve-data.js';
import { serveUnion } from './serve-union.js';
import { settingsFor } from './settings.js';
import type { Attached } from './supervise.js';

/** Events of the mount, on the thread that serves it. */
export interface Progress {
  /** It is attached; the supervisor takes over its descriptors, and detaches it on failure. */
  attached(attached: Attached): void;
  /** It is usable. @param log the file for messages from now on */
  ready(log: number | undefined): void;
  /** All layers are closed and unlocked. */
  released(): void;
}

/** Mounts, and serves until the filesystem is unmounted. Throws as `mount` does. */
export async function mountHere(options: MountOptions, progress: Progress): Promise<void> {
  const { stack, mountpoint } = prepare(options);
  const device = openFuse(mountpoint);
  const taken = await take(stack, options, () => close(device));
  let isUsable = false;
  try {
    const settings = settingsFor(options, stack);
    const attached = attachFuse(device, options, stack, mountpoint);
    const data = serveData(attached, settings, options, stack, taken.writable);
    progress.attached(attachedOf(data, mountpoint));
    serveUnion(data, (event) => {
      if (event === 'ready') {
        taken.record();
        isUsable = true;
        progress.ready(taken.openLog());
      } else {
        taken.unlock();
        progress.released();
      }
    });
    if (!isUsable) throw new Error('the filesystem was unmounted before it was usable');
  } catch (error) {
    if (!isUsable) taken.undo();
    throw error;
  }
}
