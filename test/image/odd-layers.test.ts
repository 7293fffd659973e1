/**
 * Protects images as others make them: layers in every compression and in odd forms, and layers that lean on those below,
 * show the tree that podman shows (containers/storage, with its vfs driver, which unpacks a layer upon those below).
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { assert } from 'chai';
import { flattenStack } from '../../fs/union/offline/flatten.js';
import { checkStore } from '../../runtime/container/lifecycle/check.js';
import { Store } from '../../runtime/image/store/store.js';
import { describeTree, diffTrees, type Tree } from '../support/acceptance/tree.js';
import { archive, base256, entry, type Fields, GNU, longName, paxHeader } from '../support/image/archive.js';
import { type ArchivedLayer, dockerArchive } from '../support/image/docker-archive.js';
import { addImage } from '../support/image/small-image.js';
import { useWorkshop } from '../support/image/workshop.js';

const END = Buffer.alloc(1024);
const plain = (...entries: readonly Fields[]): ArchivedLayer => ({ tar: archive(...entries) });
const raw = (...parts: readonly Buffer[]): ArchivedLayer => ({ tar: Buffer.concat(parts) });
const directory = (name: string, mode = 0o755, rest: Partial<Fields> = {}): Fields => ({
  name,
  flag: '5',
  mode,
  ...rest,
});
/** As tar programs write it, with the attributes that the file has. */
const link = (name: string, linkName: string, { mode, uid, gid, mtime }: Partial<Fields> = {}): Fields => ({
  name,
  flag: '1',
  linkName,
  ...(mode !== undefined && { mode }),
  ...(uid !== undefined && { uid }),
  ...(gid !== undefined && { gid }),
  ...(mtime !== undefined && { mtime }),
});
const FILE = { mode: 0o4755, uid: 5, gid: 6, mtime: 77 };
const PIPE = { mode: 0o620 };
const symlink = (name: string, linkName: string): Fields => ({ name, flag: '2', linkName });

/** A layer that is compressed by another program. */
function through(command: string, args: readonly string[], tar: Buffer): ArchivedLayer {
  const { status, stdout, stderr } = spawnSync(command, args, { input: tar });
  assert.equal(status, 0, String(stderr));
  return { tar, stored: stdout };
}

const TAR = archive(directory('d', 0o750, { uid: 3 }), { name: 'd/f', data: 'x'.repeat(3000) });
const SKIPPABLE = Buffer.from('502a4d180400000011223344', 'hex');
const zstd = (tar: Buffer): Buffer => through('zstd', ['-q', '-c'], tar).stored as Buffer;

const BASE = plain(
  directory('./', 0o711, { uid: 7, gid: 8 }),
  directory('etc', 0o700, { uid: 1, gid: 2, mtime: 1000 }),
  directory('etc/deep', 0o2770, { uid: 3, gid: 4 }),
  {
    name: 'etc/deep/file',
    data: 'below',
    mode: 0o4755,
    uid: 5,
    gid: 6,
    mtime: 77,
    pax: { 'SCHILY.xattr.user.a': 'b' },
  },
  symlink('etc/link', 'deep/file'),
  symlink('to', 'etc'),
  { name: 'etc/pipe', flag: '6', mode: 0o620 },
  directory('gone', 0o700),
  { name: 'gone/file', data: 'gone' },
);

/** Images that podman takes too: both show the same. */
const IMAGES: readonly (readonly [what: string, layers: readonly ArchivedLayer[]])[] = [
  ['gzip', [{ tar: TAR, stored: gzipSync(TAR) }]],
  [
    'gzip in members, some empty',
    [
      {
        tar: TAR,
        stored: Buffer.concat([
          gzipSync(''),
          gzipSync(TAR.subarray(0, 700)),
          gzipSync(''),
          gzipSync(TAR.subarray(700)),
        ]),
      },
    ],
  ],
  [
    'zstd in frames, some to be skipped',
    [{ tar: TAR, stored: Buffer.concat([zstd(TAR.subarray(0, 700)), SKIPPABLE, zstd(TAR.subarray(700))]) }],
  ],
  ['xz', [through('xz', ['-c'], TAR)]],
  ['bzip2', [through('bzip2', ['-c'], TAR)]],
  ['a layer of nothing but its end', [BASE, raw(END)]],
  [
    'bytes behind the end',
    [BASE, raw(archive({ name: 'x', data: '1' }), Buffer.from('garbage!'.repeat(64)))],
  ],
  ['zeros behind the end', [raw(archive({ name: 'x', data: '1' }), Buffer.alloc(20_480))]],
  ['one zero block for an end', [raw(entry({ name: 'x', data: '1' }), Buffer.alloc(512))]],
  ['no end', [raw(entry({ name: 'x', data: '1' }))]],
  [
    'the same layer twice',
    [BASE, plain({ name: 'e', data: 'x' }), plain({ name: '.wh.e' }), plain({ name: 'e', data: 'x' })],
  ],
  [
    'global PAX headers',
    [raw(paxHeader({ comment: 'x', path: 'wrong' }, 'g'), archive({ name: 'right', data: 'x' }))],
  ],
  [
    'a v7 header',
    [plain({ name: 'old', magic: '', data: 'x' }, { name: 'olddir/', magic: '', flag: '\0', mode: 0o711 })],
  ],
  [
    'GNU long names',
    [
      raw(
        longName('L', `${'n'.repeat(120)}/${'m'.repeat(200)}`),
        archive({ name: 'n', magic: GNU, data: 'x' }),
      ),
    ],
  ],
  [
    'numbers in base 256',
    [
      plain({
        name: 'f',
        uid: base256(3_000_000n, 8),
        mtime: base256(2_000_000_000n, 12),
        size: base256(1n, 12),
        data: 'x',
      }),
    ],
  ],
  ['a name of 255 bytes', [plain({ name: 'x', data: 'x', pax: { path: 'n'.repeat(255) } })]],
  [
    'absolute names, "./" and slashes at the end',
    [
      plain({ name: '/abs', data: '1' }, { name: './dot', data: '2' }, directory('slashed//', 0o700), {
        name: 'slashed//in',
        data: '3',
      }),
    ],
  ],
  ['a hard link to a symlink', [plain(symlink('s', 'nowhere'), link('h', 's'))]],
  ['a whiteout', [BASE, plain({ name: 'gone/.wh.file' })]],
  ['a whiteout of a directory', [BASE, plain({ name: '.wh.gone' })]],
  [
    'an opaque directory',
    [BASE, plain(directory('gone', 0o711), { name: 'gone/.wh..wh..opq' }, { name: 'gone/new', data: 'n' })],
  ],
  ['an entry without parents', [BASE, plain({ name: 'etc/deep/new', data: 'n' })]],
  ['an entry without parents at a new place', [BASE, plain({ name: 'etc/new/er/file', data: 'n' })]],
  ['a hard link to a file of a layer below', [BASE, plain(link('hard', 'etc/deep/file', FILE))]],
  [
    'a hard link beside a file of a layer below',
    [BASE, plain(link('etc/deep/hard', 'etc/deep/file', FILE), link('third', 'etc/deep/hard', FILE))],
  ],
  [
    'a hard link to a file two layers below',
    [BASE, plain({ name: 'x', data: 'x' }), plain(link('hard', 'etc/deep/file', FILE))],
  ],
  ['a hard link to a symlink of a layer below', [BASE, plain(link('hard', 'etc/link'))]],
  ['a hard link to a FIFO of a layer below', [BASE, plain(link('hard', 'etc/pipe', PIPE))]],
  ['a hard link that replaces a file', [BASE, plain(link('gone/file', 'etc/deep/file', FILE))]],
  ['a root with rights of its own', [BASE, plain({ name: 'x', data: 'x' })]],
];

describe('layers as others make them', function () {
  this.timeout(120_000);
  const shop = useWorkshop();
  let count = 0;

  function ourTree(root: string, name: string): Tree {
    const place = shop.path(`tree-${count++}`);
    mkdirSync(place);
    flattenStack({ lowers: [...Store.open(root).find(name).layers].reverse() }, place);
    return describeTree(place);
  }

  /** Times of what no entry describes are nobody's, and so is a root that no entry describes. */
  const comparable = (tree: Tree, layers: readonly ArchivedLayer[]): Tree =>
    new Map(
      [...tree].flatMap(([path, entry]) =>
        path === '.' && layers[0] !== BASE ? [] : [[path, { ...entry, mtime: '' }] as const],
      ),
    );

  describe('show what podman shows', () => {
    before(() => {
      for (const [at, [, layers]] of IMAGES.entries())
        shop.write(`image-${at}.tar`, dockerArchive(`image:${at}`, layers));
    });

    for (const [at, [what, layers]] of IMAGES.entries()) {
      it(what, async () => {
        const name = `image:${at}`;
        const store = shop.path(`ours-${at}`);
        shop.succeed(['load', '-q', '-i', `image-${at}.tar`], `ours-${at}`);
        shop.podman(['load', '-q', '-i', shop.path(`image-${at}.tar`)]);
        const theirs =
          shop
            .podman(['image', 'mount', `localhost/${name}`])
            .trim()
            .split(/\s+/)
            .at(-1) ?? '';
        try {
          assert.deepEqual(
            diffTrees(comparable(describeTree(theirs), layers), comparable(ourTree(store, name), layers)),
            [],
          );
        } finally {
          shop.podman(['image', 'umount', `localhost/${name}`]);
          shop.podman(['rmi', '-f', `localhost/${name}`]);
        }
        assert.deepEqual((await checkStore(Store.open(store), false)).findings, []);
      });
    }
  });

  it('a layer that leans on those below belongs to its place', async () => {
    const root = shop.path('places');
    const leaning = plain({ name: 'etc/new', data: 'n' }, link('hard', 'etc/file'));
    const base = (data: string, mode: number): ArchivedLayer =>
      plain(directory('etc', mode), { name: 'etc/file', data });
    await addImage(root, dockerArchive('a:1', [base('a', 0o700), leaning]));
    await addImage(root, dockerArchive('b:1', [base('b', 0o711), leaning]));
    await addImage(root, dockerArchive('a:2', [base('a', 0o700), leaning, plain({ name: 'more' })]));
    assert.lengthOf(readdirSync(join(root, 'layers')), 5, 'two bases, the layer at two places, one more');
    const seen = (name: string) => {
      const tree = ourTree(root, name);
      return [tree.get('./etc') ?? tree.get('etc'), tree.get('hard') ?? tree.get('./hard')].map((one) => [
        one?.['mode'],
        one?.['sha256'] ?? one?.['content'],
      ]);
    };
    assert.deepEqual(seen('a:2'), seen('a:1'));
    assert.notDeepEqual(seen('b:1'), seen('a:1'));
    assert.deepEqual((await checkStore(Store.open(root), false)).findings, []);
  });

  it('a layer that says nothing of its root is shared unless the roots differ', async () => {
    const root = shop.path('roots');
    const layer = plain({ name: 'x', data: 'x' });
    await addImage(root, dockerArchive('usual:1', [plain(directory('./'), { name: 'a' }), layer]));
    await addImage(root, dockerArchive('usual:2', [plain(directory('./'), { name: 'b' }), layer]));
    assert.lengthOf(readdirSync(join(root, 'layers')), 3);
    await addImage(root, dockerArchive('other:1', [plain(directory('./', 0o555), { name: 'c' }), layer]));
    assert.equal(ourTree(root, 'other:1').get('.')?.['mode'], '555');
    assert.equal(ourTree(root, 'usual:2').get('.')?.['mode'], '755');
  });

  for (const [what, layers, says] of [
    [
      'a file that no layer holds',
      [BASE, plain(link('hard', 'no'))],
      /is a hard link to "no", which exists neither in this layer nor in those below/,
    ],
    [
      'a file that the layer deletes',
      [BASE, plain({ name: 'gone/.wh.file' }, link('hard', 'gone/file'))],
      /which exists neither/,
    ],
    ['a directory of a layer below', [BASE, plain(link('hard', 'etc'))], /which exists neither|directory/],
    ['a file beyond the root', [BASE, plain(link('hard', '../../etc/passwd'))], /contains "\.\."/],
    ['a file before it comes', [plain(link('hard', 'f'), { name: 'f', data: 'x' })], /which exists neither/],
  ] as const) {
    it(`refuses a hard link to ${what}`, async () => {
      const root = shop.path(`refused-${count++}`);
      const error = await addImage(root, dockerArchive('x:1', layers)).catch(
        (reason: unknown) => reason as Error,
      );
      assert.match((error as Error).message, says);
      assert.isEmpty(readdirSync(join(root, 'layers')));
    });
  }

  for (const command of ['xz', 'bzip2']) {
    it(`keeps a layer of ${command} so that others read what is saved`, () => {
      const store = `saved-${command}`;
      shop.write(`${command}.tar`, dockerArchive('saved:1', [through(command, ['-c'], TAR)]));
      shop.succeed(['load', '-q', '-i', `${command}.tar`], store);
      shop.succeed(['save', '--format', 'oci', '-o', `${command}-oci.tar`, 'saved:1'], store);
      shop.run('skopeo', ['copy', '-q', `oci-archive:${command}-oci.tar`, `dir:${command}-dir`]);
      shop.succeed(['save', '-o', `${command}-docker.tar`, 'saved:1'], store);
      shop.run('skopeo', ['copy', '-q', `docker-archive:${command}-docker.tar`, `dir:${command}-dir2`]);
    });

    it(`loads an archive of ${command}`, () => {
      shop.write('whole.tar', dockerArchive('whole:1', [plain({ name: 'x' })]));
      shop.run('sh', ['-c', `${command} -c whole.tar > whole.${command}`]);
      assert.equal(
        shop.succeed(['load', '-q', '-i', `whole.${command}`], `whole-${command}`),
        'Loaded image: whole:1',
      );
    });
  }
});
