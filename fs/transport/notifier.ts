/**
 * The thread that writes notifications, one after the other. The kernel may make it wait.
 *
 * Errors are no news: ENOENT says that the kernel does not know the node or name, ENODEV that it is unmounted.
 */
import { workerData } from 'node:worker_threads';
import { tryWrite } from '../sys/syscalls.js';
import { NotifyRing } from './notify.js';

export interface NotifierData {
  readonly fd: number;
  readonly shared: SharedArrayBuffer;
}

const { fd, shared } = workerData as NotifierData;
const ring = new NotifyRing(shared);
for (let message = ring.pop(); message !== undefined; message = ring.pop()) {
  const length = new DataView(message.buffer).getUint32(0, true);
  tryWrite(fd, message, length);
}
