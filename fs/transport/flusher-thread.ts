/** The flusher thread: runs fsync(2) in order, and writes the replies. */
import { workerData } from 'node:worker_threads';
import { SIZEOF } from '../protocol/abi.js';
import { Reply } from '../protocol/encode.js';
import { close, tryWrite } from '../sys/syscalls.js';
import { decodeFlush, type FlusherData, flushNow, STATE } from './flush-message.js';
import { MessageRing } from './ring.js';

const { fd, messages, state } = workerData as FlusherData;
const ring = new MessageRing(messages);
const life = new Int32Array(state);
const reply = new Reply(SIZEOF.fuse_out_header);

function become(stage: number): void {
  Atomics.store(life, 0, stage);
  Atomics.notify(life, 0);
}

become(STATE.RUNNING);
for (let message = ring.pop(); message !== undefined; message = ring.pop()) {
  const job = decodeFlush(message);
  const error = flushNow(job);
  close(job.fd);
  const length = reply.finish(job.uniqueLow, job.uniqueHigh, error);
  tryWrite(fd, reply.memory, length); // ENOENT: the caller was interrupted; ENODEV: it is unmounted
}
become(STATE.ENDED);
