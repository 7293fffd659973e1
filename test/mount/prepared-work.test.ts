/**
 * Protects root, who mounts in a user's directory, from what the user has prepared there: no file of root's is written,
 * emptied or believed, nothing waits, and what cannot be used is refused by name before anything is changed.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { AT, S } from '../../fs/sys/constants.js';
import { mknodat } from '../../fs/sys/syscalls.js';
import { type Union, usePlace } from '../support/mount/place.js';

const SUITE = 'service/prepared-work';
const USER = 65534;
const VICTIM = 'precious';

describe(SUITE, () => {
  const place = usePlace(SUITE);
  const victim = (): string => place.path('victim/work/file');
  let count = 0;

  beforeEach(() => {
    place.make({ 'victim/work/file': VICTIM });
    chmodSync(victim(), 0o600);
  });

  /** A union whose directories are a user's, its work directory prepared by him. */
  function prepared(prepare: (work: string) => void): Union {
    const union = place.layers(`prepared${count++}`, { lowers: [{ f: 'lower' }] });
    mkdirSync(union.work, { mode: 0o777 });
    prepare(union.work);
    for (const path of [join(union.work, '..'), union.upper, union.work]) chownSync(path, USER, USER);
    return union;
  }

  function assertUntouched(): void {
    assert.equal(readFileSync(victim(), 'latin1'), VICTIM);
    assert.equal(lstatSync(victim()).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(place.path('victim/work')), ['file']);
  }

  /** Its changes arrive, and what the mount has written in work is its own. */
  function assertWorks(union: Union): void {
    writeFileSync(union.at('f'), 'changed');
    assert.equal(readFileSync(join(union.upper, 'f'), 'latin1'), 'changed');
    for (const name of ['unionfs.json', 'unionfs.log', 'work', 'index']) {
      const stat = lstatSync(join(union.work, name));
      assert.equal(stat.uid, 0, name);
      assert.isTrue(name.startsWith('unionfs') ? stat.isFile() : stat.isDirectory(), name);
    }
    union.umount();
  }

  const FILES: Record<string, (path: string) => void> = {
    'a symlink': (path) => symlinkSync(victim(), path),
    'a hard link': (path) => linkSync(victim(), path),
    'a FIFO': (path) => mknodat(AT.FDCWD, path, S.IFIFO | 0o666),
    'a socket': (path) => mknodat(AT.FDCWD, path, S.IFSOCK | 0o666),
    "the user's file": (path) => {
      writeFileSync(path, '{"version":1,"lowers":["/"],"upper":"/nowhere"}');
      chownSync(path, USER, USER);
    },
  };
  for (const [what, make] of Object.entries(FILES)) {
    it(`${what} under each of our names: the mount works, and root's file is as it was`, () => {
      const union = prepared((work) => {
        for (const name of ['unionfs.json', 'unionfs.json.new', 'unionfs.log']) make(join(work, name));
      });
      place.unionfs(['diff', union.upper]); // reads the record
      union.mount();
      assertWorks(union);
      assertUntouched();
    });
  }

  const STAGINGS: Record<string, (path: string) => void> = {
    'a symlink to a directory of root': (path) => symlinkSync(place.path('victim/work'), path),
    "the user's directory with something in it": (path) => {
      mkdirSync(path);
      symlinkSync(victim(), join(path, '#0'));
      mkdirSync(join(path, '#1'));
      for (const name of [path, join(path, '#1')]) chownSync(name, USER, USER);
    },
    'a file': (path) => writeFileSync(path, ''),
  };
  for (const [what, make] of Object.entries(STAGINGS)) {
    it(`${what} as staging directory makes way for one of root's`, () => {
      const union = prepared((work) => {
        writeFileSync(join(work, 'unionfs.json'), '');
        make(join(work, 'work'));
      });
      union.mount();
      assertWorks(union);
      assertUntouched();
    });
  }

  const REFUSED: Record<string, [prepare: (work: string) => void, complaint: RegExp]> = {
    'a directory under the name of a file': [
      (work) => mkdirSync(join(work, 'unionfs.log')),
      /contains a directory "unionfs\.log"; remove it/,
    ],
    "the user's index": [
      (work) => {
        mkdirSync(join(work, 'index'));
        chownSync(join(work, 'index'), USER, USER);
      },
      /"index" in workdir ".*" belongs to uid 65534; choose a new work directory with --workdir/,
    ],
    'an index that is a symlink': [
      (work) => symlinkSync(place.path('victim/work'), join(work, 'index')),
      /"index" in workdir ".*" is not a directory/,
    ],
    'a work directory that is a symlink': [
      (work) => {
        rmSync(work, { recursive: true });
        symlinkSync(place.path('victim'), work);
      },
      /is a symbolic link; choose a work directory with --workdir/,
    ],
  };
  for (const [what, [prepare, complaint]] of Object.entries(REFUSED)) {
    it(`${what} is refused by name, and nothing is changed`, () => {
      const union = prepared(prepare);
      const { status, stderr } = place.unionfs(union.command);
      assert.equal(status, 1);
      assert.match(stderr, complaint);
      assert.match(stderr, /^unionfs mount: [^\n]*\n$/);
      assert.notInclude(place.unionfs(['list']).stdout, `${union.mountpoint} `);
      assertUntouched();
    });
  }

  it('directories swapped under a running mount are not followed: work, upper, and what lies above', () => {
    const union = prepared(() => {});
    union.mount();
    writeFileSync(union.at('g'), '');
    for (const path of [union.upper, union.work]) {
      renameSync(path, `${path}.aside`);
      symlinkSync(place.path('victim'), path);
    }
    writeFileSync(union.at('f'), 'changed');
    writeFileSync(union.at('new'), '');
    assert.equal(readFileSync(`${union.upper}.aside/f`, 'latin1'), 'changed');
    union.umount();
    assert.deepEqual(readdirSync(place.path('victim')), ['work']);
    assertUntouched();
  });

  it("a file of upper that becomes a symlink: chmod and chown on the mount reach no file of root's", () => {
    const union = prepared(() => {});
    union.mount();
    for (const name of ['mode', 'owner']) writeFileSync(union.at(name), '');
    for (const name of ['mode', 'owner']) {
      rmSync(join(union.upper, name));
      symlinkSync(victim(), join(union.upper, name));
    }
    const attempt = (change: () => void): void => {
      try {
        change();
      } catch {} // refused, or on the link itself
    };
    attempt(() => chmodSync(union.at('mode'), 0o777));
    attempt(() => chownSync(union.at('owner'), USER, USER));
    union.umount();
    assertUntouched();
    assert.equal(statSync(victim()).uid, 0);
    assert.isTrue(existsSync(victim()));
  });
});
