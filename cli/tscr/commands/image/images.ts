/** tscr images: lists images. */
import { Command } from 'commander';
import type { StoredImage } from '../../../../runtime/image/oci.js';
import { familiar, familiarRepository, parseReference } from '../../../../runtime/image/reference.js';
import type { Store } from '../../../../runtime/image/store/store.js';
import { type LayerNode, layerTree, type Shares, sharesOf } from '../../../../runtime/image/store/usage.js';
import { ago, humanSize } from '../../../terminal/human.js';
import { print, printJson, table } from '../../../terminal/output.js';
import { render } from '../../../terminal/template.js';
import { shortDigest } from '../../../terminal/text.js';
import { warnDamagedImages } from '../../damage.js';
import { storeOf } from '../../storage.js';

interface Options {
  readonly tree?: true;
  readonly quiet?: true;
  readonly json?: true;
  readonly trunc: boolean;
  readonly digests?: true;
  readonly format?: string;
}

const NONE = '<none>';

/** One name of one image. */
interface Row {
  readonly Repository: string;
  readonly Tag: string;
  readonly Digest: string;
  readonly ID: string;
  readonly CreatedSince: string;
  readonly CreatedAt: string;
  readonly Size: string;
}

export function imagesCommand(): Command {
  return new Command('images')
    .description('list images')
    .argument('[name]', 'show only this repository, or repository and tag')
    .option('--tree', 'show the layers of the images as a tree, and which layers they share')
    .option('-q, --quiet', 'only display IDs')
    .option('--no-trunc', "don't truncate output")
    .option('--digests', 'show the digests of the manifests')
    .option('--json', 'print JSON')
    .option(
      '--format <template>',
      'format each line with a template, e.g. "{{.Repository}}:{{.Tag}} {{.ID}}"',
    )
    .action(run);
}

function run(name: string | undefined, options: Options, command: Command): void {
  const store = storeOf(command);
  const all = store.list();
  warnDamagedImages(store);
  const images = all.filter((image) => name === undefined || image.names.some((full) => matches(full, name)));
  if (options.tree === true) {
    if (options.json === true) printJson(treeJson(layerTree(store, images)));
    else printTree(store, images);
  } else if (options.json === true) printJson(imagesJson(store, images));
  else
    printRows(
      byAge(images).flatMap((image) => rowsOf(store, image, name, options.trunc)),
      options,
    );
}

/** The newest first. */
const byAge = (images: readonly StoredImage[]): StoredImage[] =>
  [...images].sort((a, b) => (b.config.created ?? '').localeCompare(a.config.created ?? ''));

/** Whether a stored name matches a typed repository or name. */
function matches(full: string, text: string): boolean {
  const [stored, typed] = [parseReference(full), parseReference(text)];
  if (familiarRepository(stored) !== familiarRepository(typed)) return false;
  return typed.tag === undefined || typed.tag === stored.tag;
}

function rowsOf(store: Store, image: StoredImage, name: string | undefined, trunc: boolean): Row[] {
  const { created = '' } = image.config;
  const common = {
    Digest: image.manifestDigest,
    ID: trunc ? shortDigest(image.id) : image.id,
    CreatedSince: ago(created),
    CreatedAt: created,
    Size: humanSize(store.sizeOf(image)),
  };
  const shown = image.names.filter((full) => name === undefined || matches(full, name));
  if (shown.length === 0) return [{ Repository: NONE, Tag: NONE, ...common }];
  return shown.map((full) => {
    const reference = parseReference(full);
    return { Repository: familiarRepository(reference), Tag: reference.tag ?? NONE, ...common };
  });
}

function printRows(rows: readonly Row[], { quiet, format, digests }: Options): void {
  if (quiet === true) for (const id of new Set(rows.map(({ ID }) => ID))) print(id);
  else if (format !== undefined) for (const row of rows) print(render(format, row));
  else {
    const digest = (text: string): string[] => (digests === true ? [text] : []);
    const cells = rows.map((row) => [
      row.Repository,
      row.Tag,
      ...digest(row.Digest),
      row.ID,
      row.CreatedSince,
      row.Size,
    ]);
    print(table(['REPOSITORY', 'TAG', ...digest('DIGEST'), 'IMAGE ID', 'CREATED', 'SIZE'], cells));
  }
}

function imagesJson(store: Store, images: readonly StoredImage[]): object[] {
  const shares = sharesOf(store, images);
  return byAge(images).map((image) => ({
    Id: image.id,
    Digest: image.manifestDigest,
    RepoTags: image.names.map(familiar),
    Created: image.config.created ?? '',
    Size: store.sizeOf(image),
    SharedSize: shares.get(image.id)?.shared ?? 0,
    UniqueSize: shares.get(image.id)?.unique ?? 0,
    Layers: image.config.rootfs.diff_ids,
  }));
}

// --- tree

function treeJson(nodes: readonly LayerNode[]): object[] {
  return nodes.map(({ diffId, size, images, children }) => ({
    Layer: diffId,
    Size: size,
    Images: images.map(({ id, names }) => ({ Id: id, RepoTags: names.map(familiar) })),
    Children: treeJson(children),
  }));
}

function printTree(store: Store, images: readonly StoredImage[]): void {
  const shares = sharesOf(store, images);
  for (const node of layerTree(store, images)) {
    print(lineOf(node));
    printBelow(node, '', shares);
  }
}

const lineOf = ({ diffId, size }: LayerNode): string => `layer ${shortDigest(diffId)}  ${humanSize(size)}`;

/** Prints the images with this top layer, then the layers above it. */
function printBelow(node: LayerNode, indent: string, shares: ReadonlyMap<string, Shares>): void {
  const count = node.images.length + node.children.length;
  const branch = (at: number): string => (at === count - 1 ? '└─ ' : '├─ ');
  for (const [at, image] of node.images.entries()) {
    print(`${indent}${branch(at)}${imageLine(image, shares.get(image.id))}`);
  }
  for (const [at, child] of node.children.entries()) {
    const place = node.images.length + at;
    print(`${indent}${branch(place)}${lineOf(child)}`);
    printBelow(child, indent + (place === count - 1 ? '   ' : '│  '), shares);
  }
}

function imageLine(
  { id, names }: StoredImage,
  { shared, unique }: Shares = { shared: 0, unique: 0 },
): string {
  const name = names.length === 0 ? NONE : names.map(familiar).join(', ');
  const sizes = `${humanSize(shared + unique)} (shared ${humanSize(shared)}, unique ${humanSize(unique)})`;
  return `${name}  ${shortDigest(id)}  ${sizes}`;
}
