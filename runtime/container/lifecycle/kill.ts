/** Kills a running container: when its first process ends, the kernel kills all others (pid_namespaces(7)). */
import { setTimeout } from 'node:timers/promises';
import { UsageError } from '../../../fs/index.js';
import { ContainerLock, lockOwnerOf } from '../records/container-lock.js';
import type { ContainerRecord } from '../records/record.js';

const PATIENCE_MS = 10_000;
const POLL_MS = 20;

/** Kills a container and waits until its supervisor has recorded the exit. Throws `UsageError` after PATIENCE_MS. */
export async function killContainer(root: string, { id, name }: ContainerRecord, pid: number): Promise<void> {
  kill(pid, lockOwnerOf(id)?.supervisor ?? pid);
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const lock = ContainerLock.take(root, id);
    if (lock !== undefined) {
      lock.release();
      return;
    }
    if (performance.now() > deadline)
      throw new UsageError(`container "${name}" did not exit within ${PATIENCE_MS / 1000} s`);
    await setTimeout(POLL_MS);
  }
}

/** The kernel may refuse a signal to a process of another user namespace; killing the supervisor ends it too. */
function kill(pid: number, supervisor: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EPERM' && supervisor !== pid) kill(supervisor, supervisor);
    else if (code !== 'ESRCH') throw error;
  }
}
