/**
 * Protects what is built in the work directory from where that directory lies: a default ACL or a set-group-id bit above
 * it must not be passed on to a copy, which would lend rights that the copied file does not lend.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { openPrivate, removeTree } from '../../fs/union/layers/work.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';

const SUITE = 'union/work';

describe(SUITE, () => {
  let directory: string;
  let fd: number;
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'unionfs-work-'));
    fd = openSync(directory, 'r');
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(directory, { recursive: true, force: true });
  });

  const acl = (path: string): string[] =>
    execFileSync('getfacl', ['-cpn', path], { encoding: 'utf8' }).trim().split('\n');

  for (const made of [true, false]) {
    it(`a directory ${made ? 'that is made' : 'that is there already'} passes on no ACL`, () => {
      if (!made) mkdirSync(join(directory, 'work'));
      execFileSync('setfacl', ['-m', 'd:u:1234:rwx,d:g::rwx,d:o::rwx,u:1234:rwx', directory]);
      if (!made) execFileSync('setfacl', ['-m', 'd:u:1234:rwx,u:1234:rwx', join(directory, 'work')]);
      closeSync(openPrivate(fd, 'work'));
      assert.deepEqual(acl(join(directory, 'work')), ['user::rwx', 'group::---', 'other::---']);
      writeFileSync(join(directory, 'work', 'file'), '', { mode: 0o600 });
      assert.deepEqual(acl(join(directory, 'work', 'file')), ['user::rw-', 'group::---', 'other::---']);
    });
  }

  it('nor a set-group-id bit', () => {
    chmodSync(directory, 0o2777);
    closeSync(openPrivate(fd, 'work'));
    assert.equal(statSync(join(directory, 'work')).mode & 0o7777, 0o700);
  });

  it('whatever is left there is removed, also directories that forbid it, and nothing behind a symlink', () => {
    const outside = join(directory, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'kept'), 'kept');
    mkdirSync(join(directory, 'work', 'a', 'b'), { recursive: true });
    execFileSync('ln', ['-s', outside, join(directory, 'work', 'a', 'b', 'link')]);
    execFileSync('mkfifo', [join(directory, 'work', 'a', 'fifo')]);
    chmodSync(join(directory, 'work', 'a', 'b'), 0);
    removeTree(fd, 'work');
    assert.throws(() => statSync(join(directory, 'work')), /ENOENT/);
    assert.equal(statSync(join(outside, 'kept')).size, 4);
  });
});
