/**
 * A mount that one thread makes and serves; the main thread only supervises it (`supervise.ts`). It saves a program
 * that does nothing else from loading everything twice.
 */

import { close } from '../sys/syscalls.js';
import { attachFuse, openFuse } from './attach.js';
import type { MountOptions } from './options.js';
import { prepare, take } from './prepare.js';
import { attachedOf, serveData } from './serve-data.js';
import { serveUnion } from './serve-union.js';
import { settingsFor } from './settings.js';
import type { Attached } from './supervise.js';

/** What is told of the mount, on the thread that serves it. */
export interface Progress {
  /** It is there; from here on its descriptors are the supervisor's, who detaches it too if this fails. */
  attached(attached: Attached): void;
  /** It is usable. @param log takes what is complained of from here on */
  ready(log: number | undefined): void;
  /** Nothing of the layers is open or locked any more. */
  released(): void;
}

/** Mounts, and serves until the mount is over. Throws as `mount` does. */
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
    if (!isUsable) throw new Error('the mount ended before it was usable');
  } catch (error) {
    if (!isUsable) taken.undo();
    throw error;
  }
}
