/** Protects the comparison of an unpacked layer with its archive: each aspect of a file counts, and what is inside comes first. Also what a tree takes. */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { assert } from 'chai';
import { treeDifference } from '../../runtime/image/check/tree-difference.js';
import { treeSize } from '../../runtime/image/store/tree-size.js';
import { useScratch } from '../support/image/scratch.js';

const BIG = 256 * 1024;

describe('differences of trees', () => {
  const scratch = useScratch();

  const MAKE = `
    mkdir -p dir/sub; printf content > dir/file; head -c ${BIG + 1} /dev/zero | tr '\\0' x > dir/sub/big
    ln dir/file dir/linked; ln -s target dir/symlink; mknod dir/device c 1 3; mkfifo dir/fifo
    setfattr -n user.note -v x dir/file; find . -depth -exec touch -h -d @1.5 '{}' +`;
  function tree(): string {
    const root = scratch.fresh('tree');
    execFileSync('sh', ['-ec', MAKE], { cwd: root });
    return root;
  }
  /** The same times for all. */
  const settle = (root: string): void =>
    void execFileSync('find', [root, '-depth', '-exec', 'touch', '-h', '-d', '@1.5', '{}', '+']);

  const CHANGES: readonly [what: string, change: (root: string) => void, difference: string | undefined][] = [
    ['nothing', () => {}, undefined],
    ['a name that is missing', (root) => rmSync(`${root}/dir/sub/big`), '"dir/sub/big" is missing'],
    ['a name too many', (root) => writeFileSync(`${root}/dir/sub/more`, ''), '"dir/sub/more" is unexpected'],
    [
      'the first of several',
      (root) => ['z', 'y'].forEach((name) => void writeFileSync(`${root}/${name}`, '')),
      '"y" is unexpected',
    ],
    ['a mode', (root) => chmodSync(`${root}/dir/file`, 0o600), '"dir/file" has a different kind or mode'],
    ['a kind', (root) => { rmSync(`${root}/dir/fifo`); mkdirSync(`${root}/dir/fifo`); }, '"dir/fifo" has a different kind or mode'], // biome-ignore format: a table
    ['a user', (root) => chownSync(`${root}/dir/fifo`, 5, 0), '"dir/fifo" has a different owner'],
    ['a group', (root) => chownSync(`${root}/dir/fifo`, 0, 5), '"dir/fifo" has a different owner'],
    [
      'a size',
      (root) => writeFileSync(`${root}/dir/file`, 'longer content'),
      '"dir/file" has a different size',
    ],
    ['a further name', (root) => { rmSync(`${root}/dir/linked`); writeFileSync(`${root}/dir/linked`, 'content'); }, '"dir/file" has a different number of names'], // biome-ignore format: a table
    ['a major number', (root) => { rmSync(`${root}/dir/device`); execFileSync('mknod', [`${root}/dir/device`, 'c', '2', '3']); }, '"dir/device" has a different device number'], // biome-ignore format: a table
    ['a minor number', (root) => { rmSync(`${root}/dir/device`); execFileSync('mknod', [`${root}/dir/device`, 'c', '1', '4']); }, '"dir/device" has a different device number'], // biome-ignore format: a table
    ['a target', (root) => { rmSync(`${root}/dir/symlink`); symlinkSync('tarGet', `${root}/dir/symlink`); }, '"dir/symlink" has a different target'], // biome-ignore format: a table
    [
      'the first byte',
      (root) => writeFileSync(`${root}/dir/file`, 'Content'),
      '"dir/file" has a different content',
    ],
    [
      'the last byte',
      (root) => writeFileSync(`${root}/dir/sub/big`, `${'x'.repeat(BIG)}y`),
      '"dir/sub/big" has a different content',
    ],
    [
      'an attribute that is missing',
      (root) => void execFileSync('setfattr', ['-x', 'user.note', `${root}/dir/file`]),
      '"dir/file" has a different attribute',
    ],
    [
      'an attribute too many',
      (root) => void execFileSync('setfattr', ['-n', 'user.a', `${root}/dir/file`]),
      '"dir/file" has a different attribute',
    ],
    ['the name of an attribute', (root) => { execFileSync('setfattr', ['-x', 'user.note', `${root}/dir/file`]); execFileSync('setfattr', ['-n', 'user.nota', '-v', 'x', `${root}/dir/file`]); }, '"dir/file" has a different attribute'], // biome-ignore format: a table
    [
      'the value of an attribute',
      (root) => void execFileSync('setfattr', ['-n', 'user.note', '-v', 'y', `${root}/dir/file`]),
      '"dir/file" has a different attribute',
    ],
  ];
  for (const [what, change, difference] of CHANGES) {
    it(`${what}: ${difference ?? 'none'}`, () => {
      const [a, b] = [tree(), tree()];
      change(b);
      settle(b);
      assert.equal(treeDifference(a, b), difference);
      for (const root of [a, b]) rmSync(root, { recursive: true });
    });
  }

  it('a time counts in every place, to the nanosecond, after what is inside', () => {
    const [a, b] = [tree(), tree()];
    for (const [path, shown] of [
      ['/dir/sub', '"dir/sub" has a different time'],
      ['/dir/symlink', '"dir/symlink" has a different time'],
      ['', 'the root has a different time'],
    ] as const) {
      lutimesSync(`${b}${path}`, 1, 2);
      assert.equal(treeDifference(a, b), shown);
      settle(b);
      execFileSync('touch', ['-h', '-d', '@1.500000001', `${b}${path}`]);
      assert.equal(treeDifference(a, b), shown);
      settle(b);
    }
    utimesSync(`${b}/dir`, 9, 9);
    utimesSync(b, 9, 9);
    assert.equal(treeDifference(a, b), '"dir" has a different time');
    writeFileSync(`${b}/dir/sub/big`, Buffer.alloc(BIG + 1, 'z'));
    assert.equal(treeDifference(a, b), '"dir/sub/big" has a different time');
  });

  it('of the root count as those of what is in it', () => {
    const [a, b] = [tree(), tree()];
    chmodSync(b, 0o711);
    assert.equal(treeDifference(a, b), 'the root has a different kind or mode');
  });

  it('the size of a tree is what du counts, but for the root, and further names', () => {
    const root = tree();
    rmSync(`${root}/dir/linked`);
    const du = (path: string): number =>
      Number(execFileSync('du', ['-s', '-B', '1', path]).toString().split('\t')[0]);
    const own = Number(execFileSync('stat', ['-c', '%b', root]).toString()) * 512;
    assert.isAbove(du(root), own + BIG);
    assert.equal(treeSize(root), du(root) - own);
    assert.equal(treeSize(`${root}/none`), 0);
    assert.throws(() => treeSize(`${root}/dir/symlink`));
    const names = treeSize(root);
    linkSync(`${root}/dir/sub/big`, `${root}/dir/again`);
    assert.isAtLeast(treeSize(root), names + BIG);
  });
});
