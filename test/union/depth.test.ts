/**
 * Protects against trees that a container makes to break who looks at them: directories nested far deeper than a call
 * stack, a path or a table of descriptors reaches are compared, counted, copied, packed and removed.
 *
 * Rule: on tmpfs, where making and removing them takes a moment. The paths are much longer than PATH_MAX.
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { O } from '../../fs/sys/constants.js';
import { Descent } from '../../fs/sys/descent.js';
import { Errno } from '../../fs/sys/errno.js';
import { mkdirat, openat } from '../../fs/sys/syscalls.js';
import { removeTree } from '../../fs/union/layers/work.js';
import { changes } from '../../fs/union/offline/difference.js';
import { flatten } from '../../fs/union/offline/flatten.js';
import { viewOf } from '../../fs/union/offline/view.js';
import { treeDifference } from '../../runtime/image/check/tree-difference.js';
import { packChanges, packTree } from '../../runtime/image/layer/pack.js';
import { treeSize } from '../../runtime/image/store/tree-size.js';
import { run } from '../support/run.js';

/** More than 984 KiB of stack hold of the smallest frames; UNIONFS_ACCEPTANCE=full goes as deep as the attack that was seen. */
const LEVELS = process.env['UNIONFS_ACCEPTANCE'] === 'full' ? 24_000 : 12_000;
/** Descriptors beyond those that are open anyway. */
const MOST_DESCRIPTORS = 600;
const openNow = (): number => readdirSync('/proc/self/fd').length;

describe('trees of any depth', function () {
  this.timeout(120_000);
  let root = '';
  let fd = -1;

  before(() => {
    root = mkdtempSync('/dev/shm/unionfs-depth-');
    for (const name of ['lower', 'empty', 'copy', 'wide']) mkdirSync(join(root, name));
    fd = openSync(root, 'r');
    dig(join(root, 'lower'), LEVELS);
  });

  after(() => {
    for (const name of readdirSync(root)) removeTree(fd, name);
    closeSync(fd);
    rmdirSync(root);
  });

  /** Makes directories in each other, and a file in the last. */
  function dig(at: string, levels: number): void {
    const top = openSync(at, 'r');
    const descent = new Descent(top);
    for (let level = 0; level < levels; level++) {
      mkdirat(descent.fd, 'd', 0o755);
      descent.enter('d');
    }
    closeSync(openat(descent.fd, 'end', O.CREAT | O.WRONLY, 0o644));
    descent.close();
    closeSync(top);
  }

  it('are compared: every directory is told, and few are open', () => {
    const before = openNow();
    let [count, most, longest] = [0, 0, 0];
    for (const { kind, path } of changes({ lowers: [join(root, 'empty')], upper: join(root, 'lower') })) {
      assert.equal(kind, 'A');
      count += 1;
      longest = Math.max(longest, path.length);
      if (count % 1000 === 0) most = Math.max(most, openNow());
    }
    assert.equal(count, LEVELS + 1);
    assert.equal(longest, 2 * LEVELS + '/end'.length);
    assert.isBelow(most, before + MOST_DESCRIPTORS);
    assert.equal(openNow(), before);
  });

  it('are compared as they lie on the disk, and the root is compared last', () => {
    const [lower, empty] = [join(root, 'lower'), join(root, 'empty')];
    const before = openNow();
    assert.isUndefined(treeDifference(lower, lower));
    assert.equal(treeDifference(lower, empty), '"d" is missing');
    assert.equal(treeDifference(empty, lower), '"d" is unexpected');
    const other = join(root, 'other');
    mkdirSync(other, { mode: 0o700 });
    assert.equal(treeDifference(empty, other), 'the root has a different kind or mode');
    assert.equal(openNow(), before);
  });

  it('are compared where a plain copy is, and nothing has changed', () => {
    const view = viewOf({ lowers: [join(root, 'lower')] });
    const to = openSync(join(root, 'copy'), 'r');
    try {
      flatten(view, to);
    } finally {
      view.close();
      closeSync(to);
    }
    assert.isAtLeast(treeSize(join(root, 'copy')), 0);
    const copied = { seconds: 0, nanoseconds: 0 }; // everything is newer, and compared in full
    const stack = { lowers: [join(root, 'lower')], upper: join(root, 'copy'), copied };
    assert.deepEqual([...changes(stack)], []);
  });

  it('are packed to the end; a layer refuses them at the first path that nobody can unpack', async () => {
    let bytes = 0;
    for await (const chunk of packTree(join(root, 'lower'))) bytes += (chunk as Buffer).length;
    assert.isAbove(bytes, LEVELS * LEVELS); // the sum of their paths
    const layer = packChanges({ lowers: [join(root, 'empty')], upper: join(root, 'lower') });
    let [failure, before] = ['', 0];
    try {
      for await (const chunk of layer) before += (chunk as Buffer).length;
    } catch (error) {
      failure = String(error);
    }
    assert.match(failure, /is longer than 4095 bytes/);
    assert.isBelow(before, 20_000_000);
  });

  it('are removed, directories that forbid it too', () => {
    run('chmod', ['0', join(root, 'lower', 'd')]);
    removeTree(fd, 'lower');
    assert.notInclude(readdirSync(root), 'lower');
    mkdirSync(join(root, 'lower'));
  });

  it('are removed with very many names in one directory', () => {
    const script =
      'import os\nfor i in range(60000): os.close(os.open(f"name-{i}", os.O_CREAT))\nos.mkdir("d")';
    run('python3', ['-c', `import os\nos.chdir("${join(root, 'wide')}")\n${script}`]);
    removeTree(fd, 'wide');
    assert.notInclude(readdirSync(root), 'wide');
    mkdirSync(join(root, 'wide'));
  });

  it('lead nowhere else when a directory is moved meanwhile', () => {
    mkdirSync(join(root, 'moved'));
    dig(join(root, 'moved'), 200);
    const top = openSync(join(root, 'moved'), 'r');
    const descent = new Descent(top);
    try {
      for (let level = 0; level < 200; level++) descent.enter('d');
      const path = join(root, 'moved', ...Array.from({ length: 100 }, () => 'd'));
      run('mv', [path, join(root, 'elsewhere')]);
      const climb = (): void => {
        while (descent.depth > 0) descent.leave();
      };
      assert.throws(climb, Errno, 'ESTALE');
      assert.isAbove(descent.depth, 90);
    } finally {
      descent.close();
      closeSync(top);
    }
  });
});
