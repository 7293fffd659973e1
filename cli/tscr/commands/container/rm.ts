/** tscr rm: removes containers with their files. */
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { shown } from '../../../../fs/input/shown.js';
import { killContainer } from '../../../../runtime/container/lifecycle/kill.js';
import { ContainerLock } from '../../../../runtime/container/records/container-lock.js';
import {
  clearLeftovers,
  findDamaged,
  findRecord,
  removeContainer,
  shortId,
  statusOf,
} from '../../../../runtime/container/records/containers.js';
import { print } from '../../../terminal/output.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly force?: true;
}

export function rmCommand(): Command {
  return new Command('rm')
    .description('remove one or more containers')
    .argument('<container...>', 'names or IDs')
    .option('-f, --force', 'force the removal of a running container (uses SIGKILL)')
    .action(run);
}

async function run(names: readonly string[], options: Options, command: Command): Promise<void> {
  const { root } = storeOf(command);
  clearLeftovers(root);
  const found = names.map((name) => findDamaged(root, name) ?? findRecord(root, name)); // all or none
  for (const record of found) {
    if ('problem' in record) {
      removeLocked(root, record.id, shortId(record.id));
      continue;
    }
    const status = statusOf(root, record);
    if (status.is === 'elsewhere') {
      throw new UsageError(`container "${record.name}" is on another node; remove it there`);
    }
    if (status.is === 'running') {
      if (options.force !== true)
        throw new UsageError(`container "${record.name}" is running; stop it, or use "tscr rm -f"`);
      await killContainer(root, record, status.pid);
      if (record.autoRemove) {
        print(shown(record.name));
        continue;
      }
    }
    removeLocked(root, record.id, record.name);
  }
}

function removeLocked(root: string, id: string, name: string): void {
  const lock = ContainerLock.take(root, id);
  if (lock === undefined) throw new UsageError(`container "${name}" is in use by another command; try again`);
  try {
    removeContainer(root, id);
  } finally {
    lock.release();
  }
  print(shown(name));
}
