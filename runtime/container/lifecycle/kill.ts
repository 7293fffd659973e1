/** Ending a running container from outside: its first process is killed, and with it all others (pid_namespaces(7)). */
import { setTimeout } from 'node:timers/promises';
import { UsageError } from '../../../fs/index.js';
import { Hold, holderOf } from '../records/container-lock.js';
import type { ContainerRecord } from '../records/record.js';

const PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Kills a container and waits until its supervisor has recorded its end. Throws `UsageError` if that takes too long. */
export async function killContainer(root: string, { id, name }: ContainerRecord, pid: number): Promise<void> {
  kill(pid, holderOf(id)?.supervisor ?? pid);
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

/** A process of another user namespace may be out of reach; its supervisor is not, and takes it along. */
function kill(pid: number, supervisor: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPERM' && supervisor !== pid) kill(supervisor, supervisor);
    else if (code !== 'ESRCH') throw error;
  }
}
