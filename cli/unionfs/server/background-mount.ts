/**
 * The thread of a server in the background: parses its command line, mounts and serves.
 *
 * It sends the main thread the data for supervision (`Attached`), and a second message if the launcher has ended, so that
 * the mount must be unmounted.
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
