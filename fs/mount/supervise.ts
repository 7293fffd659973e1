/**
 * What the main thread does for a mount that another thread serves: it waits for its end, and ends it.
 *
 * Rule: nobody stays inside a mount that is not served. The descriptor of the device is closed when the serving thread
 * has ended; if it failed, the mount is detached.
 */
import { setTimeout } from 'node:timers/promises';
import { close, signalEventfd } from '../sys/syscalls.js';
import { detach } from '../transport/device.js';

/** How long processes inside a detached mount may go on. */
export const DETACH_GRACE_MS = 1000;

/** A mount that is about to be served. */
export interface Attached {
  /** /dev/fuse; closed by who supervises. */
  readonly fd: number;
  /** An eventfd that asks the serving thread to end; closed likewise. */
  readonly stop: number;
  /** Its path, a character per byte. */
  readonly mountpoint: string;
}

export interface Supervision {
  /** Settles when the mount has ended. Rejects if the server failed. */
  readonly ended: Promise<void>;
  /** Ends the mount: at once if nobody uses it, else by detaching it and, after a grace, cutting off who is left. */
  end(): Promise<void>;
}

/** A mount that is served, whichever way. */
export interface Serving extends Supervision {
  /** Settles, before `ended`, when nothing of the layers is open or locked any more. Rejects if the server failed. */
  readonly released: Promise<void>;
}

/** @param served settles with the serving thread's end, and rejects if that failed */
export function supervise(attached: Attached, served: Promise<void>): Supervision {
  const { fd, stop, mountpoint } = attached;
  const ended = served
    .finally(() => {
      close(fd); // the last descriptor: whoever is still inside a detached mount is cut off
      close(stop);
    })
    .catch((failure: unknown) => {
      detach(mountpoint, true); // nobody serves it any more
      throw failure;
    });
  return { ended, end: () => end(attached, ended) };
}

async function end({ mountpoint, stop }: Attached, ended: Promise<void>): Promise<void> {
  if (!detach(mountpoint, false)) {
    detach(mountpoint, true);
    const over = ended.then(() => true);
    if (!(await Promise.race([over, setTimeout(DETACH_GRACE_MS, false, { ref: false })]))) {
      signalEventfd(stop);
    }
  }
  await ended;
}
