/** Ending a running container from outside: its first process is killed, and with it all others (pid_namespaces(7)). */
import { setTimeout } from 'node:timers/promises';
import { UsageError } from '../../fs/index.js';
import { Hold } from './hold.js';
import type { ContainerRecord } from './record.js';

const PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Kills a container and waits until its supervisor has recorded its end. Throws `UsageError` if that takes too long. */
export async function killContainer(root: string, { id, name }: ContainerRecord, pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const hold = Hold.take(root, id);
    if (hold !== undefined) {
      hold.release();
      return;
    }
    if (performance.now() > deadline) throw new UsageError(`container "${name}" does not end`);
    await setTimeout(POLL_MS);
  }
}
