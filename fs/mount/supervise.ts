/**
 * Supervises a mount on the main thread while another thread serves it: waits for its end, and unmounts.
 *
 * Rule: no process may hang in a mount without a server. The device is closed when the serving thread has exited; if it
 * failed, the mount is detached.
 */
import { setTimeout } from 'node:timers/promises';
import { close, signalEventfd } from '../sys/syscalls.js';
import { detach } from '../transport/device.js';

/** How long processes can use a detached mount. */
export const DETACH_GRACE_MS = 1000;

/** A mount that is about to be served. */
export interface Attached {
  /** /dev/fuse; the supervisor closes it. */
  readonly fd: number;
  /** An eventfd that asks the serving thread to end; the supervisor closes it. */
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

/** @param served resolves when the serving thread has exited, and rejects if it failed */
export function supervise(attached: Attached, served: Promise<void>): Supervision {
  const { fd, stop, mountpoint } = attached;
  const ended = served
    .finally(() => {
      close(fd); // the last descriptor: processes in a detached mount get errors
      close(stop);
    })
    .catch((failure: unknown) => {
      detach(mountpoint, true); // it has no server any more
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
