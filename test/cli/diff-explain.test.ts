/** Protects the two commands that say what happened (diff) and why, and what would happen (explain). */
import { renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { assertSameTree } from '../support/acceptance/stage.js';
import { describeTree } from '../support/acceptance/tree.js';
import { CLI, list, type Union, usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT } from '../support/privilege.js';

const SUITE = 'unionfs diff and explain';

describe(SUITE, () => {
  const place = usePlace(SUITE);

  describe('diff', () => {
    let union: Union;
    const CHANGES = [
      'A /added',
      'A /added/inside',
      'C /became-file',
      'C /changed',
      'C /dir',
      'C /dir/changed',
      'D /dir/deleted',
      'D /moved',
      'A /moved-here',
      'A /moved-here/inside',
      'C /remade',
      'C /remade/both',
      'A /remade/new',
      'D /remade/old',
      'A /snow\xe9\xff',
      'D /whole',
    ];
    const diff = (...args: string[]): string[] =>
      place
        .run(CLI, ['diff', ...args])
        .trimEnd()
        .split('\n');

    before(() => {
      union = place.union('diff', {
        lowers: [
          { changed: 'c', 'dir/changed': 'c', 'dir/deleted': 'd', 'dir/same': 's', 'became-file/x': 'x' },
          {
            'moved/inside': 'm',
            'remade/old': 'o',
            'remade/both': 'b',
            'whole/a/b': 'w',
            same: 's',
            gone: 'g',
          },
        ],
        upper: {},
      });
      place.python(
        `
        import shutil
        os.chdir(root)
        os.mkdir('added')
        create('added/inside')
        shutil.rmtree('became-file')
        create('became-file')
        for name in ['changed', 'dir/changed']:
            with open(name, 'a') as file:
                file.write('!')
        os.unlink('dir/deleted')
        move('moved', 'moved-here')
        shutil.rmtree('remade')
        os.mkdir('remade')
        create('remade/new')
        create('remade/both')
        create(b'snow\\xe9\\xff')
        shutil.rmtree('whole')
        # nothing comes of these
        create('passing')
        os.unlink('passing')
        os.rename('same', 'other')
        os.rename('other', 'same')
        os.chmod('gone', 0o600)
        os.unlink('gone')
        `,
        { root: union.mountpoint },
      );
    });

    /** "same" lies in upper, but is what it was, as in a plain copy; "gone" was deleted after all. */
    const EXPECTED = [...CHANGES, 'D /gone'].sort((a, b) => (a.slice(2) < b.slice(2) ? -1 : 1));

    /** Names are bytes; those that are no UTF-8, and controls, are escaped. */
    const SHOWN = EXPECTED.map((line) => line.replace('\xe9\xff', '\\xe9\\xff'));

    it('says what was added, changed and deleted, a directory before its contents; names are escaped', () => {
      assert.include(SHOWN, 'A /snow\\xe9\\xff');
      assert.deepEqual(diff(union.mountpoint), SHOWN);
    });

    it('--json says the same to programs', () => {
      const told = JSON.parse(place.succeed(['diff', '--json', union.mountpoint])) as {
        kind: string;
        path: string;
      }[];
      const lines = told.map(({ kind, path }) => `${kind} ${path}`);
      const text = EXPECTED.map((line) => Buffer.from(line, 'latin1').toString());
      assert.deepEqual(lines, text);
    });

    it('says the same unmounted, by upper, by the work directory and by naming the layers; and changes nothing', () => {
      union.umount();
      const before = describeTree(place.path('diff'));
      assert.deepEqual(diff(union.upper), SHOWN, 'by upper');
      assert.deepEqual(diff(union.work), SHOWN, 'by work');
      assert.deepEqual(diff('--lower', union.lowers.join(':'), '--upper', union.upper), SHOWN, 'by layers');
      assertSameTree(describeTree(place.path('diff')), before, 'the layers after and before');
    });
  });

  describe('explain', () => {
    let union: Union;

    interface Told {
      readonly view: { readonly shows: string; readonly layer?: number; readonly layers?: readonly number[] };
      readonly layers: readonly { readonly role: string; readonly entry: { readonly is: string } }[];
      readonly plan?: { readonly steps?: readonly string[]; readonly refused?: string };
    }

    const explain = (path: string, ...args: string[]): string[] =>
      place
        .succeed(['explain', union.at(path), ...args])
        .trimEnd()
        .split('\n');
    const json = (path: string, ...args: string[]): Told =>
      JSON.parse(place.succeed(['explain', union.at(path), '--json', ...args])) as Told;
    /** The rows of the table without the paths of the layers. */
    const rows = (lines: readonly string[]): string[] =>
      lines
        .filter((line) => /^\d/.test(line))
        .map((line) => line.split(/ {2,}/))
        .map(([index, layer, , ...rest]) => [index, layer, ...rest].join(' | '));

    before(() => {
      union = place.union('explain', {
        lowers: [
          { 'merge/a': 'a', covered: 'top', 'opaque/own': 'o', 'opaque/.wh..wh..opq': '' },
          { 'merge/b': 'b', covered: 'base', 'opaque/hidden': 'h', deleted: 'd', 'tree/deep/file': 'f' },
        ],
      });
      unlinkSync(union.at('deleted'));
      rmSync(union.at('tree'), { recursive: true });
      writeFileSync(union.at('merge/c'), 'c');
    });

    it('a merge: every layer takes part', () => {
      const lines = explain('merge');
      assert.deepEqual(rows(lines), [
        '0 | upper | directory | merged',
        '1 | lower | directory | merged',
        '2 | lower | directory | merged',
      ]);
      assert.equal(lines.at(-1), '/merge shows a directory merged from layers 0, 1, 2');
    });

    it('a covered file: the upper name wins', () => {
      const lines = explain('covered');
      assert.deepEqual(rows(lines), [
        '0 | upper | absent',
        '1 | lower | file | shown',
        '2 | lower | file | covered: layer 1 holds the name at /covered',
      ]);
      assert.equal(lines.at(-1), '/covered shows the file of layer 1');
    });

    it('a whiteout: what it deletes, at the name itself and below it', () => {
      assert.deepEqual(rows(explain('deleted')), [
        '0 | upper | whiteout (device) | deletes the name in the layers below',
        '1 | lower | absent',
        '2 | lower | file | covered: layer 0 deletes it at /deleted',
      ]);
      const lines = explain('tree/deep/file');
      assert.equal(rows(lines)[2], '2 | lower | file | covered: layer 0 deletes it at /tree');
      assert.equal(lines.at(-1), '/tree/deep/file shows nothing');
    });

    it('an opaque directory: itself and what it hides', () => {
      assert.deepEqual(rows(explain('opaque')), [
        '0 | upper | absent',
        '1 | lower | opaque directory (dot-wh-opq) | merged',
        '2 | lower | directory | covered: layer 1 is opaque at /opaque',
      ]);
      const lines = explain('opaque/hidden');
      assert.equal(rows(lines)[2], '2 | lower | file | covered: layer 1 is opaque at /opaque');
      assert.equal(lines.at(-1), '/opaque/hidden shows nothing');
    });

    it('the root and a name that no layer has', () => {
      assert.equal(explain('').at(-1), '/ shows a directory merged from layers 0, 1, 2');
      assert.equal(explain('nowhere').at(-1), '/nowhere shows nothing');
    });

    it('--op says what rm, write, mkdir and mv would do, and does nothing', () => {
      const before = describeTree(union.upper);
      const steps = (path: string, ...args: string[]) => json(path, '--op', ...args).plan;
      assert.deepEqual(steps('covered', 'rm'), { steps: ['make-parents', 'whiteout'] });
      assert.deepEqual(steps('merge/c', 'rm'), { steps: ['remove'] });
      assert.deepEqual(steps('merge', 'rm'), { refused: 'EISDIR' });
      assert.deepEqual(steps('merge/c', 'write'), { steps: ['change'] });
      const write = steps('covered', 'write')?.steps ?? [];
      assert.deepEqual([write.at(0), write.at(1), write.at(-1)], ['make-parents', 'stage-copy', 'change']);
      assert.isBelow(write.indexOf('copy-data'), write.indexOf('install'));
      assert.deepEqual(steps('tree', 'mkdir')?.steps?.slice(-2), ['exchange', 'discard']);
      const move = steps('merge', 'mv', '--to', union.at('elsewhere'));
      if (IS_HOST_ROOT) assert.deepEqual(move?.steps?.slice(-2), ['set-redirect', 'move-leaving-whiteout']);
      else assert.deepEqual(move, { refused: 'EXDEV' });
      assertSameTree(describeTree(union.upper), before, 'upper after and before');
    });

    it('--op prints the steps numbered, each with what it does; a refusal by its errno', () => {
      const lines = explain('covered', '--op', 'rm');
      const at = lines.indexOf('rm would');
      assert.match(lines[at + 1] ?? '', /^ {2}1\. make-parents: \w+/);
      assert.match(lines[at + 2] ?? '', /^ {2}2\. whiteout: \w+/);
      assert.lengthOf(lines, at + 3);
      assert.equal(explain('covered', '--op', 'mkdir').at(-1), 'mkdir is refused: EEXIST');
    });

    it('what --op says about rm and mv is what then happens', () => {
      unlinkSync(union.at('covered'));
      assert.equal(json('covered').layers[0]?.entry.is, 'whiteout');
      if (!IS_HOST_ROOT) {
        assert.throws(() => renameSync(union.at('merge'), union.at('elsewhere')), 'EXDEV');
        return;
      }
      renameSync(union.at('merge'), union.at('elsewhere'));
      assert.deepEqual(
        json('merge').layers.map(({ entry }) => entry.is),
        ['whiteout', 'directory', 'directory'],
      );
      const told = json('elsewhere');
      assert.deepEqual(told.layers[0]?.entry, { is: 'directory', redirect: 'merge' } as object);
      assert.deepEqual(told.view, { shows: 'directory', layers: [0, 1, 2] });
      assert.deepEqual(list(union.at('elsewhere')), ['a', 'b', 'c']);
    });

    it('--json has the view, every layer and its part', () => {
      const told = json('opaque');
      assert.deepEqual(told.view, {
        shows: 'directory',
        layers: [1],
        cover: { layer: 1, why: 'opaque' },
      } as object);
      assert.deepEqual(
        told.layers.map(({ role }) => role),
        ['absent', 'merged', 'covered'],
      );
      assert.isUndefined(told.plan);
    });

    it('layers can be named where nothing is mounted', () => {
      const args = ['--lower', union.lowers.join(':'), '--json'];
      const told = JSON.parse(place.succeed(['explain', '/covered', ...args])) as Told;
      assert.deepEqual(told.view.layer, 0);
      const [top = ''] = union.lowers;
      assert.deepEqual(list(join(top, 'merge')), ['a']);
    });
  });
});
