/**
 * Protects the way in and out: archives of other tools load with the same IDs and layers whatever their form, and what
 * we save they load with the same IDs.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { Store } from '../../runtime/image/store/store.js';
import { assertSameTree } from '../support/acceptance/stage.js';
import { describeTree } from '../support/acceptance/tree.js';
import { useWorkshop } from '../support/image/workshop.js';

const TWO = {
  one: [{ '/etc/os': 'one', '/etc/gone': 'x', '/dir/file': 'data' }, { '/etc/gone': null }],
  two: [{ '/etc/two': 'two' }],
};

interface Details {
  readonly Id: string;
  readonly RepoTags: readonly string[];
  readonly RootFS: { readonly Layers: readonly string[] };
}

describe('image archives', function () {
  this.timeout(120_000);
  const shop = useWorkshop();
  let reference: Details;

  before(() => {
    shop.layout('oci', TWO);
    shop.run('skopeo', ['copy', '-q', 'oci:oci:one', 'docker-archive:docker.tar:app:one']);
    shop.run('skopeo', ['copy', '-q', 'oci:oci:one', 'oci-archive:oci.tar:app:one']);
    shop.run('skopeo', [
      'copy',
      '-q',
      '--dest-compress-format',
      'zstd',
      'oci:oci:one',
      'oci:zstd-layers:app:one',
    ]);
    shop.run('gzip', ['-k', 'docker.tar']);
    shop.run('zstd', ['-q', 'docker.tar', 'oci.tar']);
    shop.podman(['load', '-q', '-i', shop.path('docker.tar')]);
    shop.podman(['save', '-q', '-o', shop.path('podman.tar'), 'app:one']);
    shop.podman(['save', '-q', '--format', 'oci-archive', '-o', shop.path('podman-oci.tar'), 'app:one']);
    mkdirSync(shop.path('unpacked'));
    shop.run('tar', ['-xf', 'docker.tar', '-C', 'unpacked']);
    shop.succeed(['load', '-i', 'docker.tar'], 'reference');
    reference = shop.inspect<Details>('app:one', 'reference');
  });

  it('skopeo and the store agree on the ID and the layers', () => {
    const config = shop.run('skopeo', ['inspect', '--config', '--raw', 'docker-archive:docker.tar']);
    assert.equal(reference.Id, `sha256:${createHash('sha256').update(config, 'latin1').digest('hex')}`);
    const { rootfs } = JSON.parse(config) as { rootfs: { diff_ids: string[] } };
    assert.deepEqual(reference.RootFS.Layers, rootfs.diff_ids);
    assert.lengthOf(rootfs.diff_ids, 4);
  });

  const layersOf = (name: string, store: string) => Store.open(shop.path(store)).find(name).layers;

  const FORMS: readonly [what: string, path: string, name: string][] = [
    ['docker archive', 'docker.tar', 'app:one'],
    ['docker archive with gzip', 'docker.tar.gz', 'app:one'],
    ['docker archive with zstd', 'docker.tar.zst', 'app:one'],
    ['docker archive, unpacked', 'unpacked', 'app:one'],
    ['docker archive of podman', 'podman.tar', 'app:one'],
    ['OCI archive', 'oci.tar', 'app:one'],
    ['OCI archive with zstd', 'oci.tar.zst', 'app:one'],
    ['OCI archive of podman', 'podman-oci.tar', 'app:one'],
    ['OCI layout of umoci, by its tag', 'oci', 'oci:one'],
    ['OCI layout with zstd layers', 'zstd-layers', 'app:one'],
  ];
  for (const [at, [what, path, name]] of FORMS.entries()) {
    it(`${what} loads with the same layers`, () => {
      const store = `form-${at}`;
      assert.include(shop.succeed(['load', '-q', '-i', path], store).split('\n'), `Loaded image: ${name}`);
      const loaded = shop.inspect<Details>(name, store);
      assert.deepEqual(loaded.RootFS, reference.RootFS);
      const layers = layersOf(name, store);
      for (const [at, layer] of layersOf('app:one', 'reference').entries())
        assertSameTree(describeTree(layers[at] ?? ''), describeTree(layer), `layer ${at + 1}`);
    });
  }

  it('an archive comes through a pipe', () => {
    const outcome = shop.tscr(['load'], { store: 'piped', input: 'oci.tar.zst' });
    assert.equal(outcome.stdout, 'Loaded image: app:one\n');
    assert.equal(shop.inspect<Details>('app:one', 'piped').Id, shop.inspect<Details>('app:one', 'form-5').Id);
  });

  it('a layout with manifest.json beside, as docker saves since version 25, is loaded as a layout', () => {
    const read = <T>(path: string): T => JSON.parse(readFileSync(shop.path(path), 'utf8')) as T;
    shop.run('skopeo', ['copy', '-q', 'oci:oci:one', 'oci:hybrid:one']);
    const index = read<{ manifests: { digest: string; annotations: object }[] }>('hybrid/index.json');
    const [entry = assert.fail('no manifest')] = index.manifests;
    const blob = (digest: string): string => `blobs/sha256/${digest.slice(7)}`;
    entry.annotations = {
      'io.containerd.image.name': 'docker.io/library/hybrid:one',
      'org.opencontainers.image.ref.name': 'one',
    };
    const manifest = read<{ config: { digest: string }; layers: { digest: string }[] }>(
      `hybrid/${blob(entry.digest)}`,
    );
    const Layers = manifest.layers.map(({ digest }) => blob(digest));
    const docker = [{ Config: blob(manifest.config.digest), RepoTags: ['hybrid:one'], Layers }];
    shop.write('hybrid/index.json', JSON.stringify(index));
    shop.write('hybrid/manifest.json', JSON.stringify(docker));
    shop.run('tar', ['-C', 'hybrid', '-cf', 'hybrid.tar', '.']);
    assert.equal(
      shop.succeed(['load', '-q', '-i', 'hybrid.tar'], 'hybrid-store'),
      'Loaded image: hybrid:one',
    );
    assert.equal(shop.succeed(['images', '--format', '{{.Digest}}'], 'hybrid-store'), entry.digest);
  });

  it('several images of one archive share their layers on the disk', () => {
    shop.succeed(['load', '-q', '-i', 'oci'], 'both');
    const images = shop.images('both');
    assert.sameMembers(
      images.flatMap(({ RepoTags }) => RepoTags),
      ['oci:one', 'oci:two'],
    );
    assert.lengthOf(readdirSync(shop.path('both', 'layers')), 5);
  });

  it('the platform of this machine is taken from an index of several', () => {
    shop.run('umoci', ['config', '--image', 'oci:one', '--tag', 'foreign', '--architecture', 'sparc']);
    const index = JSON.parse(readFileSync(shop.path('oci/index.json'), 'utf8')) as {
      manifests: { digest: string; annotations: Record<string, string> }[];
    };
    const entry = (tag: string, architecture: string): object => {
      const found = index.manifests.find(
        ({ annotations }) => annotations['org.opencontainers.image.ref.name'] === tag,
      );
      return { ...found, annotations: undefined, platform: { os: 'linux', architecture } };
    };
    const nested = JSON.stringify({
      schemaVersion: 2,
      manifests: [entry('foreign', 'sparc'), entry('one', process.arch === 'x64' ? 'amd64' : process.arch)],
    });
    const digest = createHash('sha256').update(nested).digest('hex');
    shop.run('cp', ['-r', 'oci', 'multi']);
    shop.write(`multi/blobs/sha256/${digest}`, nested);
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const annotations = { 'org.opencontainers.image.ref.name': 'multi:1' };
    const manifests = [{ mediaType, digest: `sha256:${digest}`, size: nested.length, annotations }];
    shop.write('multi/index.json', JSON.stringify({ schemaVersion: 2, manifests }));
    assert.equal(shop.succeed(['load', '-q', '-i', 'multi'], 'multi-store'), 'Loaded image: multi:1');
    assert.equal(shop.succeed(['inspect', '-f', '{{.Architecture}}', 'multi:1'], 'multi-store'), 'amd64');
  });

  describe('saved', () => {
    before(() => {
      shop.succeed(['load', '-q', '-i', 'oci']);
      shop.succeed(['save', '-o', 'ours.tar', 'oci:one', 'oci:two']);
      shop.succeed(['save', '-o', 'single.tar', 'oci:one']);
      shop.succeed(['save', '--format', 'oci', '-o', 'ours-oci.tar', 'oci:one']);
    });

    const configOf = (source: string): string =>
      createHash('sha256')
        .update(shop.run('skopeo', ['inspect', '--config', '--raw', source]), 'latin1')
        .digest('hex');

    for (const source of [
      'docker-archive:single.tar',
      'docker-archive:ours.tar:oci:one',
      'oci-archive:ours-oci.tar',
    ]) {
      it(`skopeo reads ${source} and finds the same ID`, () => {
        assert.equal(`sha256:${configOf(source)}`, shop.inspect<Details>('oci:one').Id);
      });
    }

    for (const archive of ['single.tar', 'ours-oci.tar']) {
      it(`podman loads ${archive} and shows the same ID`, () => {
        shop.podman(['load', '-q', '-i', shop.path(archive)]);
        const ids = shop.podman(['images', '--no-trunc', '-q']).split('\n');
        assert.include(ids, shop.inspect<Details>('oci:one').Id);
      });
    }

    it('umoci unpacks our layout', () => {
      mkdirSync(shop.path('ours-layout'));
      shop.run('tar', ['-xf', 'ours-oci.tar', '-C', 'ours-layout']);
      shop.run('umoci', ['unpack', '--image', 'ours-layout:docker.io/library/oci:one', 'bundle']);
      assert.deepEqual(readdirSync(shop.path('bundle/rootfs/etc')), ['os']);
    });

    it('the same images give the same bytes, in another process too', () => {
      for (const format of ['docker-archive', 'oci']) {
        shop.succeed(['save', '--format', format, '-o', 'first', 'oci:one', 'oci:two']);
        shop.succeed(['save', '--format', format, '-o', 'second', 'oci:one', 'oci:two']);
        assert.isTrue(readFileSync(shop.path('first')).equals(readFileSync(shop.path('second'))), format);
      }
    });

    it('what was saved loads again with the same ID and manifest', () => {
      const [{ Id, Digest } = assert.fail()] = JSON.parse(shop.succeed(['images', '--json', 'oci:one']));
      shop.succeed(['load', '-q', '-i', 'ours-oci.tar'], 'again');
      const [again] = JSON.parse(shop.succeed(['images', '--json'], 'again'));
      assert.deepInclude(again, { Id, Digest });
    });

    it('a docker archive has the files of version 1.2, and each layer once', () => {
      const list = shop.run('tar', ['-tvf', 'ours.tar']).trimEnd().split('\n');
      const files = list.map((line) => line.replace(/ -> .*/, '').replace(/.* /, ''));
      assert.includeMembers(files, ['manifest.json', 'repositories']);
      const layers = files.filter((file) => /^[0-9a-f]{64}\/$/.test(file));
      for (const layer of layers) {
        assert.includeMembers(files, [`${layer}VERSION`, `${layer}json`, `${layer}layer.tar`]);
      }
      const regular = list.filter((line) => line.startsWith('-') && line.endsWith('layer.tar'));
      assert.lengthOf(regular, 5, 'four layers of the first image, one more of the second');
      shop.run('tar', ['-xf', 'ours.tar', '--one-top-level=v12']);
      const read = <T>(file: string): T => JSON.parse(readFileSync(shop.path('v12', file), 'utf8')) as T;
      const repositories = read<{ oci?: { two?: string } }>('repositories');
      assert.sameMembers(Object.keys(repositories.oci ?? {}), ['one', 'two']);
      const top = repositories.oci?.two ?? '';
      let [id, depth]: [string | undefined, number] = [top, 0];
      for (; id !== undefined; depth++) id = read<{ parent?: string }>(`${id}/json`).parent;
      assert.equal(depth, 5, 'parents lead from the top layer to the base');
      assert.equal(readFileSync(shop.path('v12', top, 'VERSION'), 'utf8'), '1.0');
      for (const { Config, Layers } of read<{ Config: string; Layers: string[] }[]>('manifest.json')) {
        const { rootfs } = read<{ rootfs: { diff_ids: string[] } }>(Config);
        const digests = Layers.map((file) =>
          createHash('sha256').update(readFileSync(shop.path('v12', file))),
        );
        assert.deepEqual(
          digests.map((hash) => `sha256:${hash.digest('hex')}`),
          rootfs.diff_ids,
        );
      }
    });
  });
});
