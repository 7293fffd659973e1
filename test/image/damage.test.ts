/**
 * Protects a store in which something is damaged: it is named, `system check` finds all of it and mends what can be
 * mended, and everything else works as if nothing were.
 */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { assert } from 'chai';
import { checkStore } from '../../runtime/container/lifecycle/check.js';
import { createContainer, listRecords } from '../../runtime/container/records/containers.js';
import type { ContainerRecord } from '../../runtime/container/records/record.js';
import { containerUse } from '../../runtime/container/records/usage.js';
import type { Digest } from '../../runtime/image/oci.js';
import { pruneImages, removeImage } from '../../runtime/image/store/removal.js';
import { Store } from '../../runtime/image/store/store.js';
import { imageUse } from '../../runtime/image/store/usage.js';
import { ARCHIVE_FORMATS, type ArchiveFormat, saveImages } from '../../runtime/image/transfer/save.js';
import { recordOf } from '../support/container/record.js';
import { addImage, imageOf } from '../support/image/small-image.js';
import { useWorkshop } from '../support/image/workshop.js';

const BAD = imageOf('bad:1', [
  { name: 'd/', flag: '5', mode: 0o755 },
  { name: 'd/bad', data: 'bad'.repeat(3000) },
]);
const GOOD = imageOf('good:1', [{ name: 'good', data: 'good' }]);
const OTHER = imageOf('other:1', [{ name: 'other', data: 'other' }]);

describe('a damaged store', function () {
  this.timeout(60_000);
  const shop = useWorkshop();
  let count = 0;

  /** A store with two images. */
  async function prepared(): Promise<Store> {
    const root = shop.path(`store-${count++}`);
    await addImage(root, BAD);
    await addImage(root, GOOD);
    return Store.open(root);
  }

  interface Parts {
    readonly manifest: string;
    readonly config: string;
    readonly blob: string;
    readonly layer: string;
    readonly id: Digest;
  }

  /** Where the parts of the bad image lie. */
  function partsOf(store: Store): Parts {
    const { id, manifest, manifestDigest, layerKeys } = store.find('bad:1');
    const { layout } = store;
    return {
      id,
      manifest: layout.blobPath(manifestDigest),
      config: layout.blobPath(id),
      blob: layout.blobPath(manifest.layers[0]?.digest as Digest),
      layer: layout.layerPath(layerKeys[0] as Digest),
    };
  }

  const replace = (path: string, by: (path: string) => void): void => {
    rmSync(path, { recursive: true });
    by(path);
  };
  const flip = (path: string): void => {
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    writeFileSync(path, bytes);
  };
  const fifo = (path: string): void => void execFileSync('mkfifo', [path]);

  /** Damages that keep the image from being used. */
  const FATAL: readonly (readonly [what: string, damage: (parts: Parts) => void, says: RegExp])[] = [
    ['a manifest that is missing', ({ manifest }) => rmSync(manifest), /"sha256:\w{64}" is missing/],
    ['a manifest with a changed byte', ({ manifest }) => flip(manifest), /has been changed/],
    ['a manifest that is cut short', ({ manifest }) => truncateSync(manifest, 20), /has been changed/],
    ['a manifest that is empty', ({ manifest }) => truncateSync(manifest, 0), /has been changed/],
    ['a FIFO for a manifest', ({ manifest }) => replace(manifest, fifo), /is not a regular file/],
    [
      'a directory for a manifest',
      ({ manifest }) => replace(manifest, (path) => mkdirSync(path)),
      /is not a regular file/,
    ],
    [
      'a symlink for a manifest',
      ({ manifest }) => replace(manifest, (path) => symlinkSync('/etc/passwd', path)),
      /is a symlink/,
    ],
    [
      'a configuration that was edited in place',
      ({ config }) => writeFileSync(config, readFileSync(config, 'utf8').replace('/bin/sh', '/bin/xx')),
      /has been changed/,
    ],
    ['a configuration that is missing', ({ config }) => rmSync(config), /is missing/],
    [
      'an unpacked layer that is missing',
      ({ layer }) => rmSync(layer, { recursive: true }),
      /layer "sha256:\w{64}" is missing/,
    ],
    [
      'an empty layer.json',
      ({ layer }) => truncateSync(join(layer, 'layer.json'), 0),
      /"layer.json" of layer .* cannot be read/,
    ],
    [
      'no layer.json',
      ({ layer }) => rmSync(join(layer, 'layer.json')),
      /"layer.json" of layer .* is missing/,
    ],
    [
      'a layer.json with nonsense',
      ({ layer }) => writeFileSync(join(layer, 'layer.json'), '{"bytes":-1,"entries":[],"tar":"x"}'),
      /cannot be read/,
    ],
  ];

  /** Reads an archive of the image to its end. */
  const save = (store: Store, image: string, format: ArchiveFormat): Promise<void> =>
    saveImages(store, [image], format, async (archive) => {
      await finished(archive().resume());
    });

  const namesOf = (store: Store): string[] =>
    store
      .list()
      .flatMap(({ names }) => names)
      .sort();

  for (const [what, damage, says] of FATAL) {
    it(`names the image and stops nobody else: ${what}`, async () => {
      const store = await prepared();
      damage(partsOf(store));
      const fresh = Store.open(store.root);
      const { images, damaged } = fresh.inventory();
      assert.deepEqual(
        images.map(({ names }) => names[0]),
        ['docker.io/library/good:1'],
      );
      assert.deepEqual(
        damaged.map(({ names }) => names[0]),
        ['docker.io/library/bad:1'],
      );
      assert.match(damaged[0]?.problem ?? '', says);
      assert.throws(() => fresh.layout.layerSize(fresh.find('bad:1').layerKeys[0] as Digest), /damaged/);
      assert.equal(imageUse(fresh).total, 1);
      await save(fresh, 'good:1', 'docker-archive');
      await addImage(store.root, OTHER);
      await fresh.tag('good:1', 'more');
      await removeImage(fresh, 'more', false);
      await removeImage(fresh, 'other:1', false);
      await pruneImages(fresh, false);
      assert.deepEqual(namesOf(fresh), ['docker.io/library/good:1']);
      await removeImage(fresh, 'bad:1', false);
      const sound = Store.open(store.root);
      assert.deepEqual(sound.inventory().damaged, []);
      await pruneImages(sound, true);
      assert.isEmpty(readdirSync(join(store.root, 'blobs/sha256')), 'nothing is left over');
      assert.isEmpty(readdirSync(join(store.root, 'layers')), 'nothing is left over');
    });

    it(`is whole again when the image is loaded again: ${what}`, async () => {
      const store = await prepared();
      damage(partsOf(store));
      await addImage(store.root, BAD);
      assert.deepEqual((await checkStore(Store.open(store.root), false)).findings, []);
    });
  }

  it('keeps what a damaged image may be made of', async () => {
    const store = await prepared();
    const { manifest, config, blob, layer } = partsOf(store);
    renameSync(manifest, shop.path('kept'));
    await pruneImages(Store.open(store.root), true);
    renameSync(shop.path('kept'), manifest);
    for (const path of [config, blob, layer]) assert.isTrue(existsSync(path), path);
    assert.deepEqual(namesOf(Store.open(store.root)), ['docker.io/library/bad:1']);
  });

  for (const format of ARCHIVE_FORMATS) {
    for (const [what, damage] of [
      ['a changed byte', flip],
      ['bytes at its end', (path: string) => appendFileSync(path, 'x')],
      ['no end', (path: string) => truncateSync(path, 2000)],
      ['no bytes', (path: string) => truncateSync(path, 0)],
      ['nothing', (path: string) => rmSync(path)],
    ] as const) {
      it(`gives no archive (${format}) of an image with ${what} for a layer`, async () => {
        const store = await prepared();
        damage(partsOf(store).blob);
        const error = await save(store, 'bad:1', format).catch((reason: unknown) => reason as Error);
        assert.match(error?.message ?? '', /^the store ".*" is damaged: (layer )?"sha256:\w{64}"/);
      });
    }
  }

  it('leaves no file when it gives no archive', async () => {
    const store = await prepared();
    flip(partsOf(store).blob);
    const name = store.root.split('/').at(-1) as string;
    const { status, stderr } = shop.tscr(['save', '-o', 'out.tar', 'bad:1'], { store: name });
    assert.equal(status, 125);
    assert.match(stderr, /^tscr save: the store ".*" is damaged: layer "sha256:\w{64}".*\n$/);
    assert.isEmpty(readdirSync(shop.directory).filter((file) => file.includes('out.tar')));
  });

  describe('system check', () => {
    /** What is damaged, what is said, and whether the store alone can mend it. */
    const DAMAGES: readonly (readonly [
      what: string,
      damage: (store: Store, parts: Parts) => void,
      says: RegExp,
      mended: boolean,
    ])[] = [
      [
        'a changed byte in a layer blob',
        (_, { blob }) => flip(blob),
        /^blob "sha256:\w+" of image "bad:1" has been changed/,
        false,
      ],
      [
        'a configuration edited in place',
        (_, { config }) => appendFileSync(config, ' '),
        /^blob .* has been changed/,
        false,
      ],
      ['a manifest that is missing', (_, { manifest }) => rmSync(manifest), /^blob .* is missing/, false],
      [
        'a changed file in a layer',
        (_, { layer }) => flip(join(layer, 'diff/d/bad')),
        /"d\/bad" has a different/,
        true,
      ],
      [
        'a changed file with its time set back',
        (_, { layer }) => {
          flip(join(layer, 'diff/d/bad'));
          execFileSync('touch', ['-d', '@0', join(layer, 'diff/d/bad')]);
        },
        /"d\/bad" has a different content/,
        true,
      ],
      [
        'another mode',
        (_, { layer }) => chmodSync(join(layer, 'diff/d'), 0o700),
        /"d" has a different kind or mode/,
        true,
      ],
      [
        'an attribute',
        (_, { layer }) => void execFileSync('setfattr', ['-n', 'user.x', '-v', 'y', join(layer, 'diff/d')]),
        /"d" has a different attribute/,
        true,
      ],
      [
        'a file too many',
        (_, { layer }) => writeFileSync(join(layer, 'diff/d/more'), ''),
        /"d\/more" is unexpected/,
        true,
      ],
      [
        'a file that is missing',
        (_, { layer }) => rmSync(join(layer, 'diff/d/bad')),
        /"d\/bad" is missing/,
        true,
      ],
      ['a layer that is missing', (_, { layer }) => rmSync(layer, { recursive: true }), /is missing/, true],
      [
        'a layer.json that is cut short',
        (_, { layer }) => truncateSync(join(layer, 'layer.json'), 3),
        /layer.json/,
        true,
      ],
      [
        'a layer.json with wrong sizes',
        (_, { layer }) => writeFileSync(join(layer, 'layer.json'), '{"bytes":1,"entries":2,"tar":3}'),
        /layer.json/,
        true,
      ],
      [
        'an index that is cut short',
        ({ root }) => truncateSync(join(root, 'index.json'), 700),
        /^index.json cannot be read/,
        true,
      ],
      [
        'an index that is empty',
        ({ root }) => truncateSync(join(root, 'index.json'), 0),
        /^index.json/,
        true,
      ],
      [
        'an index that is missing',
        ({ root }) => rmSync(join(root, 'index.json')),
        /^index.json is missing/,
        true,
      ],
      [
        'an index that is no JSON',
        ({ root }) => flipFirst(join(root, 'index.json')),
        /^index.json cannot be read/,
        true,
      ],
      [
        'a blob of no image',
        ({ root }) => writeFileSync(join(root, 'blobs/sha256', '0'.repeat(64)), 'x'),
        /^unused blob "sha256:0+" has been changed/,
        true,
      ],
      [
        'a record that is cut short',
        (store) => damageRecord(store, 'container.json'),
        /^container "\w{12}" ".*" is not valid JSON/,
        false,
      ],
      [
        'an end that cannot be read',
        (store) => damageRecord(store, 'exit.json'),
        /its exit record cannot be read/,
        false,
      ],
    ];

    const flipFirst = (path: string): void =>
      writeFileSync(path, readFileSync(path, 'utf8').replace('{', '['));

    function damageRecord(store: Store, file: string): void {
      const record = containerOf(store, 'c0'.repeat(32));
      createContainer(store.root, record);
      const path = join(store.root, 'containers', record.id, file);
      writeFileSync(path, '{"id": "c0c0');
    }

    for (const [what, damage, says, mended] of DAMAGES) {
      it(`finds ${what}${mended ? ', and mends it' : ''}`, async () => {
        const store = await prepared();
        damage(store, partsOf(store));
        const found = async (repair: boolean) => (await checkStore(Store.open(store.root), repair)).findings;
        const first = await found(false);
        assert.match(first.map(({ what: where, problem }) => `${where} ${problem}`).join('\n'), says);
        assert.isTrue(first.every(({ repaired }) => repaired === undefined));
        assert.deepEqual(await found(false), first, 'nothing is changed by looking');
        const repaired = await found(true);
        assert.equal(
          repaired.every((finding) => finding.repaired !== undefined),
          mended,
        );
        assert.equal((await found(false)).length, mended ? 0 : first.length);
        if (mended)
          assert.deepEqual(namesOf(Store.open(store.root)), [
            'docker.io/library/bad:1',
            'docker.io/library/good:1',
          ]);
      });
    }

    it('says so by its exit code, and finds a sound store sound', async () => {
      const store = await prepared();
      const name = store.root.split('/').at(-1) as string;
      assert.equal(
        shop.succeed(['system', 'check'], name),
        'no damage found; checked 2 images, 2 layers and 0 containers',
      );
      rmSync(join(partsOf(store).layer, 'diff/d/bad'));
      const { status, stdout } = shop.tscr(['system', 'check'], { store: name });
      assert.equal(status, 1);
      assert.match(
        stdout,
        /^layer "sha256:\w+" of image "bad:1": differs from its archive: .*\n1 damaged; .*\n$/,
      );
      assert.match(shop.succeed(['system', 'check', '--repair'], name), /unpacked again\nno damage found/);
      assert.match(shop.succeed(['system', 'check'], name), /^no damage found/);
    });

    it('a damaged index takes nothing along', async () => {
      const store = await prepared();
      rmSync(join(store.root, 'index.json'));
      for (const attempt of [
        () => pruneImages(Store.open(store.root), true),
        () => removeImage(store, 'bad:1', true),
      ])
        assert.match(
          ((await attempt().catch((reason: unknown) => reason)) as Error).message,
          /"index.json" is missing/,
        );
      assert.lengthOf(readdirSync(join(store.root, 'layers')), 2);
    });
  });

  it('a container whose record cannot be read hides no other, keeps its layers, and is removed by its ID', async () => {
    const store = await prepared();
    for (const id of ['a1'.repeat(32), 'b2'.repeat(32)]) createContainer(store.root, containerOf(store, id));
    truncateSync(join(store.root, 'containers', 'a1'.repeat(32), 'container.json'), 10);
    assert.deepEqual(
      listRecords(store.root).map(({ name }) => name),
      ['b2b2'],
    );
    assert.equal(containerUse(store).total, 1);
    await removeImage(store, 'bad:1', true);
    assert.lengthOf(readdirSync(join(store.root, 'layers')), 1, 'its lease says what it needs');
    const name = store.root.split('/').at(-1) as string;
    const { status, stdout, stderr } = shop.tscr(['ps', '-a'], { store: name });
    assert.equal(status, 0);
    assert.include(stdout, 'b2b2b2b2b2b2');
    assert.match(
      stderr,
      /^tscr ps: container "a1a1a1a1a1a1": ".*container.json" is not valid JSON; remove it with "tscr rm a1a1a1a1a1a1"\n$/,
    );
    assert.equal(shop.succeed(['rm', 'a1a1a1a1a1a1'], name), 'a1a1a1a1a1a1');
    shop.succeed(['system', 'prune', '-f'], name);
    assert.lengthOf(readdirSync(join(store.root, 'layers')), 1);
  });

  const containerOf = (store: Store, id: string): ContainerRecord =>
    recordOf(store, 'good:1', id, id.slice(0, 4));
});
