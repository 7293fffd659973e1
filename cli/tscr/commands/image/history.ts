/** tscr history: prints the build steps of an image with their sizes. */
import { Command } from 'commander';
import { historyOf, type Step } from '../../../../runtime/image/inspect/history.js';
import { ago, humanSize } from '../../../terminal/human.js';
import { print, printJson, table } from '../../../terminal/output.js';
import { render } from '../../../terminal/template.js';
import { shortDigest, truncate } from '../../../terminal/text.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly trunc: boolean;
  readonly json?: true;
  readonly quiet?: true;
  readonly format?: string;
}

const CREATED_BY_LENGTH = 45;
const MISSING = '<missing>';

export function historyCommand(): Command {
  return new Command('history')
    .description(
      'show the history of an image: its build steps with the size of their layers, the latest first',
    )
    .argument('<image>', 'name or ID')
    .option('--no-trunc', "don't truncate output")
    .option('-q, --quiet', 'only display IDs')
    .option('--json', 'print JSON')
    .option('--format <template>', 'format each step with a template, e.g. "{{.Size}} {{.CreatedBy}}"')
    .action(run);
}

function run(text: string, { trunc, json, quiet, format }: Options, command: Command): void {
  const store = storeOf(command);
  const steps = historyOf(store, store.find(text));
  const rows = steps.map((step) => describe(step, trunc));
  if (json === true) printJson(steps);
  else if (quiet === true) for (const { ID } of rows) print(ID);
  else if (format !== undefined) for (const row of rows) print(render(format, row));
  else {
    const cells = rows.map((row) => [row.ID, row.CreatedSince, row.CreatedBy, row.Size, row.Comment]);
    print(table(['IMAGE', 'CREATED', 'CREATED BY', 'SIZE', 'COMMENT'], cells));
  }
}

function describe({ id, created, createdBy, size, comment }: Step, trunc: boolean) {
  return {
    ID: id === undefined ? MISSING : trunc ? shortDigest(id) : id,
    CreatedSince: ago(created),
    CreatedAt: created ?? '',
    CreatedBy: trunc ? truncate(createdBy, CREATED_BY_LENGTH) : createdBy,
    Size: humanSize(size),
    Comment: comment,
  };
}
