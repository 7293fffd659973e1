/**
 * The notifier thread: writes notifications in order. A write may block in the kernel.
 *
 * Errors are ignored: ENOENT means that the kernel does not know the node or name, ENODEV that it is unmounted.
 */
import { workerData } from 'node:worker_threads';
import { allocate, tryWrite } from '../sys/syscalls.js';
import { MessageRing } from './ring.js';

export interface NotifierData {
  readonly fd: number;
  readonly shared: SharedArrayBuffer;
}

/** The longest notification: headers, and a name or some hundred nodes. */
const MESSAGE_MAX = 4096;

const { fd, shared } = workerData as NotifierData;
const ring = new MessageRing(shared);
const memory = allocate(MESSAGE_MAX);
for (let message = ring.pop(); message !== undefined; message = ring.pop()) {
  memory.bytes.set(message);
  tryWrite(fd, memory, memory.bytes.readUInt32LE(0));
}
