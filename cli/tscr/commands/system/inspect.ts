/** tscr inspect: prints details of containers and images, with docker's fields. */
import { Command, Option } from 'commander';
import { findRecord, searchRecord } from '../../../../runtime/container/records/containers.js';
import { type ContainerDetails, inspectContainer } from '../../../../runtime/container/records/inspect.js';
import { type ImageDetails, inspectImage } from '../../../../runtime/image/inspect/image-details.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { print, printJson } from '../../../terminal/output.js';
import { render } from '../../../terminal/template.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly format?: string;
  readonly type?: keyof typeof KINDS;
}

const KINDS = { container: ofContainer, image: ofImage };

export function inspectCommand(): Command {
  return new Command('inspect')
    .description('return detailed information on containers and images as JSON')
    .argument('<name...>', 'names or IDs; containers are searched before images')
    .option(
      '-f, --format <template>',
      'format the output with a template, e.g. "{{.RootFS.Layers}}" or "{{json .Config}}"',
    )
    .addOption(new Option('--type <type>', 'only search objects of this type').choices(Object.keys(KINDS)))
    .action(run);
}

function run(names: string[], { format, type }: Options, command: Command): void {
  const store = storeOf(command);
  const found = names.map((name) => (type === undefined ? ofAny : KINDS[type])(store, name));
  if (format === undefined) printJson(found);
  else for (const details of found) print(render(format, details));
}

function ofAny(store: Store, name: string): ContainerDetails | ImageDetails {
  const record = searchRecord(store.root, name);
  return record === undefined ? ofImage(store, name) : inspectContainer(store.root, record);
}

function ofContainer(store: Store, name: string): ContainerDetails {
  return inspectContainer(store.root, findRecord(store.root, name));
}

function ofImage(store: Store, name: string): ImageDetails {
  return inspectImage(store, store.find(name));
}
