/** tscr save: images into one archive. */
import { Command, Option } from 'commander';
import { tarOf } from '../../../../runtime/image/archive/archive-tar.js';
import { dockerEntries, ociEntries, type Saved } from '../../../../runtime/image/archive/save.js';
import type { StoredImage } from '../../../../runtime/image/oci.js';
import {
  formatReference,
  isDigest,
  parseReference,
  withDefaultTag,
} from '../../../../runtime/image/reference.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { writeOutput } from '../../../terminal/output-file.js';
import { storeOf } from '../../storage.js';

const FORMATS = { 'docker-archive': dockerEntries, oci: ociEntries };

interface Options {
  readonly output?: string;
  readonly format: keyof typeof FORMATS;
}

export function saveCommand(): Command {
  return new Command('save')
    .description('save images to an archive that docker, podman and skopeo read')
    .argument('<image...>', 'names or IDs')
    .option('-o, --output <file>', 'the archive; standard output by default')
    .addOption(
      new Option('--format <format>', 'the form of the archive')
        .choices(Object.keys(FORMATS))
        .default('docker-archive'),
    )
    .action(run);
}

async function run(images: string[], { output, format }: Options, command: Command): Promise<void> {
  const store = storeOf(command);
  await store.hold(async () => {
    const saved = wanted(store, images);
    await writeOutput(output, () => tarOf(FORMATS[format](store, saved)));
  });
}

/** Each image once, with the names by which it was asked for. */
function wanted(store: Store, texts: readonly string[]): Saved[] {
  const saved = new Map<string, { image: StoredImage; names: string[] }>();
  for (const text of texts) {
    const image = store.find(text);
    const entry = saved.get(image.manifestDigest) ?? { image, names: [] };
    saved.set(image.manifestDigest, entry);
    const name = isDigest(text) ? undefined : image.names.find((full) => full === fullName(text));
    if (name !== undefined && !entry.names.includes(name)) entry.names.push(name);
  }
  return [...saved.values()];
}

/** The stored form of a name; undefined for an ID. */
function fullName(text: string): string | undefined {
  try {
    return formatReference(withDefaultTag(parseReference(text)));
  } catch {
    return undefined;
  }
}
