/**
 * The thread of a server in the background: reads its command line, mounts and serves.
 *
 * It tells the main thread what there is to supervise (`Attached`), and by a second message that nobody has waited for
 * the mount, which is to be ended.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { mountHere } from '../../../fs/background.js';
import { chdir, umask } from '../../../fs/sys/syscalls.js';
import { announce, detachFrom, endLog } from './detached.js';
import { carryOut } from './server-command.js';

const [launcher, name, ...words] = workerData as readonly string[];

void carryOut(name ?? '', words, async (options) => {
  detachFrom(Number(launcher));
  chdir('/'); // of the whole process, as is the mask
  umask(0);
  await mountHere(options, {
    attached: (mount) => parentPort?.postMessage(mount),
    ready: (log) => {
      try {
        announce(log);
      } catch (error) {
        parentPort?.postMessage(String(error));
      }
    },
    released: endLog,
  });
});
