/**
 * Protects deletions on disk: every form that a layer may hold is understood, and what the union writes means the
 * same to kernel overlayfs.
 */
import { lstatSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { withKernel } from '../support/acceptance/mount.js';
import { assertSameTree } from '../support/acceptance/stage.js';
import { describeTree } from '../support/acceptance/tree.js';
import { list, type Union, usePlace } from '../support/mount/place.js';
import type { Tree } from '../support/mount/tree.js';
import { IS_HOST_ROOT, MARK } from '../support/privilege.js';

const SUITE = 'whiteouts';

/** How a layer deletes `gone`, or hides what is below `dir`: shell and Python cannot both make it, Python can. */
interface Form {
  readonly name: string;
  /** Python that makes it in the current directory, the layer's root. */
  readonly make: string;
  /** The kernel reads it as well. */
  readonly kernel: boolean;
}

/** Only the host's root can make, or see, the first. */
const PREFIXES = IS_HOST_ROOT ? ['trusted.overlay.', 'user.overlay.'] : ['user.overlay.'];

const WHITEOUTS: readonly Form[] = [
  { name: 'a 0/0 character device', make: `os.mknod('gone', stat.S_IFCHR, 0)`, kernel: true },
  { name: '.wh.NAME', make: `create('.wh.gone')`, kernel: false },
  ...PREFIXES.map((prefix) => ({
    name: `an xattr whiteout (${prefix}whiteout)`,
    make: `
      create('gone')
      os.setxattr('gone', '${prefix}whiteout', b'y')
      os.setxattr('.', '${prefix}opaque', b'x')
    `,
    kernel: prefix === MARK,
  })),
];

const OPAQUES: readonly Form[] = [
  ...[...PREFIXES.map((prefix) => `${prefix}opaque`), 'user.fuseoverlayfs.opaque'].map((attribute) => ({
    name: attribute,
    make: `os.setxattr('dir', '${attribute}', b'y')`,
    kernel: attribute.startsWith(MARK),
  })),
  { name: '.wh..wh..opq', make: `create('dir/.wh..wh..opq')`, kernel: false },
  { name: '.wh.NAME beside the directory', make: `create('.wh.dir')`, kernel: false },
];

/** An attribute that stays what it is, and is another program's. */
const isPeers = (index: number): boolean => OPAQUES[index]?.name.startsWith('user.') === true;

/** All forms at once: one directory each, all marks in the layer on top of the base. */
const directoryOf = (kind: string, index: number): string => `${kind}${index}`;

describe(SUITE, () => {
  const place = usePlace(SUITE);

  for (const layer of ['lower', 'upper'] as const)
    describe(`in ${layer} layers`, () => {
      /** The marks' layer is above the last one. */
      const base = ({ lowers }: Union): string => lowers.at(-1) ?? '';
      const lowersOf = ({ lowers }: Union): string[] => [...lowers];
      let deletions: Union;
      let opaques: Union;

      before(() => {
        deletions = marked(layer, 'deletions', WHITEOUTS, { gone: 'below', stays: 'below' }, {});
        opaques = marked(
          layer,
          'opaques',
          OPAQUES,
          { 'dir/below': 'below', 'dir/both': 'below' },
          { 'dir/both': 'above' },
        );
      });

      WHITEOUTS.forEach(({ name }, index) => {
        const at = (path = ''): string => deletions.at(join(directoryOf('deletions', index), path));

        it(`${name} hides the name below it from lookup and listing, before and after the other`, () => {
          assert.throws(() => lstatSync(at('gone')), 'ENOENT');
          assert.deepEqual(list(at()), ['stays']);
          assert.throws(() => lstatSync(at('gone')), 'ENOENT');
          assert.throws(() => lstatSync(at('.wh.gone')), 'ENOENT');
        });

        it(`${name} can be created over, and deleted again`, () => {
          writeFileSync(at('gone'), 'anew');
          assert.deepEqual(list(at()), ['gone', 'stays']);
          place.python(
            `os.unlink(path); os.mkdir(path); create(path + '/f'); os.unlink(path + '/f'); os.rmdir(path)`,
            {
              path: at('gone'),
            },
          );
          assert.deepEqual(list(at()), ['stays']);
        });
      });

      OPAQUES.forEach(({ name }, index) => {
        const at = (path = ''): string => opaques.at(join(directoryOf('opaques', index), 'dir', path));

        it(`${name} hides what lies below the directory, whether it is known or appears later`, () => {
          assert.throws(() => lstatSync(at('below')), 'ENOENT');
          assert.deepEqual(list(at()), ['both']);
          assert.equal(readFileSync(at('both'), 'latin1'), 'above');
          assert.throws(() => lstatSync(at('.wh..wh..opq')), 'ENOENT');
          writeFileSync(join(base(opaques), directoryOf('opaques', index), 'dir/later'), 'later');
          assert.throws(() => lstatSync(at('later')), 'ENOENT');
          assert.deepEqual(list(at()), ['both']);
        });
      });

      it('a whiteout hides one name, also after a remount, and shows what is added beside that', () => {
        const directories = WHITEOUTS.map((_, index) => directoryOf('deletions', index));
        for (const directory of directories) {
          writeFileSync(join(base(deletions), directory, 'added'), 'later');
        }
        deletions.remount();
        for (const directory of directories)
          assert.deepEqual(list(deletions.at(directory)), ['added', 'stays']);
      });

      it('the kernel agrees on the forms that it reads', () => {
        deletions.umount();
        withKernel({ ...deletions, lower: lowersOf(deletions) }, (root) => {
          for (const [index, { kernel }] of WHITEOUTS.entries()) {
            if (kernel || layer === 'upper')
              assert.notInclude(list(join(root, directoryOf('deletions', index))), 'gone');
          }
        });
        opaques.umount();
        withKernel({ ...opaques, lower: lowersOf(opaques) }, (root) => {
          for (const [index, { kernel }] of OPAQUES.entries()) {
            if (kernel || (layer === 'upper' && !isPeers(index)))
              assert.deepEqual(list(join(root, directoryOf('opaques', index), 'dir')), ['both']);
          }
        });
      });
    });

  it('an xattr whiteout does not count where the root of the layer is not marked', () => {
    const union = place.layers('unmarked', { lowers: [{ file: '' }, { file: 'below' }], upper: false });
    place.python(`os.setxattr(path, '${MARK}whiteout', b'y')`, {
      path: join(union.lowers[0] ?? '', 'file'),
    });
    union.mount();
    assert.equal(readFileSync(union.at('file'), 'latin1'), '');
  });

  it('what somebody else has taken out of upper is looked up anew, and nothing else happens', () => {
    const lower = { covered: {}, file: 'f', moved: 'm' };
    const union = place.union('taken-out', { lowers: [lower] });
    const seen = place.python(
      `
      os.chdir(merged)
      os.rmdir('covered')
      for name in ['covered', 'new', 'other', 'target']: create(name)
      os.mkdir('directory')
      for name in ['covered', 'new', 'other', 'target']: os.unlink(upper + '/' + name)
      os.rmdir(upper + '/directory')
      result = [
          attempt(os.unlink, 'covered'), attempt(os.unlink, 'new'), attempt(os.rmdir, 'directory'),
          attempt(os.rename, 'other', 'free'), attempt(os.rename, 'moved', 'file'),
      ]
      `,
      { merged: union.mountpoint, upper: union.upper },
    );
    assert.deepEqual(seen, ['EISDIR', 'ENOENT', 'ENOENT', 'ENOENT', 'ok']);
    union.remount();
    assert.deepEqual(list(union.mountpoint), ['covered', 'file']);
  });

  it('what the union writes means the same to the kernel: deletions, re-creations, opaque directories', () => {
    const base: Tree = {
      file: 'f',
      'dir/a': 'a',
      'dir/sub/b': 'b',
      'again/old': 'o',
      'become-file/x': 'x',
      'become-dir': 'f',
    };
    const union = place.union('written', { lowers: [{ 'dir/c': 'c', upperfile: 'u' }, base] });
    place.python(
      `
      import shutil
      os.chdir(root)
      os.unlink('file')
      os.unlink('upperfile')
      create('upperfile', b'again')
      os.unlink('upperfile')
      shutil.rmtree('dir')
      shutil.rmtree('again')
      os.mkdir('again')
      create('again/new', b'n')
      shutil.rmtree('become-file')
      create('become-file', b'file')
      os.unlink('become-dir')
      os.mkdir('become-dir')
      os.mkdir('new')
      os.mkdir('new/inner')
      create('new/inner/file', b'x')
      shutil.rmtree('new')
      `,
      { root: union.mountpoint },
    );
    const ours = describeTree(union.mountpoint);
    assert.deepEqual([...ours.keys()], ['.', 'again', 'again/new', 'become-dir', 'become-file']);
    union.umount();
    const kernels = withKernel({ ...union, lower: union.lowers }, describeTree);
    assertSameTree(ours, kernels, 'the union and kernel overlayfs over its upper');
    assert.notInclude(list(union.upper), 'new', 'what no lower layer has needs no whiteout');
  });

  /** A union of marks over a base, one directory per form; the marks of one form cannot disturb another. */
  function marked(
    layer: 'lower' | 'upper',
    kind: string,
    forms: readonly Form[],
    base: Tree,
    above: Tree,
  ): Union {
    const each = (tree: Tree): Tree =>
      Object.fromEntries(forms.map((_, index) => [directoryOf(kind, index), tree]));
    const lowers = layer === 'lower' ? [each(above), each(base)] : [each(base)];
    const upper = layer === 'lower' ? {} : each(above);
    const union = place.layers(`${kind}-in-${layer}`, { lowers, upper });
    const top = layer === 'lower' ? (union.lowers[0] ?? '') : union.upper;
    for (const [index, { make }] of forms.entries()) {
      place.python(make, {}, { cwd: join(top, directoryOf(kind, index)) });
    }
    // Only the root of a layer says that it holds xattr whiteouts; the kernel also wants it of their directory.
    if (forms === WHITEOUTS) {
      place.python(`os.setxattr(top, '${MARK}opaque', b'x')`, { top });
    }
    union.mount();
    return union;
  }

  describe('of a peer in upper (.wh.NAME and .wh..wh..opq)', () => {
    const LOWER: Tree = {
      file: 'f',
      'dir/a': 'a',
      'dir/sub/b': 'b',
      'merged/c': 'c',
      'empty/x': 'x',
      kept: 'k',
    };
    const MARKS = `
      create('.wh.file')
      create('.wh.dir')
      os.mkdir('empty')
      create('empty/.wh..wh..opq')
      os.mkdir('merged')
      create('.wh.target')
      create('.wh.nothing')
    `;
    const union = (name: string): Union => {
      const made = place.layers(name, { lowers: [LOWER] });
      place.python(MARKS, {}, { cwd: made.upper });
      return made;
    };

    it('is seen by diff and explain before the mount, and leaves upper as it is', () => {
      const made = union('unmounted');
      const before = describeTree(made.upper);
      const view = ['--lower', made.lowers.join(':'), '--upper', made.upper];
      assert.equal(place.succeed(['diff', ...view]), 'D /dir\nC /empty\nD /empty/x\nD /file\nC /merged\n');
      assert.match(place.succeed(['explain', 'file', ...view]), /0 .*whiteout/);
      assert.deepEqual(describeTree(made.upper), before);
    });

    it('gives way to what takes the name: every kind of entry, made or moved, also after a remount', () => {
      const made = union('taken');
      made.mount();
      const seen = (): unknown =>
        place.python(
          `
          os.chdir(at)
          result = [sorted(os.listdir('.')), sorted(os.listdir('dir')), os.listdir('empty'), os.listdir('target')]
          `,
          { at: made.mountpoint },
        );
      place.python(
        `
        os.chdir(at)
        create('file', b'new')
        os.mkdir('dir')
        create('dir/new')
        move('merged', 'target')
        os.rename('kept', 'nothing')
        os.rmdir('empty')
        os.mkdir('empty')
        `,
        { at: made.mountpoint },
      );
      const expected = [['dir', 'empty', 'file', 'nothing', 'target'], ['new'], [], ['c']];
      assert.deepEqual(seen(), expected);
      made.remount();
      assert.deepEqual(seen(), expected);
      place.python(`os.chdir(at); os.unlink('file'); os.unlink('dir/new'); os.rmdir('dir')`, {
        at: made.mountpoint,
      });
      made.remount();
      assert.deepEqual(list(made.mountpoint), ['empty', 'nothing', 'target']);
    });

    it('is rewritten where it is met, without a trace in times; what holds data stays, unseen', () => {
      const made = union('rewritten');
      writeFileSync(join(made.upper, '.wh.kept'), 'of a user');
      place.python(
        `os.mkdir('.wh.merged'); create('.wh...'); os.utime('.', ns=(10**18, 10**18))`,
        {},
        { cwd: made.upper },
      );
      made.mount();
      assert.deepEqual(list(made.mountpoint), ['empty', 'merged']);
      assert.deepEqual(list(made.at('empty')), []);
      assert.deepEqual(list(made.at('merged')), []);
      assert.equal(lstatSync(made.at(''), { bigint: true }).mtimeNs, 10n ** 18n);
      made.umount();
      assert.includeMembers(list(made.upper), ['.wh.kept', '.wh.merged', '.wh...']);
      assert.notIncludeMembers(list(made.upper), ['.wh.file', '.wh.dir']);
      assert.equal(readFileSync(join(made.upper, '.wh.kept'), 'latin1'), 'of a user');
    });
  });
});
