/**
 * Protects the store: whatever is killed, damaged or done at the same time, it holds whole and verified images only,
 * one copy of each blob and layer, and nothing that nobody needs.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { assert } from 'chai';
import { thisNode } from '../../runtime/host/node.js';
import { Store } from '../../runtime/image/store/store.js';
import { useWorkshop } from '../support/image/workshop.js';

const KILLS = 8;
const BIG = 8 * 1024 * 1024;
const HEX_LENGTH = 64;

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe('the image store', function () {
  this.timeout(120_000);
  const shop = useWorkshop();
  const at = (store: string, ...names: readonly string[]): string => shop.path(store, ...names);
  const namesIn = (store: string, ...names: readonly string[]): string[] =>
    readdirSync(at(store, ...names)).sort();

  before(() => {
    shop.layout('app', {
      base: [{ '/big': 'x'.repeat(BIG), '/etc/base': 'base' }],
      first: [{ '/etc/first': 'first' }],
      second: [{ '/etc/second': 'second' }],
    });
    for (const tag of ['base', 'first', 'second']) {
      shop.run('skopeo', ['copy', '-q', `oci:app:${tag}`, `docker-archive:${tag}.tar:app:${tag}`]);
    }
  });

  /** Fails unless the store holds what its index names, each part whole, and, if it is `exact`, nothing else. */
  function assertSound(store: string, exact = true): void {
    const images = Store.open(at(store)).list();
    const blobs = new Set<string>();
    for (const { id, manifest, manifestDigest, config, layers } of images) {
      for (const digest of [id, manifestDigest, ...manifest.layers.map((layer) => layer.digest)]) {
        blobs.add(digest.slice(-HEX_LENGTH));
      }
      assert.lengthOf(layers, config.rootfs.diff_ids.length);
      for (const layer of layers) assert.isTrue(statSync(layer).isDirectory(), layer);
    }
    for (const hex of namesIn(store, 'blobs', 'sha256')) {
      assert.equal(
        sha256(readFileSync(at(store, 'blobs', 'sha256', hex))),
        hex,
        'a blob is what its name says',
      );
    }
    const held = namesIn(store, 'blobs', 'sha256');
    if (exact) assert.sameMembers(held, [...blobs]);
    else assert.includeMembers(held, [...blobs]);
  }

  it('a load killed at any moment leaves a sound store, and the next load completes it', async () => {
    const store = 'killed';
    for (let kill = 0; kill < KILLS; kill++) {
      const { child, ended } = shop.start(['load', '-i', 'app'], store);
      await setTimeout(150 + 100 * kill + Math.random() * 100);
      child.kill('SIGKILL');
      await ended;
      if (existsSync(at(store, 'blobs'))) assertSound(store, false);
    }
    shop.succeed(['load', '-q', '-i', 'app'], store);
    assertSound(store);
    assert.lengthOf(shop.images(store), 3);
    assert.isEmpty(namesIn(store, 'tmp'), 'the leftovers of the killed are gone');
  });

  it('temporaries of other nodes and of the living stay, those of the dead go', async () => {
    const store = 'shared';
    shop.succeed(['load', '-q', '-i', 'base.tar'], store);
    const { machine } = thisNode();
    const dead = `${machine}+0-old-boot+1+aaaaaaaaaaaa`;
    const foreign = 'another-machine+boot+1+bbbbbbbbbbbb';
    for (const name of [dead, foreign]) {
      mkdirSync(at(store, 'tmp', name, 'half', 'a\u00ff'), { recursive: true });
      writeFileSync(at(store, 'tmp', name, 'lock'), '');
    }
    let during: string[] = [];
    await Store.open(at(store)).write(async () => {
      shop.succeed(['tag', 'app:base', 'other'], store);
      during = namesIn(store, 'tmp');
    });
    assert.lengthOf(during, 2, 'the foreign one and that of the writer that lives');
    assert.include(during, foreign);
    assert.deepEqual(namesIn(store, 'tmp'), [foreign]);
  });

  it('loads at the same time, of the same archive and of different ones, all succeed', async () => {
    const store = 'crowd';
    const archives = ['base.tar', 'base.tar', 'first.tar', 'second.tar'];
    const outcomes = await Promise.all(
      archives.map((archive) => shop.start(['load', '-q', '-i', archive], store).ended),
    );
    for (const { status, stderr } of outcomes)
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    assert.sameMembers(
      shop.images(store).flatMap(({ RepoTags }) => RepoTags),
      ['app:base', 'app:first', 'app:second'],
    );
    assert.lengthOf(namesIn(store, 'layers'), 4, 'what they share is there once');
    assert.isEmpty(namesIn(store, 'tmp'));
    assertSound(store);
  });

  it('who lists is not blocked by who writes, nor by who removes', async () => {
    const store = 'read';
    shop.succeed(['load', '-q', '-i', 'base.tar'], store);
    await Store.open(at(store)).write(async () => assert.lengthOf(shop.images(store), 1));
    await Store.open(at(store)).remove(() => {
      assert.lengthOf(shop.images(store), 1);
      return { names: [], images: [] };
    });
  });

  describe('removing', () => {
    const store = 'removal';
    before(() => shop.succeed(['load', '-q', '-i', 'app'], store));

    it('one image leaves what the others share with it', () => {
      const before = namesIn(store, 'layers').length;
      const said = shop.succeed(['rmi', 'app:first'], store);
      assert.match(said, /^Untagged: app:first\nDeleted: sha256:\w{64}\nDeleted: sha256:\w{64}$/);
      assert.lengthOf(namesIn(store, 'layers'), before - 1);
      assertSound(store);
    });

    it('a name leaves the image while it has others', () => {
      shop.succeed(['tag', 'app:second', 'more'], store);
      assert.equal(shop.succeed(['rmi', 'app:second'], store), 'Untagged: app:second');
      assert.equal(shop.images(store).length, 2);
    });

    it('an image with several names is not removed by its ID, unless that is forced', () => {
      shop.succeed(['tag', 'more', 'another'], store);
      const id = shop.succeed(['images', '-q', 'more'], store);
      const refused = shop.tscr(['rmi', id], { store });
      assert.equal(refused.status, 125);
      assert.match(
        refused.stderr,
        /^tscr rmi: image "\w{12}" has several names: "another:latest", "more:latest"; .*\n$/,
      );
      shop.succeed(['rmi', '-f', id], store);
    });

    it('the last image leaves nothing', () => {
      shop.succeed(['rmi', 'app:base'], store);
      assert.isEmpty(namesIn(store, 'layers'));
      assert.isEmpty(namesIn(store, 'blobs', 'sha256'));
    });
  });

  describe('a damaged archive is refused, and nothing of it is kept', () => {
    const DAMAGES: readonly [what: string, damage: (layout: string) => void, says: RegExp][] = [
      [
        'a layer whose bytes changed',
        (layout) => change(layerOf(layout)),
        /^tscr load: "blobs\/sha256\/\w{64}" has the digest "sha256:\w{64}", not the expected "sha256:\w{64}"\n$/,
      ],
      [
        'a layer that is cut off',
        (layout) => writeFileSync(layerOf(layout), readFileSync(layerOf(layout)).subarray(0, 100)),
        /^tscr load: "blobs\/sha256\/\w{64}" has the digest /,
      ],
      [
        'a layer that is another one',
        (layout) => replaceDiffId(layout),
        /^tscr load: layer "sha256:\w{64}", unpacked, has the digest "sha256:\w{64}", not the expected "sha256:0{64}"\n$/,
      ],
      [
        'a layer that is missing',
        (layout) => renameSync(layerOf(layout), `${layerOf(layout)}.gone`),
        /^tscr load: the archive does not contain "blobs\/sha256\/\w{64}"\n$/,
      ],
      [
        'an index that is no JSON',
        (layout) => writeFileSync(join(layout, 'index.json'), '{'),
        /^tscr load: index.json is not valid JSON\n$/,
      ],
      [
        'an index with a wrong digest',
        (layout) => rewrite(join(layout, 'index.json'), /"sha256:\w{64}"/, '"sha256:../../x"'),
        /^tscr load: index.json: "manifests\[0\].digest" must be a sha256 digest.*, not "sha256:..\/..\/x"\n$/,
      ],
    ];

    for (const [at, [what, damage, says]] of DAMAGES.entries()) {
      it(what, () => {
        const layout = shop.path(`damaged-${at}`);
        shop.run('skopeo', ['copy', '-q', 'oci:app:base', `oci:${layout}:app:base`]);
        damage(layout);
        const store = `damaged-store-${at}`;
        const { status, stderr } = shop.tscr(['load', '-q', '-i', layout], { store });
        assert.equal(status, 125);
        assert.match(stderr, says);
        for (const place of ['blobs/sha256', 'layers', 'tmp']) assert.isEmpty(namesIn(store, place), place);
      });
    }
  });

  it('a store that lost a blob says so, and heals when its image is loaded again', () => {
    const store = 'lost';
    shop.succeed(['load', '-q', '-i', 'base.tar'], store);
    const { id } = Store.open(at(store)).find('app:base');
    renameSync(at(store, 'blobs', 'sha256', id.slice(-HEX_LENGTH)), shop.path('lost-blob'));
    const { status, stderr } = shop.tscr(['images'], { store });
    assert.equal(status, 0);
    assert.match(
      stderr,
      /^tscr images: image "app:base": the store ".*lost" is damaged: "sha256:\w{64}" is missing; load its image again, .*\n$/,
    );
    shop.succeed(['load', '-q', '-i', 'base.tar'], store);
    assert.lengthOf(shop.images(store), 1);
  });
});

const documentOf = (layout: string, digest: string): string =>
  join(layout, 'blobs', 'sha256', digest.slice(7));

function manifestOf(layout: string): {
  path: string;
  config: { digest: string };
  layers: { digest: string }[];
} {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  const path = documentOf(layout, index.manifests[0]?.digest ?? '');
  return { path, ...JSON.parse(readFileSync(path, 'utf8')) };
}

const layerOf = (layout: string): string => documentOf(layout, manifestOf(layout).layers[0]?.digest ?? '');

function change(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function rewrite(path: string, pattern: RegExp, by: string): string {
  const text = readFileSync(path, 'utf8').replace(pattern, by);
  writeFileSync(path, text);
  return text;
}

/** Lets the configuration promise another layer, with all digests above it right. */
function replaceDiffId(layout: string): void {
  const { path, config } = manifestOf(layout);
  const store = (text: string): string => {
    const digest = `sha256:${sha256(Buffer.from(text))}`;
    writeFileSync(documentOf(layout, digest), text);
    return digest;
  };
  const digest = store(
    rewrite(
      documentOf(layout, config.digest),
      /("diff_ids":\[)"sha256:\w{64}"/,
      `$1"sha256:${'0'.repeat(HEX_LENGTH)}"`,
    ),
  );
  const manifest = rewrite(path, new RegExp(config.digest), digest);
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8'));
  index.manifests[0].digest = store(manifest);
  index.manifests[0].size = manifest.length;
  writeFileSync(join(layout, 'index.json'), JSON.stringify(index));
}
