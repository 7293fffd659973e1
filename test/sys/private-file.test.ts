/**
 * Protects the files of root from who controls a directory that root keeps files of ours in: whatever was prepared under
 * our names, nothing is written, waited for or believed that is not ours.
 */
import {
  chownSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { AT, S } from '../../fs/sys/constants.js';
import { Errno } from '../../fs/sys/errno.js';
import {
  NotOurs,
  openAppending,
  openWithoutSymlinks,
  readPrivate,
  replacePrivate,
} from '../../fs/sys/private-file.js';
import { chmodInSteps, fchmodat, mknodat } from '../../fs/sys/syscalls.js';

const NAME = 'ours';
const LIMIT = 1000;
const OTHER = 65534;
const VICTIM = 'precious';

describe('sys/private-file', () => {
  let root = '';
  let directory = '';
  let victim = '';
  let fd = -1;
  const at = (name: string): string => join(directory, name);

  beforeEach(() => {
    root = realpathSync(mkdtempSync(join(tmpdir(), 'unionfs-private-')));
    directory = join(root, 'd');
    victim = join(root, 'victim');
    mkdirSync(directory);
    writeFileSync(victim, VICTIM, { mode: 0o600 });
    fd = openSync(directory, 'r');
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(root, { recursive: true });
  });

  /** What somebody may have put under a name. */
  const PREPARED: Record<string, (path: string) => void> = {
    'a symlink to a file': (path) => symlinkSync(victim, path),
    'a symlink to nothing': (path) => symlinkSync(join(root, 'made'), path),
    'a FIFO': (path) => mknodat(AT.FDCWD, path, S.IFIFO | 0o666),
    'a socket': (path) => mknodat(AT.FDCWD, path, S.IFSOCK | 0o666),
    'another name of a file': (path) => linkSync(victim, path),
    "another user's file": (path) => {
      writeFileSync(path, 'theirs');
      chownSync(path, OTHER, OTHER);
    },
    'a device': (path) => mknodat(AT.FDCWD, path, S.IFCHR | 0o666, 1, 5),
  };

  function assertUntouched(): void {
    assert.equal(readFileSync(victim, 'latin1'), VICTIM);
    assert.equal(lstatSync(victim).mode & 0o777, 0o600);
    assert.sameMembers(readdirSync(root), ['d', 'victim']);
  }

  for (const [what, prepare] of Object.entries(PREPARED)) {
    it(`${what} is not read`, () => {
      prepare(at(NAME));
      assert.throws(() => readPrivate(fd, NAME, LIMIT), NotOurs);
      assertUntouched();
    });

    it(`${what} gives way to a new file, as does what lies under the temporary name`, () => {
      for (const name of [NAME, `${NAME}.new`]) prepare(at(name));
      replacePrivate(fd, NAME, Buffer.from('content'));
      assert.equal(readFileSync(at(NAME), 'latin1'), 'content');
      assert.equal(lstatSync(at(NAME)).mode, S.IFREG | 0o600);
      assert.deepEqual(readdirSync(directory), [NAME]);
      assertUntouched();
    });

    it(`${what} is not appended to`, () => {
      prepare(at(NAME));
      const log = openAppending(fd, NAME);
      writeSync(log, 'line');
      closeSync(log);
      assert.equal(readFileSync(at(NAME), 'latin1'), 'line');
      assert.equal(lstatSync(at(NAME)).mode, S.IFREG | 0o600);
      assertUntouched();
    });
  }

  it('a directory is not removed', () => {
    for (const name of [NAME, `${NAME}.new`]) {
      mkdirSync(at(name));
      assert.throws(() => replacePrivate(fd, NAME, Buffer.from('content')), Errno);
      assert.throws(() => openAppending(fd, name), Errno);
      assert.isTrue(statSync(at(name)).isDirectory());
      rmSync(at(name), { recursive: true });
    }
  });

  it('what is ours is read, replaced and appended to', () => {
    assert.isUndefined(readPrivate(fd, NAME, LIMIT));
    for (const content of ['first', 'second, longer', '']) {
      replacePrivate(fd, NAME, Buffer.from(content));
      assert.equal(readPrivate(fd, NAME, LIMIT)?.toString(), content);
    }
    for (const _ of [1, 2]) {
      const log = openAppending(fd, NAME);
      writeSync(log, 'line');
      closeSync(log);
    }
    assert.equal(readPrivate(fd, NAME, LIMIT)?.toString(), 'lineline');
    assert.throws(() => readPrivate(fd, NAME, 'lineline'.length - 1), NotOurs, 'longer than 7 bytes');
  });

  it("a file of the directory's owner is read", () => {
    writeFileSync(at(NAME), 'theirs');
    chownSync(at(NAME), OTHER, OTHER);
    chownSync(directory, OTHER, OTHER);
    assert.equal(readPrivate(fd, NAME, LIMIT)?.toString(), 'theirs');
  });

  it('a directory is not reached through a symlink, wherever it lies on the way', () => {
    mkdirSync(at('a/b/c'), { recursive: true });
    closeSync(openWithoutSymlinks(at('a/b/c')));
    for (const path of ['a', 'a/b', 'a/b/c']) {
      const aside = `${at(path)}.aside`;
      renameSync(at(path), aside);
      symlinkSync(aside, at(path));
      assert.throws(() => openWithoutSymlinks(at('a/b/c')), Errno);
      rmSync(at(path));
      renameSync(aside, at(path));
    }
  });

  for (const [how, change] of Object.entries({
    'the newest call': fchmodat,
    'older kernels': chmodInSteps,
  })) {
    it(`modes are not changed through a symlink, by ${how}`, () => {
      symlinkSync(victim, at(NAME));
      assert.throws(() => change(fd, NAME, 0o777), Errno, 'EOPNOTSUPP');
      assertUntouched();
      writeFileSync(at('file'), '');
      change(fd, 'file', 0o4751);
      assert.equal(statSync(at('file')).mode & 0o7777, 0o4751);
    });
  }
});
