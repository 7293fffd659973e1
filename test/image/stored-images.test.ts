/**
 * Protects what is told of stored images, without a command in between: which one a user means, how it was made, what it
 * takes and shares, what an archive of it holds, what a removal chooses, and what a lost index can be made of.
 */
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { createContainer } from '../../runtime/container/records/containers.js';
import type { ContainerRecord } from '../../runtime/container/records/record.js';
import { containerUse } from '../../runtime/container/records/usage.js';
import { salvageIndex } from '../../runtime/image/check/index-salvage.js';
import { buildImage, creationTime } from '../../runtime/image/create/new-image.js';
import { hexOf } from '../../runtime/image/digest.js';
import { historyOf } from '../../runtime/image/inspect/history.js';
import { inspectImage } from '../../runtime/image/inspect/image-details.js';
import type { Digest, StoredImage } from '../../runtime/image/oci.js';
import { pruneImages, removeImage } from '../../runtime/image/store/removal.js';
import { Store } from '../../runtime/image/store/store.js';
import { imageUse, type LayerNode, layerTree, sharesOf } from '../../runtime/image/store/usage.js';
import type { TarEntry } from '../../runtime/image/tar/tar-entry.js';
import { readTar } from '../../runtime/image/tar/tar-read.js';
import { loadStream } from '../../runtime/image/transfer/load.js';
import { type ArchiveFormat, saveImages } from '../../runtime/image/transfer/save.js';
import { digestOf } from '../../runtime/image/verify.js';
import { archive } from '../support/image/archive.js';
import { configOf, dockerArchive, LayoutArchive, named } from '../support/image/documents.js';
import { MEMORY, useScratch } from '../support/image/scratch.js';

const layer = (name: string, size: number): Buffer => archive({ name, data: Buffer.alloc(size, name) });
const [A, B, C, D] = [layer('a', 1000), layer('b', 200), layer('c', 30), layer('d', 4)];
const NONE = '0'.repeat(64);

describe('stored images', () => {
  const scratch = useScratch(MEMORY);
  let store: Store;

  const add = (bytes: Buffer): Promise<unknown> =>
    loadStream(store, Readable.from([bytes], { objectMode: false }));
  const addImage = (
    name: string | undefined,
    layers: readonly Buffer[],
    more = {},
    execution = {},
  ): Promise<unknown> =>
    add(
      dockerArchive(layers, configOf(layers, execution, more), {
        RepoTags: name === undefined ? null : [name],
      }),
    );

  /** A store with images that share layers: one:1 = A B, two:1 = two:2 = A C, and one without a name = D. */
  async function filled(): Promise<Store> {
    store = Store.open(scratch.fresh('store'));
    await addImage('one:1', [A, B]);
    await addImage('two:1', [A, C]);
    await store.tag('two:1', 'two:2');
    await addImage(undefined, [D]);
    return store;
  }
  const nameless = (): StoredImage => store.list().find(({ names }) => names.length === 0) ?? assert.fail();

  function container(image: StoredImage, name = 'box'): ContainerRecord {
    const id = digestOf(name).slice(7);
    const at = `${store.root}/containers/${id}`;
    const record: ContainerRecord = {
      id,
      name,
      image: { id: image.id, reference: image.names[0] ?? image.id },
      created: '2020-01-01T00:00:00Z',
      command: ['true'],
      config: {},
      driver: 'unionfs',
      autoRemove: false,
      node: { machine: 'another', boot: 'machine' },
      lowers: [...image.layers].reverse(),
      init: `${at}/init`,
      upper: `${at}/upper`,
      work: `${at}/work`,
      merged: `${at}/merged`,
    };
    createContainer(store.root, record);
    return record;
  }

  describe('a user means', () => {
    before(filled);
    const id = (name: string): Digest => store.find(name).id;

    it('the image that has a name, "latest" without a tag', async () => {
      for (const text of ['one:1', 'docker.io/one:1', 'docker.io/library/one:1'])
        assert.equal(id(text), id('one:1'));
      assert.equal(id('two:2'), id('two:1'));
      assert.throws(() => id('one'), UsageError, 'no image "one"; did you mean "one:1"?');
      await store.tag('one:1', 'late');
      assert.equal(id('late'), id('one:1'));
    });

    it('an image by its ID, its manifest, or the beginning of the ID', () => {
      const one = store.find('one:1');
      for (const text of [
        one.id,
        one.manifestDigest,
        hexOf(one.id),
        one.id.slice(0, 30),
        hexOf(one.id).slice(0, 20),
      ])
        assert.equal(id(text), one.id, text);
      assert.throws(() => id(`sha256:${NONE}`), UsageError, 'no image');
      assert.throws(() => id(NONE), UsageError, 'no image');
      assert.throws(() => id(hexOf(one.manifestDigest).slice(0, 20)), UsageError, 'no image');
    });

    it('an image by its manifest, with a name of its repository', () => {
      const { id: expected, manifestDigest } = store.find('two:1');
      for (const name of ['two', 'docker.io/library/two', 'two:1', 'two:other'])
        assert.equal(id(`${name}@${manifestDigest}`), expected);
      for (const name of ['one', 'quay.io/library/two', 'x/two'])
        assert.throws(() => id(`${name}@${manifestDigest}`), UsageError, 'no image', name);
      assert.throws(() => id(`two@sha256:${NONE}`), UsageError, 'no image');
      assert.throws(() => id(`two@${expected}`), UsageError, 'no image', 'an ID is no manifest');
    });

    it('none by what is no name', () => {
      assert.throws(() => id('A'), UsageError, 'invalid image name "A"');
      assert.throws(() => id('sha256:'), UsageError, 'invalid image name "sha256:"');
    });

    it('the image with a name, although IDs begin like it; one ID at most', async () => {
      const ids = new Map<string, Digest>();
      for (let at = 0; ids.size === at; at++) {
        await addImage(undefined, [D], { author: `${at}` });
        for (const image of store.list()) {
          const [first = ''] = hexOf(image.id);
          const known = ids.get(first);
          ids.set(first, image.id);
          if (known === undefined || known === image.id) continue;
          assert.throws(
            () => id(first),
            UsageError,
            new RegExp(`^"${first}" begins the IDs of \\d images; give more of it$`),
          );
          await store.tag('one:1', `${first}:latest`);
          assert.equal(id(first), id('one:1'));
          return;
        }
        if (ids.size > 16) break;
      }
      assert.isAbove(store.list().length, 3);
    });

    it('nothing in an empty store', () => {
      const empty = Store.open(scratch.fresh('empty'));
      assert.throws(() => empty.find('a'), UsageError, 'no image "a"; load one with "tscr load"');
      assert.isEmpty(empty.list());
    });
  });

  describe('have a history', () => {
    const STEPS = [
      { created: '2020-01-01T00:00:00Z', created_by: 'first', comment: 'note' },
      { created_by: 'ENV', empty_layer: true },
      { empty_layer: false },
    ];
    const [a, b, c] = [A, B, C].map(digestOf);
    const TOLD: readonly [what: string, history: unknown, steps: object[]][] = [
      [
        'the latest step first, with the layers in their order',
        STEPS,
        [
          { createdBy: '', comment: '', layer: c, size: 30 },
          { createdBy: '', comment: '', layer: b, size: 200 },
          { createdBy: 'ENV', comment: '', size: 0 },
          { created: '2020-01-01T00:00:00Z', createdBy: 'first', comment: 'note', layer: a, size: 1000 },
        ],
      ],
      [
        'of layers alone if none is told',
        undefined,
        [
          { createdBy: '', comment: '', layer: c, size: 30 },
          { createdBy: '', comment: '', layer: b, size: 200 },
          { createdBy: '', comment: '', layer: a, size: 1000 },
        ],
      ],
      [
        'of more steps than layers',
        [{ created_by: '1' }, { created_by: '2' }, { created_by: '3' }, { created_by: '4' }],
        [
          { createdBy: '4', comment: '', size: 0 },
          { createdBy: '3', comment: '', layer: c, size: 30 },
          { createdBy: '2', comment: '', layer: b, size: 200 },
          { createdBy: '1', comment: '', layer: a, size: 1000 },
        ],
      ],
    ];
    for (const [what, history, steps] of TOLD) {
      it(what, async () => {
        store = Store.open(scratch.fresh('store'));
        await addImage('it', [A, B, C], { history });
        const image = store.find('it');
        assert.deepEqual<unknown>(historyOf(store, image), [
          { id: image.id, ...steps[0] },
          ...steps.slice(1),
        ]);
      });
    }
  });

  describe('share layers', () => {
    before(filled);

    it('whose bytes count once, for all who have them', () => {
      const images = store.list();
      const shares = sharesOf(store, images);
      assert.deepEqual(shares.get(store.find('one:1').id), { shared: 1000, unique: 200 });
      assert.deepEqual(shares.get(store.find('two:1').id), { shared: 1000, unique: 30 });
      assert.deepEqual(shares.get(nameless().id), { shared: 0, unique: 4 });
      assert.deepEqual([...sharesOf(store, [store.find('one:1')]).values()], [{ shared: 0, unique: 1200 }]);
    });

    it('and an image that has one twice shares it with nobody', async () => {
      store = Store.open(scratch.fresh('store'));
      await addImage('twice', [A, B, A]);
      assert.deepEqual([...sharesOf(store, store.list()).values()], [{ shared: 0, unique: 1200 }]);
      await filled();
    });

    it('as trees, the bases first', () => {
      const shape = (nodes: readonly LayerNode[]): unknown[] =>
        nodes.map(({ diffId, size, images, children }) => [
          diffId,
          size,
          images.map(({ names }) => names.length),
          shape(children),
        ]);
      assert.deepEqual(shape(layerTree(store, store.list())), [
        [
          digestOf(A),
          1000,
          [],
          [
            [digestOf(B), 200, [1], []],
            [digestOf(C), 30, [2], []],
          ],
        ],
        [digestOf(D), 4, [0], []],
      ]);
      assert.isEmpty(layerTree(store, []));
    });

    it('and take space, which goes with what no container uses', () => {
      const blocks = (image: StoredImage): Map<Digest, number> =>
        new Map(
          [image.id, image.manifestDigest, ...image.manifest.layers.map(({ digest }) => digest)].map(
            (digest) => [digest, statSync(store.layout.blobPath(digest)).blocks * 512],
          ),
        );
      const sum = (...images: StoredImage[]): number =>
        [...new Map(images.flatMap((image) => [...blocks(image)])).values()].reduce((a, b) => a + b, 0);
      const [one, two] = [store.find('one:1'), store.find('two:1')];
      const size = sum(one, two, nameless()) + 1234;
      assert.deepEqual(imageUse(store), { total: 3, active: 0, size, reclaimable: size });
      container(one);
      assert.deepEqual(imageUse(store), { total: 3, active: 1, size, reclaimable: size - sum(one) - 1200 });
      rmSync(store.layout.blobPath(one.manifest.layers[0]?.digest as Digest));
      assert.isBelow(imageUse(store).size, size, 'what is missing takes nothing');
    });

    it('and containers take what they changed', () => {
      const { upper } = container(store.find('two:1'), 'other');
      mkdirSync(upper, { recursive: true });
      writeFileSync(`${upper}/file`, Buffer.alloc(10_000, 'x'));
      const size = statSync(`${upper}/file`).blocks * 512;
      assert.isAbove(size, 0);
      assert.deepEqual(containerUse(store), { total: 2, active: 0, size, reclaimable: size });
    });
  });

  describe('are inspected', () => {
    it('with what docker tells', async () => {
      await filled();
      const more = { created: 'c', author: 'w', variant: 'v3', history: [{}, { comment: 'last' }] };
      await addImage('three:1', [A, B], more, { Cmd: ['x'] });
      await store.tag('three:1', 'three:2');
      await store.tag('three:1', 'quay.io/x/three:1');
      const image = store.find('three:1');
      assert.deepEqual<unknown>(inspectImage(store, image), {
        Id: image.id,
        RepoTags: ['three:1', 'three:2', 'quay.io/x/three:1'],
        RepoDigests: [`three@${image.manifestDigest}`, `quay.io/x/three@${image.manifestDigest}`],
        Comment: 'last',
        Created: 'c',
        Author: 'w',
        Config: { Cmd: ['x'] },
        Architecture: image.config.architecture,
        Variant: 'v3',
        Os: 'linux',
        Size: 1200,
        GraphDriver: { Name: 'unionfs', Data: { LowerDir: image.layers[0], UpperDir: image.layers[1] } },
        RootFS: { Type: 'layers', Layers: [A, B].map(digestOf) },
      });
    });

    it('with nothing where the image tells nothing', async () => {
      await addImage(undefined, [], { config: undefined, history: undefined });
      const image = store.list().find(({ layers }) => layers.length === 0) ?? assert.fail();
      const found = inspectImage(store, image);
      assert.deepInclude(found, {
        RepoTags: [],
        RepoDigests: [],
        Comment: '',
        Created: '',
        Author: '',
        Config: {},
        Size: 0,
      });
      assert.deepEqual(found.GraphDriver.Data, {});
      assert.notProperty(found, 'Variant');
      await addImage('deep', [A, B, C, D]);
      const { layers } = store.find('deep');
      const [a, b, c, d] = layers;
      assert.deepEqual(inspectImage(store, store.find('deep')).GraphDriver.Data, {
        LowerDir: `${c}:${b}:${a}`,
        UpperDir: d as string,
      });
    });
  });

  describe('come back without their index', () => {
    const meaning = (): [Digest, string | undefined][] =>
      salvageIndex(store.layout).manifests.map(({ digest, annotations }) => [
        digest,
        annotations?.['org.opencontainers.image.ref.name'],
      ]);
    const expected = (): [Digest, string | undefined][] =>
      store
        .list()
        .flatMap(({ manifestDigest, names }): [Digest, string | undefined][] =>
          names.length === 0 ? [[manifestDigest, undefined]] : names.map((name) => [manifestDigest, name]),
        );
    const edit = (name: string, change: (text: string) => string): void => {
      const path = store.layout.path(name);
      writeFileSync(path, change(readFileSync(path, 'utf8')));
    };
    beforeEach(filled);

    it('with their names, from what is left of it, else from its copy', () => {
      const all = expected();
      assert.lengthOf(all, 4);
      assert.sameDeepMembers(meaning(), all);
      edit('index.json', (text) => text.slice(0, text.lastIndexOf('two:2') + 'two'.length));
      assert.sameDeepMembers(meaning(), all);
      rmSync(store.layout.path('index.json.copy'));
      assert.sameDeepMembers(
        meaning(),
        all.filter(([, name]) => name !== 'docker.io/library/two:2'),
      );
    });

    it('with the names that the index has, not those of an older copy', () => {
      const all = expected();
      edit('index.json', (text) => text.replaceAll('library/one:1', 'library/renamed:1'));
      const found = meaning().map(([, name]) => name);
      assert.includeMembers(found, ['docker.io/library/renamed:1']);
      rmSync(store.layout.path('index.json'));
      assert.sameDeepMembers(meaning(), all);
    });

    it('without what is no name', () => {
      rmSync(store.layout.path('index.json.copy'));
      edit('index.json', (text) =>
        text
          .replaceAll('docker.io/library/one:1', 'Not A Name')
          .replaceAll('docker.io/library/two:1', 'docker.io/library/tw\\u006f:9'),
      );
      assert.sameMembers(
        meaning().map(([, name]) => name),
        [undefined, undefined, 'docker.io/library/two:2', 'docker.io/library/two:9'],
      );
    });

    it('if all their parts are there, whatever else is', () => {
      const [one, two, bare] = [store.find('one:1'), store.find('two:1'), nameless()];
      const blobs = store.layout.path('blobs', 'sha256');
      for (const name of ['x', `${NONE}x`, `x${NONE}`, `${NONE}.removed`])
        writeFileSync(`${blobs}/${name}`, '{}');
      writeFileSync(`${blobs}/${NONE}`, 'no manifest');
      const found = (): Digest[] => [...new Set(meaning().map(([digest]) => digest))];
      assert.sameMembers(found(), [one.manifestDigest, two.manifestDigest, bare.manifestDigest]);
      truncateSync(store.layout.blobPath(one.manifest.layers[1]?.digest as Digest), 3);
      assert.sameMembers(found(), [two.manifestDigest, bare.manifestDigest]);
      rmSync(store.layout.blobPath(two.manifest.layers[1]?.digest as Digest));
      assert.sameMembers(found(), [bare.manifestDigest]);
      writeFileSync(store.layout.blobPath(bare.id), '{}');
      assert.isEmpty(found());
    });
  });

  describe('are saved', () => {
    interface Saved {
      readonly entry: TarEntry;
      readonly text: string;
    }
    const saved = async (format: ArchiveFormat, ...images: string[]): Promise<Saved[]> => {
      const found: { entry: TarEntry; text: string }[] = [];
      await saveImages(store, images, format, (archived) =>
        readTar(archived(), {
          entry: (entry) => found.push({ entry, text: '' }),
          data: (chunk) => ((found.at(-1) ?? assert.fail()).text += chunk.toString('latin1')),
          end: () => {},
        }),
      );
      return found;
    };
    const bytesOf = (one: Saved | undefined): Buffer => Buffer.from(one?.text ?? assert.fail(), 'latin1');
    before(filled);

    it('as an OCI layout, each blob once, sorted', async () => {
      const files = await saved('oci', 'one:1', 'two:1', nameless().id);
      const names = files.map(({ entry }) => entry.name);
      const blobs = store
        .list()
        .flatMap(({ id, manifestDigest, manifest }) => [
          id,
          manifestDigest,
          ...manifest.layers.map(({ digest }) => digest),
        ]);
      assert.deepEqual(names, [
        'blobs/',
        'blobs/sha256/',
        ...[...new Set(blobs)].sort().map((digest) => `blobs/sha256/${hexOf(digest)}`),
        'index.json',
        'oci-layout',
      ]);
      for (const file of files.filter(({ entry }) => /[0-9a-f]{64}/.test(entry.name)))
        assert.equal(`blobs/sha256/${hexOf(digestOf(bytesOf(file)))}`, file.entry.name);
      assert.equal(files.at(-1)?.text, '{"imageLayoutVersion":"1.0.0"}');
      const index = JSON.parse(files.at(-2)?.text ?? '');
      const described = (image: StoredImage, name?: string): object => ({
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: image.manifestDigest,
        size: statSync(store.layout.blobPath(image.manifestDigest)).size,
        ...(name !== undefined && {
          annotations: { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name },
        }),
      });
      assert.deepEqual(index, {
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [
          described(store.find('one:1'), 'docker.io/library/one:1'),
          described(store.find('two:1'), 'docker.io/library/two:1'),
          described(nameless()),
        ],
      });
    });

    it('as a docker archive, as moby wrote them', async () => {
      const [one, two] = [store.find('one:1'), store.find('two:1')];
      const files = await saved('docker-archive', 'one:1', 'two:1', nameless().id);
      const at = (name: string): Saved => files.find(({ entry }) => entry.name === name) ?? assert.fail(name);
      const manifest = JSON.parse(at('manifest.json').text) as {
        Config: string;
        RepoTags: string[] | null;
        Layers: string[];
      }[];
      assert.deepEqual(
        manifest.map(({ Config, RepoTags }) => [Config, RepoTags]),
        [
          [`${hexOf(one.id)}.json`, ['one:1']],
          [`${hexOf(two.id)}.json`, ['two:1']],
          [`${hexOf(nameless().id)}.json`, null],
        ],
      );
      for (const [image, tars] of [
        [0, [A, B]],
        [1, [A, C]],
        [2, [D]],
      ] as const) {
        const layers = manifest[image]?.Layers ?? [];
        assert.lengthOf(layers, tars.length);
        for (const [index, tar] of tars.entries())
          assert.deepEqual(bytesOf(at(layers[index] as string)), tar);
        const { Config } = manifest[image] ?? assert.fail();
        assert.equal(`${hexOf(digestOf(bytesOf(at(Config))))}.json`, Config);
      }
      const ids = (image: StoredImage): string[] => {
        const base = digestOf(JSON.stringify({ layer: image.config.rootfs.diff_ids[0], parent: null })).slice(
          7,
        );
        const top = { layer: image.config.rootfs.diff_ids[1], parent: base, image: image.id };
        return [base, digestOf(JSON.stringify(top)).slice(7)];
      };
      const [base = '', top = ''] = ids(one);
      const [, other = ''] = ids(two);
      assert.deepEqual(JSON.parse(at('repositories').text), {
        one: { 1: top },
        two: { 1: other },
      });
      assert.equal(at(`${base}/VERSION`).text, '1.0');
      assert.equal(at(`${base}/json`).text, `{"id":"${base}","created":"1970-01-01T00:00:00Z","os":"linux"}`);
      const { rootfs: _, history: __, ...rest } = one.config;
      assert.deepEqual(JSON.parse(at(`${top}/json`).text), {
        id: top,
        parent: base,
        created: '1970-01-01T00:00:00Z',
        ...rest,
      });
      const names = files.map(({ entry }) => entry.name);
      assert.lengthOf(new Set(names), names.length, 'nothing is there twice');
      assert.includeMembers(names, [`${base}/`, `${top}/`, `${other}/layer.tar`]);
    });

    it('with a symlink for a layer that comes again', async () => {
      await addImage('again', [A, B, A]);
      const files = await saved('docker-archive', 'again');
      const links = files.filter(({ entry }) => entry.type === 'symlink');
      const text = files.find(({ entry }) => entry.name === 'manifest.json')?.text ?? assert.fail();
      const [manifest] = JSON.parse(text) as { Layers: string[] }[];
      const [first, , third] = manifest?.Layers ?? [];
      assert.equal(first, third);
      assert.deepEqual(
        links.map(({ entry }) => entry.linkName),
        [`../${first}`],
      );
      const repositories = JSON.parse(files.at(-1)?.text ?? '') as { again: Record<string, string> };
      assert.deepEqual(Object.keys(repositories.again), ['latest']);
    });

    it('not if the store is damaged', async () => {
      const one = store.find('one:1');
      const path = store.layout.blobPath(one.manifest.layers[1]?.digest as Digest);
      const bytes = readFileSync(path);
      bytes[600] = 1;
      writeFileSync(path, bytes);
      for (const format of ['oci', 'docker-archive'] as const) {
        const failure = await saved(format, 'one:1').catch((error: Error) => error);
        assert.match(`${failure}`, new RegExp(`the store "${store.root}" is damaged: .*not the expected`));
      }
    });
  });

  describe('are removed', () => {
    beforeEach(filled);
    const left = (): string[][] =>
      store.list().map(({ names }) => names.map((name) => name.replace('docker.io/library/', '')));

    it('by one of several names, which alone goes', async () => {
      const removal = await removeImage(store, 'two:1', false);
      assert.deepEqual(removal, { untagged: ['docker.io/library/two:1'], images: [], layers: [], freed: 0 });
      assert.deepEqual(left(), [['one:1'], ['two:2'], []]);
    });

    it('by their last name, with the layers and blobs that nobody else has', async () => {
      const one = store.find('one:1');
      const blobs = [one.id, digestOf(B)].map((digest) => statSync(store.layout.blobPath(digest)).size);
      const removal = await removeImage(store, 'one:1', false);
      assert.deepEqual(removal, {
        untagged: ['docker.io/library/one:1'],
        images: [one.id],
        layers: [digestOf(B)],
        freed: blobs.reduce((sum, size) => sum + size, 200),
      });
      assert.deepEqual(left(), [['two:1', 'two:2'], []]);
    });

    it('by an ID only if they have one name at most, or by force', async () => {
      const { id } = store.find('two:1');
      const failure = await removeImage(store, id, false).catch((error: Error) => error);
      assert.include(
        `${failure}`,
        `"${id}" has several names: "two:1", "two:2"; remove them one by one, or use --force`,
      );
      const { untagged } = await removeImage(store, id, true);
      assert.lengthOf(untagged, 2);
      await removeImage(store, store.find('one:1').id.slice(0, 20), false);
      await removeImage(store, nameless().id, false);
      assert.isEmpty(left());
    });

    it('not while a container uses them, but by force, and then without its layers', async () => {
      const one = store.find('one:1');
      container(one);
      for (const text of ['one:1', one.id]) {
        const failure = await removeImage(store, text, false).catch((error: Error) => error);
        assert.include(
          `${failure}`,
          `container "box" uses image "${text}"; remove the container first, or use --force`,
        );
      }
      await store.tag('one:1', 'one:2');
      assert.deepEqual((await removeImage(store, 'one:2', false)).untagged, ['docker.io/library/one:2']);
      const { images, layers } = await removeImage(store, 'one:1', true);
      assert.deepEqual(images, [one.id]);
      assert.isEmpty(layers);
      for (const path of one.layers) assert.isTrue(statSync(path).isDirectory());
    });

    it('if they cannot be read, by name or manifest', async () => {
      const [one, two] = [store.find('one:1'), store.find('two:1')];
      for (const image of [one, two]) writeFileSync(store.layout.blobPath(image.id), '{}');
      assert.deepEqual((await removeImage(store, 'two:1', false)).untagged, ['docker.io/library/two:1']);
      const failure = await removeImage(store, one.manifestDigest.slice(7, 18), false).catch(
        (error: Error) => error,
      );
      assert.instanceOf(failure, UsageError, 'eleven digits are too few');
      assert.deepEqual((await removeImage(store, one.manifestDigest.slice(7, 19), false)).images, [
        one.manifestDigest,
      ]);
      assert.deepEqual((await removeImage(store, two.manifestDigest.slice(0, 30), false)).images, [
        two.manifestDigest,
      ]);
      assert.deepEqual(store.inventory().damaged, []);
    });

    it('all at once: those without a name, or all that no container uses', async () => {
      const [two, bare] = [store.find('two:1'), nameless()];
      container(two);
      assert.deepEqual((await pruneImages(store, false)).images, [bare.id]);
      assert.deepEqual(left(), [['one:1'], ['two:1', 'two:2']]);
      await pruneImages(store, true);
      assert.deepEqual(left(), [['two:1', 'two:2']]);
    });
  });

  describe('are built', () => {
    const given = process.env['SOURCE_DATE_EPOCH'];
    afterEach(() => {
      if (given === undefined) delete process.env['SOURCE_DATE_EPOCH'];
      else process.env['SOURCE_DATE_EPOCH'] = given;
    });
    const build = (more: Partial<Parameters<typeof buildImage>[1]>): Promise<Digest> =>
      store.write((writer) =>
        buildImage(writer, {
          layer: Readable.from([B]),
          execution: { Cmd: ['x'] },
          step: { created_by: 'by' },
          names: ['docker.io/library/new:1'],
          ...more,
        }),
      );

    it('at the time that SOURCE_DATE_EPOCH tells, or now', () => {
      process.env['SOURCE_DATE_EPOCH'] = '86400';
      assert.equal(creationTime(), '1970-01-02T00:00:00.000Z');
      process.env['SOURCE_DATE_EPOCH'] = 'x';
      assert.throws(creationTime, UsageError, 'invalid SOURCE_DATE_EPOCH "x": use a number of seconds');
      delete process.env['SOURCE_DATE_EPOCH'];
      assert.closeTo(Date.parse(creationTime()), Date.now(), 10_000);
    });

    it('upon nothing, for this machine', async () => {
      process.env['SOURCE_DATE_EPOCH'] = '0';
      store = Store.open(scratch.fresh('store'));
      const id = await build({});
      const { config, manifest, names } = store.find('new:1');
      assert.deepEqual(config, {
        created: '1970-01-01T00:00:00.000Z',
        architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
        os: 'linux',
        config: { Cmd: ['x'] },
        rootfs: { type: 'layers', diff_ids: [digestOf(B)] },
        history: [{ created: '1970-01-01T00:00:00.000Z', created_by: 'by' }],
      });
      assert.equal(store.find('new:1').id, id);
      assert.deepEqual(names, ['docker.io/library/new:1']);
      assert.deepEqual(manifest.layers, [
        { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(B), size: B.length },
      ]);
    });

    it('upon another image, whose platform, layers and history they keep', async () => {
      process.env['SOURCE_DATE_EPOCH'] = '0';
      store = Store.open(scratch.fresh('store'));
      const other = new LayoutArchive();
      const base = configOf(
        [A],
        { Env: ['A=1'] },
        { architecture: 'riscv64', os: 'plan9', variant: 'v5', author: 'other' },
      );
      await add(other.tar([other.image([A], { config: base, more: named('docker.io/library/base:1') })]));
      await build({ base: store.find('base:1'), author: 'me', step: { created_by: 'by', comment: 'c' } });
      const created = '1970-01-01T00:00:00.000Z';
      const { config, manifest } = store.find('new:1');
      assert.deepEqual(config, {
        created,
        author: 'me',
        architecture: 'riscv64',
        os: 'plan9',
        variant: 'v5',
        config: { Cmd: ['x'] },
        rootfs: { type: 'layers', diff_ids: [digestOf(A), digestOf(B)] },
        history: [{ created_by: 'test' }, { created, author: 'me', created_by: 'by', comment: 'c' }],
      });
      assert.deepEqual(
        manifest.layers.map(({ digest }) => digest),
        [digestOf(A), digestOf(B)],
      );
    });

    it('upon one that tells no platform and no history', async () => {
      store = Store.open(scratch.fresh('store'));
      await addImage('base:1', [A], { architecture: '', os: '', history: undefined });
      await build({ base: store.find('base:1') });
      const { architecture, os, history } = store.find('new:1').config;
      assert.deepEqual(
        [architecture, os, history?.length],
        [process.arch === 'arm64' ? 'arm64' : 'amd64', 'linux', 1],
      );
    });
  });
});
