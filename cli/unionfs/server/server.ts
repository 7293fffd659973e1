/**
 * The server of a mount in the background: server.js LAUNCHER NAME ARGUMENTS, with the pid of the launcher and the name
 * that it was called by.
 *
 * Rule: one thread, `background-mount.ts`, does all work. The main thread loads nothing until the mount exists, and then
 * only the code for unmounting.
 */
import '../../machine.js';
import { Worker } from 'node:worker_threads';
import { type Attached, exitOf, servingLimits } from '../../../fs/background.js';
import { report } from '../../../fs/sys/report.js';
import { words } from '../../../runtime/command/call.js';
import { endInTime, endOnSignals } from './end-on-signals.js';

const FAILURE = 1;

const workerData = words();
const thread = new Worker(new URL('./background-mount.js', import.meta.url), {
  workerData,
  resourceLimits: servingLimits(),
});
const served = exitOf(thread);
served.catch(fail);
thread.on('error', (error) => report(`unionfs: ${error.stack}`));
thread.once('message', (attached: Attached) => {
  const supervision = import('../../../fs/background.js').then(({ supervise }) =>
    supervise(attached, served),
  );
  const end = (): Promise<void> => supervision.then((mount) => mount.end());
  endOnSignals(end);
  thread.on('message', () => void endInTime(end).finally(fail));
  supervision.then(({ ended }) => ended).catch(fail);
});

function fail(): void {
  process.exitCode = FAILURE;
}
