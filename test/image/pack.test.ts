/**
 * Protects what leaves the store: any tree and any change comes back as it was, through our own reader, GNU tar, the
 * kernel's overlayfs and umoci; the same files give the same bytes.
 */
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { assert } from 'chai';
import fc from 'fast-check';
import { packChanges, packTree } from '../../runtime/image/layer/pack.js';
import { unpackLayer } from '../../runtime/image/layer/unpack.js';
import { describeTree, diffTrees, type Tree } from '../support/acceptance/tree.js';
import { escaped, grow, plans } from '../support/image/random-tree.js';
import { collect, useScratch } from '../support/image/scratch.js';
import { run } from '../support/run.js';

/** Everything that is done to the mounted union; the lower layers are in LOWER. */
const CHANGES = `
set -e
rm file; rm -r gone
rm -r replaced; mkdir replaced; echo new > replaced/new
mv moved moved-away; echo more > moved-away/more; rm moved-away/inside/b
mkdir -p deep/er; mv other deep/er/other; mv deep/er deep/est
rm becomes-dir; mkdir becomes-dir; echo x > becomes-dir/x
rm -r becomes-file; echo x > becomes-file
chmod 4711 touched; chown 5:6 mode-only
echo data > linked; ln linked also-linked; ln -s /etc/passwd symlink; mkfifo fifo; mknod device c 1 3
echo cap > capable; setcap cap_net_raw+ep capable
mkdir empty; touch -d @1.5 empty
setfattr -n user.note -v 0sgP8A touched
setfattr -n trusted.overlay.opaque -v y replaced/new
echo name > "$(printf 'b\\351')"
rm -r target; mv third target
mkdir etc; echo h > etc/hosts; echo k > etc/kept
`;
const LOWER = `
set -e
echo 1 > file; mkdir gone; echo 2 > gone/a
mkdir -p replaced/old; echo 3 > replaced/old/f; echo 3 > replaced/new
mkdir -p moved/inside; echo 4 > moved/inside/a; echo 5 > moved/inside/b; ln moved/inside/a moved/inside/link
mkdir -p other/sub; echo 6 > other/sub/f; echo 7 > becomes-dir; mkdir becomes-file; echo 8 > becomes-file/x
echo 9 > touched; echo 10 > mode-only; mkdir untouched; echo 11 > untouched/f
mkdir target third; echo 12 > target/hidden; echo 13 > third/f
`;

describe('pack', () => {
  const scratch = useScratch();
  const mounts: string[] = [];

  afterEach(() => {
    for (const mountpoint of mounts.splice(0)) run('umount', [mountpoint]);
  });

  function mountOverlay(options: string): string {
    const mountpoint = scratch.fresh('merged');
    run('mount', ['-t', 'overlay', 'overlay', '-o', options, mountpoint]);
    mounts.push(mountpoint);
    return mountpoint;
  }

  const shell = (script: string, cwd: string): string => run('bash', ['-c', script], { cwd });

  /** A union that the kernel changed; its tree as the kernel shows it. */
  function changed(script: string): { lower: string; upper: string; tree: Tree } {
    const [lower, upper, work] = [scratch.fresh('lower'), scratch.fresh('upper'), scratch.fresh('work')];
    shell(LOWER, lower);
    const merged = mountOverlay(
      `lowerdir=${lower},upperdir=${upper},workdir=${work},redirect_dir=on,index=off,metacopy=off`,
    );
    shell(script, merged);
    const tree = describeTree(merged);
    run('umount', [mounts.pop() ?? '']);
    return { lower, upper, tree };
  }

  it('gives back any tree', async function () {
    this.timeout(60_000);
    const check = async (inside: Parameters<typeof grow>[1]): Promise<void> => {
      const source = scratch.fresh('source');
      grow(source, inside);
      const ours = scratch.fresh('ours');
      await unpackLayer(packTree(source), ours);
      assert.deepEqual(diffTrees(escaped(describeTree(source)), describeTree(ours)), []);
      run('rm', ['-rf', source, ours]);
    };
    await fc.assert(fc.asyncProperty(plans, check), { numRuns: 60, seed: 8 });
  });

  it('gives any tree to GNU tar', async function () {
    this.timeout(60_000);
    const check = async (inside: Parameters<typeof grow>[1]): Promise<void> => {
      const [source, theirs] = [scratch.fresh('source'), scratch.fresh('theirs')];
      grow(source, inside);
      const tar = scratch.path('ours.tar');
      await pipeline(packTree(source), createWriteStream(tar));
      run('tar', ['--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', tar, '-C', theirs]);
      assert.deepEqual(diffTrees(describeTree(source), describeTree(theirs)), []);
      run('rm', ['-rf', source, theirs]);
    };
    await fc.assert(fc.asyncProperty(plans, check), { numRuns: 60, seed: 9 });
  });

  it('writes a whole tree sorted, the same twice, without sockets', async () => {
    const source = scratch.fresh('source');
    shell('mkdir b a; touch b/z b/y a.txt c; ln c d', source);
    const server = createServer().listen(`${source}/socket`);
    const [once, twice] = [await collect(packTree(source)), await collect(packTree(source))];
    server.close();
    assert.isTrue(once.equals(twice));
    const names = spawnSync('tar', ['-t'], { input: once }).stdout.toString().trim().split('\n');
    assert.deepEqual(names, ['./', 'a/', 'a.txt', 'b/', 'b/y', 'b/z', 'c', 'd']);
  });

  it('writes changes that, over the same layers, show the same tree', async () => {
    const { lower, upper, tree } = changed(CHANGES);
    const layer = scratch.fresh('layer');
    await unpackLayer(packChanges({ lowers: [lower], upper }), layer);
    assert.deepEqual(diffTrees(tree, describeTree(mountOverlay(`lowerdir=${layer}:${lower}`))), []);
  });

  it('writes changes that umoci understands', async function () {
    this.timeout(60_000);
    const { lower, upper, tree } = changed(CHANGES);
    const [layout, root] = [scratch.path('oci'), scratch.path('umoci')];
    const layers = [packTree(lower), packChanges({ lowers: [lower], upper })];
    run('umoci', ['init', '--layout', layout]);
    run('umoci', ['new', '--image', `${layout}:x`]);
    for (const [at, layer] of layers.entries()) {
      const tar = scratch.path(`umoci-${at}.tar`);
      await pipeline(layer, createWriteStream(tar));
      run('umoci', ['raw', 'add-layer', '--image', `${layout}:x`, tar]);
    }
    run('umoci', ['raw', 'unpack', '--image', `${layout}:x`, root]);
    const stripped = run('find', [root, '-name', 'new', '-path', '*replaced*']).trim();
    assert.equal(stripped, `${root}/replaced/new`);
    // umoci leaves overlayfs' names out of what it unpacks, and sets times of directories before their contents change.
    const comparable = (from: Tree): Tree =>
      new Map(
        [...from].map(([path, fields]) => {
          const { 'xattr trusted.overlay.opaque': _, mtime, ...rest } = fields;
          return [path, { ...rest, mtime: fields.type === 'directory' ? '' : mtime }];
        }),
      );
    assert.deepEqual(diffTrees(comparable(tree), comparable(describeTree(root))), []);
  });

  it('writes the same changes as the same bytes', async () => {
    const { lower, upper } = changed(CHANGES);
    const [once, twice] = [
      await collect(packChanges({ lowers: [lower], upper })),
      await collect(packChanges({ lowers: [lower], upper })),
    ];
    assert.isTrue(once.equals(twice));
  });

  it('reads nothing of the lower layers but what was renamed', async () => {
    const { lower, upper } = changed('echo x > new; chmod 600 untouched');
    const tar = await collect(packChanges({ lowers: [lower], upper }));
    const names = spawnSync('tar', ['-t'], { input: tar }).stdout.toString().trim().split('\n');
    assert.deepEqual(names, ['./', 'new', 'untouched/']);
  });

  it('writes an upper without lower layers whole', async () => {
    const upper = scratch.fresh('upper');
    shell('mkdir d; echo x > d/f', upper);
    const root = scratch.fresh();
    await unpackLayer(packChanges({ lowers: [], upper }), root);
    assert.deepEqual(diffTrees(describeTree(upper), describeTree(root)), []);
  });

  it('takes a name in the form of a whiteout for one, which deletes nothing here', async () => {
    const upper = scratch.fresh('upper');
    mkdirSync(`${upper}/d`);
    writeFileSync(`${upper}/d/.wh.x`, '');
    const bytes = Buffer.from((await collect(packChanges({ lowers: [], upper }))) as Uint8Array);
    assert.isFalse(bytes.includes('.wh.x'));
    assert.isTrue(bytes.includes('d/'));
  });

  it('ends, and closes what it opened, when nobody reads on', async () => {
    const { lower, upper } = changed(CHANGES);
    writeFileSync(`${upper}/big`, Buffer.alloc(3_000_000));
    // Pipes and sockets of other tests come and go; layers are files.
    const open = (): number => {
      const links = run('bash', ['-c', `readlink /proc/${process.pid}/fd/* || true`]).split('\n');
      return links.filter((target) => target.startsWith('/') && !target.startsWith('/dev/')).length;
    };
    const before = open();
    for (const stream of [packTree(upper), packChanges({ lowers: [lower], upper })]) {
      for await (const _ of stream) break;
      if (!stream.closed) await new Promise((resolve) => stream.once('close', resolve));
    }
    assert.equal(open(), before);
  });
});
