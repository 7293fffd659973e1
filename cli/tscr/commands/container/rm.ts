/** tscr rm: removes containers with all they have written. */
import { Command } from 'commander';
import { UsageError } from '../../../../fs/index.js';
import { shown } from '../../../../fs/input/shown.js';
import { killContainer } from '../../../../runtime/container/lifecycle/kill.js';
import { Hold } from '../../../../runtime/container/records/container-lock.js';
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
    .description('remove containers')
    .argument('<container...>', 'names or IDs')
    .option('-f, --force', 'kill those that run')
    .action(run);
}

async function run(names: readonly string[], options: Options, command: Command): Promise<void> {
  const { root } = storeOf(command);
  clearLeftovers(root);
  const found = names.map((name) => findDamaged(root, name) ?? findRecord(root, name)); // all or none
  for (const record of found) {
    if ('problem' in record) {
      removeHeld(root, record.id, shortId(record.id));
      continue;
    }
    const status = statusOf(root, record);
    if (status.is === 'elsewhere') {
      throw new UsageError(`container "${record.name}" is on another node; remove it there`);
    }
    if (status.is === 'running') {
      if (options.force !== true)
        throw new UsageError(`container "${record.name}" runs; stop it, or use "rm -f"`);
      await killContainer(root, record, status.pid);
      if (record.autoRemove) {
        print(shown(record.name));
        continue;
      }
    }
    removeHeld(root, record.id, record.name);
  }
}

function removeHeld(root: string, id: string, name: string): void {
  const hold = Hold.take(root, id);
  if (hold === undefined) throw new UsageError(`container "${name}" is in use`);
  try {
    removeContainer(root, id);
  } finally {
    hold.release();
  }
  print(shown(name));
}
