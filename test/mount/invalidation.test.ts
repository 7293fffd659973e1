/**
 * Protects what is mounted below a union from the union's own invalidations: the kernel unmounts everything below a
 * name that is invalidated carelessly.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { list, mountAt, type Union, usePlace } from '../support/mount/place.js';
import { sleep, waitUntil } from '../support/mount/processes.js';
import { MARK } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'invalidation';
const ROUNDS = 20;
/** Long enough for an event to become a notification. */
const NOTICE_MS = 50;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;
  const lower = (path: string): string => join(union.lowers[1] ?? '', path);
  const top = (path: string): string => join(union.lowers[0] ?? '', path);

  before(() => {
    union = place.union('tmpfs', {
      lowers: [
        {},
        { 'above/around/mounted/hidden': 'h', 'above/around/beside': 'b', 'above/sibling': {}, f: 'f' },
      ],
    });
    // Everything on the way is known and cached.
    list(union.mountpoint);
    list(union.at('above'));
    list(union.at('above/around'));
    run('mount', ['-t', 'tmpfs', 'tmpfs', union.at('above/around/mounted')]);
    writeFileSync(union.at('above/around/mounted/file'), 'on tmpfs');
  });

  function assertMounted(): void {
    assert.equal(mountAt(union.at('above/around/mounted'))?.type, 'tmpfs');
    assert.equal(readFileSync(union.at('above/around/mounted/file'), 'latin1'), 'on tmpfs');
    assert.deepEqual(list(union.at('above/around/mounted')), ['file']);
  }

  const CHANGES: Record<string, (round: number) => void> = {
    'names beside it come and go': (round) => {
      writeFileSync(lower(`above/around/new${round}`), '');
      writeFileSync(lower('above/around/beside'), `changed ${round}`);
      rmSync(lower(`above/around/new${round}`));
    },
    'directories above it get new names and new times': (round) => {
      mkdirSync(lower(`above/dir${round}`));
      mkdirSync(lower(`dir${round}`));
      utimesSync(lower('above'), round, round);
      utimesSync(lower('above/around'), round, round);
      chmodSync(lower('above'), round % 2 === 0 ? 0o755 : 0o711);
    },
    'the directory itself changes': (round) => {
      utimesSync(lower('above/around/mounted'), round, round);
      chmodSync(lower('above/around/mounted'), round % 2 === 0 ? 0o755 : 0o711);
      writeFileSync(lower('above/around/mounted/hidden'), `changed ${round}`);
      writeFileSync(lower(`above/around/mounted/hidden${round}`), '');
    },
    'another directory takes its name in the lower layer': (round) => {
      const [own, aside] = [lower('above/around/mounted'), lower(`aside${round}`)];
      mkdirSync(aside);
      place.python('renameat2(own, aside, RENAME_EXCHANGE)', { own, aside });
      rmSync(aside, { recursive: true });
    },
    'its name and those above it appear in the lower layer on top': (round) => {
      if (round === 0) mkdirSync(top('above'));
      if (round === 1) mkdirSync(top('above/around'));
      if (round === 2) mkdirSync(top('above/around/mounted'));
      if (round === 3) writeFileSync(top('above/around/mounted/merged'), '');
    },
    'it is changed through the union': (round) => {
      writeFileSync(union.at('above/around/beside'), `through the union ${round}`);
      mkdirSync(union.at(`above/around/made${round}`));
      renameSync(union.at(`above/around/made${round}`), union.at(`above/moved${round}`));
      chmodSync(union.at('above/around'), round % 2 === 0 ? 0o755 : 0o711);
    },
  };
  for (const [what, change] of Object.entries(CHANGES)) {
    it(`a tmpfs stays mounted while ${what}`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        change(round);
        if (round % 5 === 0) sleep(NOTICE_MS);
        assertMounted();
      }
      sleep(NOTICE_MS);
      assertMounted();
      // The changes have been noticed, so the invalidations have happened.
      assert.isTrue(statSync(union.at('above')).isDirectory());
      writeFileSync(lower('above/sibling/last'), what);
      waitUntil('the last change shows', () => existsSync(union.at('above/sibling/last')), 1000);
      assertMounted();
    });
  }

  describe('what a watched lower layer gets while it is mounted', () => {
    const LAYERS = [
      { 'd/top': 't', 'e/top': 't' },
      {
        'd/below': 'b',
        'd/sub/x': 'x',
        f: 'one name',
        'other/g': 'another file',
        'w/file': '',
        'w/kept': '',
      },
    ];
    let watched: Union;
    const inLayer = (layer: number, code: string): unknown =>
      place.python(code, {}, { cwd: watched.lowers[layer] ?? '' });
    const seen = <T>(code: string): T => place.python<T>(code, {}, { cwd: watched.mountpoint });

    before(() => {
      watched = place.layers('watched', { lowers: LAYERS });
      inLayer(1, `os.setxattr('.', '${MARK}opaque', b'x')`);
      watched.mount();
      run('ls', ['-lR', watched.mountpoint]); // everything is known, watched and cached
    });

    /** Until the kernel has been told. */
    function becomes(what: string, code: string, expected: unknown): void {
      let last: unknown;
      const arrived = (): boolean => {
        last = seen(code);
        return JSON.stringify(last) === JSON.stringify(expected);
      };
      try {
        waitUntil(what, arrived);
      } catch {
        assert.deepEqual(last, expected, what);
      }
    }

    it('opaque marks, which come and go', () => {
      const names = `result = sorted(os.listdir('d'))`;
      for (const [index, attribute] of [`${MARK}opaque`, 'user.fuseoverlayfs.opaque'].entries()) {
        assert.deepEqual(seen(names), ['below', 'sub', 'top']);
        inLayer(0, `os.setxattr('d', '${attribute}', b'y')`);
        becomes(`mark ${index} hides what is below`, names, ['top']);
        assert.equal(seen(`result = attempt(os.stat, 'd/below')`), 'ENOENT');
        assert.equal(seen(`result = attempt(os.stat, 'd/sub/x')`), 'ENOENT');
        inLayer(0, `os.removexattr('d', '${attribute}')`);
        becomes(`mark ${index} has gone`, names, ['below', 'sub', 'top']);
        assert.equal(seen(`result = read('d/sub/x')`), 'x');
      }
      inLayer(0, `os.chmod('d', 0o750)`);
      becomes('a mode', `result = oct(os.stat('d').st_mode)`, '0o40750');
    });

    it('marks of whiteouts in files, which come and go', () => {
      const names = `result = [sorted(os.listdir('w')), attempt(os.stat, 'w/file')]`;
      inLayer(1, `os.setxattr('w/file', '${MARK}whiteout', b'y')`);
      becomes('the file is a whiteout', names, [['kept'], 'ENOENT']);
      inLayer(1, `os.removexattr('w/file', '${MARK}whiteout')`);
      becomes('it is a file', names, [['file', 'kept'], 'ok']);
    });

    it('further names of a file: one inode, with one content, before and after a change', () => {
      const file = `
        a, b = os.stat('f'), os.stat('other/link')
        result = [a.st_nlink, b.st_nlink, a.st_ino == b.st_ino, read('f'), read('other/link')]
      `;
      const links = `result = os.stat('f').st_nlink`;
      assert.equal(seen(links), 1);
      inLayer(1, `os.link('f', 'other/link')`);
      becomes('the other name is counted', links, 2);
      assert.deepEqual(seen(file), [2, 2, true, 'one name', 'one name']);
      inLayer(1, `open('other/link', 'w').write('changed')`);
      becomes('what is written under one name is read under both', file, [2, 2, true, 'changed', 'changed']);
      seen(`open('f', 'a').write(' above')`);
      assert.deepEqual(seen(file), [2, 2, true, 'changed above', 'changed above']);
      inLayer(1, `os.link('other/g', 'g2')`);
      becomes('a name that is not looked up', `result = os.stat('other/g').st_nlink`, 2);
      assert.equal(seen(`result = os.stat('g2').st_ino == os.stat('other/g').st_ino`), true);
      inLayer(1, `os.unlink('g2')`);
      becomes('a name that has gone', `result = os.stat('other/g').st_nlink`, 1);
    });
  });
});
