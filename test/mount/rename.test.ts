/**
 * Protects rename: directories of lower layers move instead of failing with EXDEV, flags are obeyed, and what is on
 * disk afterwards shows the same after a remount and on kernel overlayfs.
 */
import { join } from 'node:path';
import { assert } from 'chai';
import { withKernel } from '../support/acceptance/mount.js';
import { assertSameTree } from '../support/acceptance/stage.js';
import { describeTree, type Tree as Listing } from '../support/acceptance/tree.js';
import { list, type Union, usePlace } from '../support/mount/place.js';
import type { Tree } from '../support/mount/tree.js';

const SUITE = 'rename';

/** One test: what happens in a directory of its own. */
interface Case {
  readonly name: string;
  readonly lower: Tree;
  /** A second lower layer, below the first. */
  readonly base?: Tree;
  readonly code: string;
  readonly result?: unknown;
  /** Every path below the directory afterwards. */
  readonly paths: readonly string[];
  /** What upper must not hold: there is nothing to delete below. */
  readonly notInUpper?: readonly string[];
}

const CASES: readonly Case[] = [
  {
    name: 'a directory of a lower layer moves with all that is in it, and its old name is free',
    lower: { 'dir/a': 'a', 'dir/sub/b': 'b' },
    base: { 'dir/c': 'c', 'dir/sub/d': 'd' },
    code: `
      move('dir', 'moved')
      result = [attempt(os.stat, 'dir'), read('moved/sub/d')]
      os.mkdir('dir')
      result.append(os.listdir('dir'))
    `,
    result: ['ENOENT', 'd', []],
    paths: ['dir', 'moved', 'moved/a', 'moved/c', 'moved/sub', 'moved/sub/b', 'moved/sub/d'],
  },
  {
    name: 'a directory moves into a new one, which is opaque, and keeps what is below it',
    lower: { 'dir/a': 'a', 'dir/sub/b': 'b', 'parent/x': 'x', 'other/o': 'o' },
    code: `
      os.mkdir('parent/new')
      move('dir', 'parent/new/dir')
      os.mkdir('parent/way')
      move('other', 'parent/way/other')
      move('parent/way/other', 'parent/out')
      result = [read('parent/new/dir/sub/b'), read('parent/out/o')]
    `,
    result: ['b', 'o'],
    paths: [
      'parent',
      'parent/new',
      'parent/new/dir',
      'parent/new/dir/a',
      'parent/new/dir/sub',
      'parent/new/dir/sub/b',
      'parent/out',
      'parent/out/o',
      'parent/way',
      'parent/x',
    ],
  },
  {
    name: 'a directory that has moved into a new one is found again when the kernel has forgotten it',
    lower: { 'dir/a': 'a', parent: {} },
    code: `
      os.mkdir('parent/new')
      os.rename('dir', 'parent/new/dir')
      os.sync()
      with open('/proc/sys/vm/drop_caches', 'w') as file:
          file.write('2')
      result = read('parent/new/dir/a')
      create('parent/new/dir/b')
      os.rename('parent/new/dir', 'dir')
    `,
    result: 'a',
    paths: ['dir', 'dir/a', 'dir/b', 'parent', 'parent/new'],
  },
  {
    name: 'a directory moves again, into another one that has moved, and back',
    lower: { 'one/a': 'a', 'two/inner/b': 'b', 'three/c': 'c' },
    code: `
      move('one', 'uno')
      move('two', 'due')
      move('uno', 'due/uno')
      move('due/inner', 'due/uno/inner')
      move('three', 'tre')
      move('tre', 'three')
      with open('due/uno/a', 'a') as file:
          file.write('!')
      result = [read('due/uno/a'), read('due/uno/inner/b'), read('three/c')]
    `,
    result: ['a!', 'b', 'c'],
    paths: ['due', 'due/uno', 'due/uno/a', 'due/uno/inner', 'due/uno/inner/b', 'three', 'three/c'],
  },
  {
    name: 'open files and the working directory go with a directory that moves',
    lower: { 'dir/sub/file': 'old' },
    code: `
      fd = os.open('dir/sub/file', os.O_RDWR)
      os.chdir('dir/sub')
      os.rename('../../dir', '../../moved')
      os.pwrite(fd, b'new', 0)
      result = [read('file'), os.listdir('.'), os.path.basename(os.path.dirname(os.getcwd()))]
    `,
    result: ['new', ['file'], 'moved'],
    paths: ['moved', 'moved/sub', 'moved/sub/file'],
  },
  {
    name: 'RENAME_NOREPLACE refuses a name that is taken, in whichever layer, and takes one that is deleted',
    lower: { file: 'f', 'dir/x': 'x', deleted: 'd', source: 's' },
    code: `
      create('new', b'n')
      os.unlink('deleted')
      targets = ['file', 'dir', 'new', 'deleted']
      result = [attempt(renameat2, 'source', target, RENAME_NOREPLACE) for target in targets]
      result += [attempt(renameat2, 'dir', 'file', RENAME_NOREPLACE), attempt(renameat2, 'dir', 'd2', RENAME_NOREPLACE)]
      result += [read('deleted'), attempt(renameat2, 'gone', 'x', RENAME_NOREPLACE)]
    `,
    result: ['EEXIST', 'EEXIST', 'EEXIST', 'ok', 'EEXIST', 'ok', 's', 'ENOENT'],
    paths: ['d2', 'd2/x', 'deleted', 'file', 'new'],
  },
  {
    name: 'RENAME_EXCHANGE swaps files, directories, and one with the other, across layers and directories',
    lower: { file: 'f', 'dir/x': 'x', 'other/file': 'o', 'other/dir/y': 'y' },
    code: `
      create('new', b'n')
      renameat2('file', 'new', RENAME_EXCHANGE)
      result = [read('file'), read('new')]
      renameat2('dir', 'other/dir', RENAME_EXCHANGE)
      result += [os.listdir('dir'), os.listdir('other/dir')]
      renameat2('other/file', 'dir', RENAME_EXCHANGE)
      result += [read('dir'), os.listdir('other/file'), attempt(renameat2, 'file', 'gone', RENAME_EXCHANGE)]
    `,
    result: ['n', 'f', ['y'], ['x'], 'o', ['y'], 'ENOENT'],
    paths: ['dir', 'file', 'new', 'other', 'other/dir', 'other/dir/x', 'other/file', 'other/file/y'],
  },
  {
    name: 'a directory takes the name of a deleted file or directory, and shows nothing of it',
    lower: { 'file-name': 'f', 'dir-name/old': 'o', 'lower-source/l': 'l' },
    code: `
      import shutil
      os.unlink('file-name')
      shutil.rmtree('dir-name')
      os.mkdir('new')
      create('new/n', b'n')
      move('new', 'dir-name')
      move('lower-source', 'file-name')
      result = [os.listdir('dir-name'), os.listdir('file-name')]
    `,
    result: [['n'], ['l']],
    paths: ['dir-name', 'dir-name/n', 'file-name', 'file-name/l'],
    notInUpper: ['new'],
  },
  {
    name: 'a directory replaces an empty merged one, and one that is full of whiteouts',
    lower: { 'emptied/a': 'a', 'emptied/sub/b': 'b', hollow: {}, 'source/s': 's' },
    base: { 'emptied/c': 'c', hollow: {} },
    code: `
      import shutil
      for name in os.listdir('emptied'):
          path = 'emptied/' + name
          shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
      os.mkdir('new')
      create('new/n', b'n')
      move('new', 'emptied')
      move('source', 'hollow')
      result = [os.listdir('emptied'), os.listdir('hollow')]
    `,
    result: [['n'], ['s']],
    paths: ['emptied', 'emptied/n', 'hollow', 'hollow/s'],
    notInUpper: ['new'],
  },
  {
    name: 'what rename(2) forbids is refused',
    lower: { file: 'f', 'dir/x': 'x', 'dir/sub': {}, 'full/y': 'y', empty: {} },
    code: `
      result = [
          attempt(os.rename, 'file', 'dir'), attempt(os.rename, 'dir', 'file'), attempt(os.rename, 'dir', 'full'),
          attempt(os.rename, 'dir', 'dir/inside'), attempt(os.rename, 'gone', 'x'), attempt(os.rename, 'file', 'empty'),
          attempt(os.rename, 'file', 'gone/x'), attempt(os.rename, 'file', 'file'), attempt(os.rename, 'dir', 'dir'),
          attempt(renameat2, 'dir', 'dir/sub', RENAME_EXCHANGE), attempt(renameat2, 'file', 'x', 8),
      ]
    `,
    result: [
      'EISDIR',
      'ENOTDIR',
      'ENOTEMPTY',
      'EINVAL',
      'ENOENT',
      'EISDIR',
      'ENOENT',
      'ok',
      'ok',
      'EINVAL',
      'EINVAL',
    ],
    paths: ['dir', 'dir/sub', 'dir/x', 'empty', 'file', 'full', 'full/y'],
  },
  {
    name: 'two names of one file change places with themselves: nothing happens',
    lower: { file: 'f' },
    code: `
      create('one', b'1')
      os.link('one', 'two')
      os.rename('one', 'two')
      os.link('file', 'name')
      os.rename('file', 'name')
      result = [os.stat('one').st_nlink, read('two'), os.stat('file').st_nlink, read('name')]
    `,
    result: [2, '1', 2, 'f'],
    paths: ['file', 'name', 'one', 'two'],
  },
  {
    name: 'files of every kind move between directories of every layer',
    lower: { 'from/file': 'f', 'to/x': 'x' },
    code: `
      os.symlink('target', 'from/link')
      os.mkfifo('from/fifo')
      os.mkdir('made')
      for name in ['file', 'link', 'fifo']:
          os.rename('from/' + name, 'to/' + name)
          os.rename('to/' + name, 'made/' + name)
      result = [read('made/file'), os.readlink('made/link'), stat.S_ISFIFO(os.lstat('made/fifo').st_mode)]
    `,
    result: ['f', 'target', true],
    paths: ['from', 'made', 'made/fifo', 'made/file', 'made/link', 'to', 'to/x'],
  },
];

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;
  const directoryOf = (index: number): string => `case${index}`;
  let live: Listing;

  before(() => {
    const layer = (which: 'lower' | 'base'): Tree =>
      Object.fromEntries(CASES.map((test, index) => [directoryOf(index), test[which] ?? {}]));
    union = place.union('rename', { lowers: [layer('lower'), layer('base')] });
  });

  CASES.forEach(({ name, code, result, paths, notInUpper = [] }, index) => {
    it(name, () => {
      const cwd = union.at(directoryOf(index));
      const lowers = union.lowers.map((layer) => describeTree(join(layer, directoryOf(index))));
      assert.deepEqual(place.python(code, {}, { cwd }), result);
      assert.deepEqual([...describeTree(cwd).keys()], ['.', ...paths]);
      for (const absent of notInUpper) {
        assert.notInclude(list(join(union.upper, directoryOf(index))), absent, 'in upper');
      }
      for (const [layer, before] of lowers.entries()) {
        const after = describeTree(join(union.lowers[layer] ?? '', directoryOf(index)));
        assertSameTree(after, before, 'the lower layer after and before');
      }
    });
  });

  it('shows the same after a remount', () => {
    live = describeTree(union.mountpoint);
    union.remount();
    assertSameTree(describeTree(union.mountpoint), live, 'after a remount and before');
    assert.deepEqual(list(join(union.work, 'work')), []);
  });

  it('shows the same on kernel overlayfs', () => {
    union.umount();
    const kernels = withKernel({ ...union, lower: union.lowers }, describeTree);
    assertSameTree(live, kernels, 'the union and kernel overlayfs over its upper');
  });
});
