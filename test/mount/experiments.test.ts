/**
 * Protects the experiments that users come with (rows 5, 6, 7, 8, 14 and 20): each must show what the article it is
 * from wants to show.
 */
import {
  appendFileSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { withKernel } from '../support/acceptance/mount.js';
import { assertSameTree } from '../support/acceptance/stage.js';
import { describeTree } from '../support/acceptance/tree.js';
import { list, mountAt, type Union, usePlace } from '../support/mount/place.js';
import { serverOf, waitUntil } from '../support/mount/processes.js';
import { IS_ROOT } from '../support/privilege.js';

const SUITE = 'experiments';
const A_SECOND = 1000;

const text = (path: string): string => readFileSync(path, 'latin1');

/** Whether there is an entry of this name, its target or content aside. */
const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

function assertWhiteout(path: string): void {
  const { mode, rdev } = lstatSync(path);
  assert.deepEqual({ type: mode & 0o170000, rdev }, { type: 0o020000, rdev: 0 }, `${path} is a whiteout`);
}

describe(SUITE, () => {
  const place = usePlace(SUITE);

  /** Asserts that a change made to a layer shows, before a user would lose patience. */
  const shows = (what: string, condition: () => boolean): void => waitUntil(what, condition, A_SECOND);

  describe('5: lower layers alone', () => {
    let union: Union;
    before(() => {
      union = place.union('five', {
        lowers: [
          { 'a.log': 'a', 'x.log': 'a' },
          { 'b1.log': 'b', 'b2.log': 'b', 'x.log': 'b' },
        ],
        upper: false,
      });
    });

    it('lists every name once, and the upper name covers the lower one', () => {
      assert.deepEqual(list(union.mountpoint), ['a.log', 'b1.log', 'b2.log', 'x.log']);
      assert.equal(text(union.at('x.log')), 'a');
      assert.equal(text(union.at('b1.log')), 'b');
    });

    it('is read-only without upper: every change is EROFS, and no work directory is made', () => {
      const refused = place.python(
        `
        changes = [
            lambda: open('x.log', 'w'), lambda: open('new', 'x'), lambda: os.mkdir('d'), lambda: os.unlink('x.log'),
            lambda: os.rename('x.log', 'y'), lambda: os.chmod('x.log', 0o600), lambda: os.symlink('x', 'l'),
            lambda: os.setxattr('x.log', 'user.x', b'1'), lambda: os.utime('x.log'), lambda: os.link('x.log', 'l'),
        ]
        result = [attempt(change) for change in changes]
        `,
        {},
        { cwd: union.mountpoint },
      );
      assert.deepEqual(refused, Array(10).fill('EROFS'));
      assert.deepEqual(list(place.path('five')), ['lower0', 'lower1', 'merged']);
    });
  });

  it('6: a new file goes to upper, a changed one is copied up, a deleted one becomes a whiteout', () => {
    const union = place.union('six', {
      lowers: [
        { change: 'old\n', delete: 'old\n', 'dir/deep/change': 'old\n', 'dir/stay': 'old\n', stay: 'old\n' },
      ],
    });
    const [lower = ''] = union.lowers;
    const before = describeTree(lower);
    writeFileSync(union.at('new'), 'new\n');
    appendFileSync(union.at('change'), 'new\n');
    appendFileSync(union.at('dir/deep/change'), 'new\n');
    unlinkSync(union.at('delete'));
    rmSync(union.at('dir/stay'));

    assert.equal(text(join(union.upper, 'new')), 'new\n');
    assert.equal(text(join(union.upper, 'change')), 'old\nnew\n');
    assert.equal(text(join(union.upper, 'dir/deep/change')), 'old\nnew\n');
    assertWhiteout(join(union.upper, 'delete'));
    assertWhiteout(join(union.upper, 'dir/stay'));
    assert.deepEqual(list(union.upper), ['change', 'delete', 'dir', 'new'], 'upper holds nothing else');
    assert.deepEqual(list(union.mountpoint), ['change', 'dir', 'new', 'stay']);
    assert.deepEqual(list(join(union.work, 'work')), [], 'work is empty when nothing is going on');
    assertSameTree(describeTree(lower), before, 'the lower layer after and before');
    assert.equal(
      place.succeed(['diff', union.mountpoint]),
      'C /change\nD /delete\nC /dir\nC /dir/deep\nC /dir/deep/change\nD /dir/stay\nA /new\n',
    );
  });

  describe('7: a lower branch is edited directly', () => {
    let union: Union;
    let branch: (path: string) => string;
    before(() => {
      union = place.union('seven', {
        lowers: [
          { 'both/top': 'top' },
          { t1: 'one', t2: 'two', t4: 'four', 'both/low': 'low', 'sub/t5': 'five' },
        ],
        upper: { t2: 'A two' },
      });
      branch = (path) => join(union.lowers[1] ?? '', path);
    });

    it('shows changed content within a second, though the old was cached and is open', () => {
      const fd = openSync(union.at('t1'), 'r');
      try {
        const readOpen = (): string => {
          const buffer = Buffer.alloc(100);
          return buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0));
        };
        assert.equal(text(union.at('t1')), 'one');
        assert.equal(readOpen(), 'one');
        writeFileSync(branch('t1'), 'eno'); // the same size: only the content can tell
        shows('t1 is new', () => text(union.at('t1')) === 'eno');
        shows('t1 is new through the open descriptor', () => readOpen() === 'eno');
        appendFileSync(branch('t1'), ' and more');
        shows('t1 has grown', () => text(union.at('t1')) === 'eno and more');
        shows('t1 has its new size', () => lstatSync(union.at('t1')).size === 'eno and more'.length);
        writeFileSync(branch('t1'), '');
        shows('t1 is empty', () => text(union.at('t1')) === '');
      } finally {
        closeSync(fd);
      }
    });

    it('shows a file that has taken the place of another by rename', () => {
      assert.equal(text(union.at('t4')), 'four');
      writeFileSync(branch('.t4.new'), 'replaced');
      renameSync(branch('.t4.new'), branch('t4'));
      shows('t4 is the new file', () => text(union.at('t4')) === 'replaced');
    });

    it('shows a new name, though its absence and the listing were cached', () => {
      assert.isFalse(exists(union.at('t3')));
      assert.isFalse(exists(union.at('sub/inner')));
      assert.notInclude(list(union.mountpoint), 't3');
      writeFileSync(branch('t3'), 'three');
      mkdirSync(branch('sub/inner'));
      writeFileSync(branch('sub/inner/file'), 'six');
      writeFileSync(branch('both/more'), 'more');
      shows('t3 can be read', () => exists(union.at('t3')) && text(union.at('t3')) === 'three');
      shows('t3 is listed', () => list(union.mountpoint).includes('t3'));
      shows('sub/inner/file is there', () => exists(union.at('sub/inner/file')));
      shows('both/more is listed', () => list(union.at('both')).join() === 'low,more,top');
    });

    it('loses a name that is removed, though it was cached', () => {
      assert.isTrue(exists(union.at('sub/t5')));
      assert.include(list(union.at('sub')), 't5');
      unlinkSync(branch('sub/t5'));
      shows('sub/t5 is gone', () => !exists(union.at('sub/t5')));
      shows('sub/t5 is not listed', () => !list(union.at('sub')).includes('t5'));
    });

    it('goes on hiding what upper covers', () => {
      assert.equal(text(union.at('t2')), 'A two');
      writeFileSync(branch('t2'), 'edited');
      appendFileSync(branch('t1'), 'a later event');
      shows('the later event', () => text(union.at('t1')).endsWith('a later event'));
      assert.equal(text(union.at('t2')), 'A two');
    });

    it('takes a whiteout that is added to the upper of two branches', () => {
      assert.equal(text(union.at('both/low')), 'low');
      writeFileSync(join(union.lowers[0] ?? '', 'both/.wh.low'), '');
      shows('both/low is gone', () => !exists(union.at('both/low')));
      assert.notInclude(list(union.at('both')), 'low');
    });
  });

  describe('8: which branches make up a mount', () => {
    let union: Union;
    before(() => {
      union = place.union('eight', { lowers: [{ f: 'f' }, {}] });
    });

    it('list names the mount, its mode, its layers and its server', () => {
      const [header = '', ...rows] = place.succeed(['list']).trimEnd().split('\n');
      assert.deepEqual(header.split(/ +/), ['MOUNTPOINT', 'MODE', 'LAYERS', 'PID', 'UPPER']);
      const row = rows
        .map((line) => line.split(/ +/))
        .find(([mountpoint]) => mountpoint === union.mountpoint);
      const pid = String(serverOf(union.mountpoint));
      assert.deepEqual(row, [union.mountpoint, 'rw', '3', pid, union.upper]);
    });

    it('inspect shows the layers from the top, their modes and the counters', () => {
      appendFileSync(union.at('f'), 'g');
      const lines = place.succeed(['inspect', union.mountpoint]).split('\n');
      const layers = lines.filter((line) => /^\d/.test(line)).map((line) => line.split(/ {2,}/).slice(0, 4));
      assert.deepEqual(layers, [
        ['0', 'upper', 'rw', union.upper],
        ['1', 'lower', 'ro+wh', union.lowers[0]],
        ['2', 'lower', 'ro+wh', union.lowers[1]],
      ]);
      assert.include(lines, 'copied up   1 files, 1 bytes');
    });

    it('inspect --json says the same to programs', () => {
      const told = JSON.parse(place.succeed(['inspect', '--json', union.mountpoint])) as Record<
        string,
        unknown
      >;
      const { mountpoint, lowers, upper, work, pid } = told;
      assert.deepEqual(
        { mountpoint, lowers, upper, work, pid },
        {
          mountpoint: union.mountpoint,
          lowers: union.lowers,
          upper: union.upper,
          work: union.work,
          pid: serverOf(union.mountpoint),
        },
      );
    });

    it('/proc/mounts shows the layers', () => {
      const { type, source, options } = mountAt(union.mountpoint) ?? assert.fail('not mounted');
      assert.equal(type, 'fuse.unionfs');
      const layers = `lowerdir=${union.lowers.join(':')},upperdir=${union.upper},workdir=${union.work}`;
      assert.equal(source, layers);
      assert.includeMembers([...options], ['rw', 'default_permissions', ...(IS_ROOT ? ['allow_other'] : [])]);
    });
  });

  it('14: what is written in merged lies in upper; a late lower file shows, and its deletion is a whiteout', () => {
    const union = place.union('fourteen', { lowers: [{ base: 'base' }] });
    const lower = (path: string): string => join(union.lowers[0] ?? '', path);
    writeFileSync(union.at('written'), 'in the container');
    assert.equal(text(join(union.upper, 'written')), 'in the container');
    assert.isFalse(exists(lower('written')));

    assert.deepEqual(list(union.mountpoint), ['base', 'written']);
    writeFileSync(lower('late'), 'late');
    shows('late is there', () => exists(union.at('late')) && list(union.mountpoint).includes('late'));

    unlinkSync(union.at('late'));
    assert.isFalse(exists(union.at('late')));
    assertWhiteout(join(union.upper, 'late'));
    assert.equal(text(lower('late')), 'late', 'the lower file stays');
  });

  describe('20: a descriptor and a mapping that are older than the copy-up', () => {
    /** What a reader sees that opened and mapped `file` before somebody else wrote to it. */
    const READ_THEN_WRITE = `
      fd = os.open(file, os.O_RDONLY)
      view = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
      before = [os.pread(fd, 10, 0).decode(), view[:].decode()]
      with open(file, 'r+') as writer:
          writer.write('new')
      result = before + [os.pread(fd, 10, 0).decode(), view[:].decode(), read(file)]
    `;

    it('see the new data on the union', () => {
      const union = place.union('twenty', { lowers: [{ file: 'old' }] });
      const seen = place.python<string[]>(READ_THEN_WRITE, { file: union.at('file') });
      assert.deepEqual(seen, ['old', 'old', 'new', 'new', 'new']);
      assert.equal(text(join(union.lowers[0] ?? '', 'file')), 'old');
    });

    // Since Linux 4.19 read(2) reopens the file there; before, the descriptor was stale as well (docs/mounting.md says so).
    it('the mapping stays with the old data on kernel overlayfs, which is the difference we document', () => {
      const layers = place.layers('twenty-kernel', { lowers: [{ file: 'old' }] });
      mkdirSync(layers.work);
      const seen = withKernel({ ...layers, lower: layers.lowers }, (root) =>
        place.python<string[]>(READ_THEN_WRITE, { file: join(root, 'file') }),
      );
      const [, , descriptor, mapping, fresh] = seen;
      const [major = 0, minor = 0] = release().split('.').map(Number);
      const follows = major > 4 || (major === 4 && minor >= 19);
      assert.deepEqual(
        { descriptor, mapping, fresh },
        { descriptor: follows ? 'new' : 'old', mapping: 'old', fresh: 'new' },
      );
    });
  });
});
