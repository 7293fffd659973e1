/**
 * Protects the one way that images take: whatever the source and the sink are, bytes are what their descriptors promise,
 * each blob is read once, what the sink has is not read at all, and what is refused leaves nothing.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { DockerArchiveSource } from '../../runtime/image/archive/docker-source.js';
import { DirectoryFiles } from '../../runtime/image/files/directory-files.js';
import type { ImageFiles } from '../../runtime/image/files/image-files.js';
import { readArchive } from '../../runtime/image/files/tar-files.js';
import { LayoutSink } from '../../runtime/image/layout/layout-sink.js';
import { LayoutSource } from '../../runtime/image/layout/layout-source.js';
import type { Image } from '../../runtime/image/manifest.js';
import type { Descriptor, Digest } from '../../runtime/image/oci.js';
import type { Content, ImageSink } from '../../runtime/image/sink.js';
import type { Candidate, ImageSource } from '../../runtime/image/source.js';
import { Store } from '../../runtime/image/store/store.js';
import { StoreSource } from '../../runtime/image/store/store-source.js';
import type { Writer } from '../../runtime/image/store/writer.js';
import { copyImages } from '../../runtime/image/transfer/copy.js';
import { loadPath, loadStream } from '../../runtime/image/transfer/load.js';
import { digestOf } from '../../runtime/image/verify.js';
import { archive } from '../support/image/archive.js';
import { configOf, dockerArchive, LayoutArchive, named, TYPE } from '../support/image/documents.js';
import { useScratch } from '../support/image/scratch.js';
import { streamOf } from '../support/image/small-image.js';
import { run } from '../support/run.js';

const BASE = archive({ name: 'base', data: 'base' });
const TOP = archive({ name: 'top', data: 'top' });
const OTHER = archive({ name: 'other', data: 'other' });

/** A source in memory, which counts what it is asked for. */
class MemorySource implements ImageSource {
  readonly name = 'memory';
  readonly bytes = new Map<Digest, Buffer>();
  readonly candidates: Candidate[] = [];
  readonly asked: Digest[] = [];

  add(bytes: Buffer, mediaType: string): Descriptor {
    const digest = digestOf(bytes);
    this.bytes.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  image(layers: readonly Buffer[], names: readonly string[], more: object = {}): Descriptor {
    const config = this.add(Buffer.from(JSON.stringify(configOf(layers, {}, more as never))), TYPE.CONFIG);
    const document = {
      schemaVersion: 2,
      mediaType: TYPE.MANIFEST,
      config,
      layers: layers.map((layer) => this.add(layer, TYPE.LAYER)),
    };
    const manifest = this.add(Buffer.from(JSON.stringify(document)), TYPE.MANIFEST);
    for (const name of names) this.candidates.push({ what: name, names: [name], variants: [manifest] });
    if (names.length === 0) this.candidates.push({ what: manifest.digest, names, variants: [manifest] });
    return manifest;
  }

  async resolve(reference?: string): Promise<readonly Candidate[]> {
    return this.candidates.filter(({ what }) => reference === undefined || what === reference);
  }

  async manifest({ digest }: Descriptor): Promise<Buffer> {
    return this.bytes.get(digest) ?? assert.fail('no manifest');
  }

  async blob({ digest }: Descriptor): Promise<Readable> {
    this.asked.push(digest);
    const bytes = this.bytes.get(digest);
    return bytes === undefined ? Readable.from([], { objectMode: false }) : streamOf(bytes);
  }

  describe({ digest }: Descriptor): string {
    return `blob "${digest}" of memory`;
  }
}

/** A sink in memory that reads everything. */
class MemorySink implements ImageSink {
  readonly blobs = new Map<Digest, Buffer>();
  readonly images: { readonly image: Image; readonly names: readonly string[] }[] = [];

  has({ digest }: Descriptor): boolean {
    return this.blobs.has(digest);
  }

  async blob({ digest }: Descriptor, content: Content): Promise<void> {
    this.blobs.set(digest, await buffer(await content.open()));
  }

  async image(image: Image, names: readonly string[]): Promise<void> {
    const { config, layers } = image.manifest;
    for (const { digest } of [config, ...layers]) assert.isTrue(this.blobs.has(digest), 'blobs come first');
    this.images.push({ image, names });
  }
}

const failureOf = (attempt: Promise<unknown>): Promise<Error> =>
  attempt.then(
    () => assert.fail('it was taken'),
    (reason: unknown) => reason as Error,
  );

describe('copying images', () => {
  const scratch = useScratch();

  it('reads each layer once, whichever images have it, and not what the sink has', async () => {
    const [source, sink] = [new MemorySource(), new MemorySink()];
    source.image([BASE, TOP, BASE], ['a:1']);
    source.image([BASE, OTHER], ['b:1']);
    sink.blobs.set(digestOf(OTHER), OTHER);
    const copied = await copyImages(source, sink);
    assert.deepEqual(
      copied.map(({ names }) => names),
      [['a:1'], ['b:1']],
    );
    const asked = (layer: Buffer): number => source.asked.filter((one) => one === digestOf(layer)).length;
    assert.deepEqual([BASE, TOP, OTHER].map(asked), [1, 1, 0]);
    for (const layer of [BASE, TOP]) assert.isTrue(sink.blobs.get(digestOf(layer))?.equals(layer));
  });

  it('copies an image once, with all the names by which it was asked for', async () => {
    const [source, sink] = [new MemorySource(), new MemorySink()];
    source.image([BASE], ['a:1', 'a:2']);
    source.image([TOP], ['b:1', 'b:2']);
    const copied = await copyImages(source, sink, ['a:2', 'b:1', 'a:1', 'a:2']);
    assert.deepEqual(
      copied.map(({ names }) => names),
      [['a:2', 'a:1'], ['b:1']],
    );
    assert.deepEqual(
      sink.images.map(({ names }) => names),
      [['a:2', 'a:1'], ['b:1']],
    );
  });

  const LIES: readonly (readonly [what: string, lie: (bytes: Buffer) => Buffer, says: RegExp])[] = [
    [
      'one other byte',
      (bytes) => Buffer.from(bytes.map((byte, at) => (at === 0 ? byte ^ 1 : byte))),
      /has the digest/,
    ],
    ['one byte more', (bytes) => Buffer.concat([bytes, Buffer.from('x')]), /is longer than its \d+ bytes$/],
    ['one byte less', (bytes) => bytes.subarray(0, -1), /has \d+ bytes, not the expected \d+$/],
    ['no bytes', () => Buffer.alloc(0), /has 0 bytes, not the expected \d+$/],
  ];
  for (const part of ['manifest', 'configuration', 'layer'] as const) {
    for (const [what, lie, says] of LIES) {
      it(`refuses a ${part} with ${what}, by name, and the store is as it was`, async () => {
        const source = new MemorySource();
        const manifest = source.image([BASE], ['a:1']);
        const config = (
          JSON.parse(String(source.bytes.get(manifest.digest))) as { config: { digest: Digest } }
        ).config.digest;
        const digest = { manifest: manifest.digest, configuration: config, layer: digestOf(BASE) }[part];
        source.bytes.set(digest, lie(source.bytes.get(digest) as Buffer));
        const root = scratch.fresh('store');
        const store = Store.open(root);
        const error = await failureOf(store.write((writer) => copyImages(source, writer)));
        assert.instanceOf(error, UsageError, error.stack);
        assert.include(error.message, `blob "${digest}" of memory`);
        assert.match(error.message, says);
        assert.deepEqual(store.list(), []);
        for (const name of ['blobs/sha256', 'layers', 'tmp']) assert.isEmpty(readdirSync(join(root, name)));
      });
    }
  }

  it('a configuration that is too large is refused before it is read', async () => {
    const source = new MemorySource();
    source.image([BASE], ['a:1'], { author: 'x'.repeat(5_000_000) });
    const error = await failureOf(copyImages(source, new MemorySink()));
    assert.match(error.message, /^"sha256:\w+" has 5\d+ bytes; the limit is 4194304$/);
    assert.isEmpty(source.asked);
  });

  it('says what there is instead of an image', async () => {
    const source = new MemorySource();
    source.candidates.push({
      what: 'sbom:1',
      names: ['sbom:1'],
      variants: [source.add(Buffer.from('{}'), 'a/sbom')],
    });
    const error = await failureOf(copyImages(source, new MemorySink()));
    assert.equal(error.message, 'memory contains no image, only "sbom:1" is "a/sbom"');
    source.image([BASE], ['a:1']);
    const skipped: string[] = [];
    await copyImages(source, new MemorySink(), [], { onArtifact: (...told) => void skipped.push(...told) });
    assert.deepEqual(skipped, ['sbom:1', 'a/sbom']);
  });

  describe('from every source', () => {
    const NAME = 'docker.io/library/t:1';
    const layers = [BASE, TOP];
    const docker = (): Buffer => dockerArchive(layers, configOf(layers));
    const layout = (): Buffer => {
      const made = new LayoutArchive();
      return made.tar([made.image(layers, { more: named('t:1') })]);
    };
    const inTar =
      (bytes: () => Buffer) =>
      (writer: Writer): Promise<ImageFiles> =>
        readArchive(streamOf(bytes()), writer.blobs, undefined);
    const inDirectory =
      (bytes: () => Buffer) =>
      async (writer: Writer): Promise<ImageFiles> =>
        new DirectoryFiles(unpacked(bytes()), writer.blobs);
    const asDocker = (files: ImageFiles, { blobs }: Writer): ImageSource =>
      new DockerArchiveSource({ files, spool: blobs, manifestOf: () => undefined, maxLayerBytes: 1e9 });
    const asLayout = (files: ImageFiles): ImageSource => new LayoutSource(files, 'title');

    function unpacked(bytes: Buffer): string {
      const directory = scratch.fresh('unpacked');
      writeFileSync(`${directory}.tar`, bytes);
      run('tar', ['-xf', `${directory}.tar`, '-C', directory]);
      return directory;
    }

    const SOURCES: readonly (readonly [
      what: string,
      files: (writer: Writer) => Promise<ImageFiles>,
      source: (files: ImageFiles, writer: Writer) => ImageSource,
    ])[] = [
      ['a docker archive', inTar(docker), asDocker],
      ['a docker archive in a directory', inDirectory(docker), asDocker],
      ['an OCI layout in a tar', inTar(layout), asLayout],
      ['an OCI layout in a directory', inDirectory(layout), asLayout],
    ];

    async function assertGives(source: ImageSource): Promise<void> {
      const [all, one] = [new MemorySink(), new MemorySink()];
      await copyImages(source, all);
      await copyImages(source, one, ['t:1']);
      for (const { images, blobs } of [all, one]) {
        assert.deepEqual(
          images.map(({ names }) => names),
          [[NAME]],
        );
        assert.deepEqual(images[0]?.image.config.rootfs.diff_ids, layers.map(digestOf));
        for (const layer of layers) assert.isTrue(blobs.get(digestOf(layer))?.equals(layer));
      }
      const error = await failureOf(copyImages(source, one, ['t:2']));
      assert.instanceOf(error, UsageError);
      assert.match(error.message, /^no image "t:2"/);
    }

    for (const [what, files, sourceOf] of SOURCES) {
      it(`${what}: all of it, one by name, and none of another name`, async () => {
        await Store.open(scratch.fresh('store')).write(async (writer) =>
          assertGives(sourceOf(await files(writer), writer)),
        );
      });
    }

    it('the store: likewise, and what a layout has then is the source once more', async () => {
      const store = Store.open(scratch.fresh('store'));
      await loadStream(store, streamOf(docker()));
      await assertGives(new StoreSource(store));
      const sink = new LayoutSink();
      await copyImages(new StoreSource(store), sink);
      const bytes = await buffer(sink.tar());
      await store.write(async (writer) =>
        assertGives(new LayoutSource(await readArchive(streamOf(bytes), writer.blobs, undefined), '')),
      );
    });
  });

  it('a layer that the store has need not be in the directory', async () => {
    const store = Store.open(scratch.fresh('store'));
    const directory = scratch.fresh('layout');
    for (const [name, layers] of [
      ['a:1', [BASE]],
      ['b:1', [BASE, TOP]],
    ] as const) {
      const made = new LayoutArchive();
      rmSync(directory, { recursive: true });
      mkdirSync(directory);
      writeFileSync(`${directory}.tar`, made.tar([made.image(layers, { more: named(name) })]));
      run('tar', ['-xf', `${directory}.tar`, '-C', directory]);
      if (name === 'b:1') rmSync(join(directory, 'blobs/sha256', digestOf(BASE).slice('sha256:'.length)));
      await loadPath(store, directory);
    }
    assert.lengthOf(store.find('b:1').layers, 2);
  });

  it('a docker archive mends an image that the store has in another compression, without its blobs', async () => {
    const store = Store.open(scratch.fresh('store'));
    const made = new LayoutArchive();
    const config = configOf([BASE]);
    const layer = made.blob(gzipSync(BASE), `${TYPE.LAYER}+gzip`);
    const manifest = { layers: [layer] };
    await loadStream(
      store,
      streamOf(made.tar([made.image([BASE], { config, manifest, more: named('t:1') })])),
    );
    const { id } = store.find('t:1');
    rmSync(store.layout.blobPath(layer['digest'] as Digest));
    await loadStream(store, streamOf(dockerArchive([BASE], config)));
    assert.equal(store.find('t:1').id, id);
    const sink = new MemorySink();
    await copyImages(new StoreSource(store), sink, ['t:1']);
    assert.isTrue(sink.blobs.get(digestOf(BASE))?.equals(BASE));
  });

  for (const part of ['config', 'layer'] as const) {
    it(`a tar whose manifest has another size of the ${part} is refused, as a directory is`, async () => {
      const made = new LayoutArchive();
      const config = made.blob(configOf([BASE]), TYPE.CONFIG);
      const layer = made.blob(BASE, TYPE.LAYER);
      const lie = (descriptor: object): object => ({ ...descriptor, size: BASE.length + 1 });
      const manifest =
        part === 'config' ? { config: lie(config), layers: [layer] } : { config, layers: [lie(layer)] };
      const bytes = made.tar([made.image([BASE], { manifest })]);
      const root = scratch.fresh('store');
      const error = await failureOf(loadStream(Store.open(root), streamOf(bytes)));
      assert.match(error.message, /^"blobs\/sha256\/\w+" has \d+ bytes, not the expected \d+$/);
      const index = JSON.parse(readFileSync(join(root, 'index.json'), 'utf8')) as { manifests: unknown[] };
      assert.isEmpty(index.manifests);
    });
  }
});
