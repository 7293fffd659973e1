/** Protects those who read a store: what is no regular file is neither waited for nor followed, and is told. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { assert } from 'chai';
import { UsageError } from '../../fs/index.js';
import { openRegular, readRegular, streamRegular } from '../../fs/input/regular-file.js';
import { openInput } from '../../runtime/image/files/input.js';
import { collect, useScratch } from '../support/image/scratch.js';

const openFiles = (): number => readdirSync('/proc/self/fd').length;

describe('regular files', () => {
  const scratch = useScratch();
  before(() => writeFileSync(scratch.path('file'), 'content'));

  it('are read, up to a limit', async () => {
    const file = scratch.path('file');
    assert.equal(readRegular(file, 7).toString(), 'content');
    assert.throws(() => readRegular(file, 6), Error, 'has 7 bytes; the limit is 6');
    assert.equal((await collect(streamRegular(file))).toString(), 'content');
    assert.equal((await collect(openInput(file))).toString(), 'content');
  });

  const OTHERS: readonly [what: string, make: (path: string) => unknown, why: string][] = [
    ['nothing', () => {}, 'ENOENT'],
    ['a symlink', (path) => symlinkSync('file', path), 'is a symlink'],
    ['a directory', (path) => mkdirSync(path), 'is not a regular file'],
    ['a FIFO', (path) => execFileSync('mkfifo', [path]), 'is not a regular file'],
    ['a name below a file', () => {}, 'cannot be read: ENOTDIR'],
  ];
  for (const [what, make, why] of OTHERS) {
    it(`${what} is none: ${why}`, () => {
      const path = what === 'a name below a file' ? scratch.path('file', 'x') : scratch.path(what);
      make(path);
      const before = openFiles();
      for (const open of [openRegular, streamRegular, (name: string) => readRegular(name, 10)])
        assert.throws(() => open(path), Error, new RegExp(`^${why}`));
      assert.equal(openFiles(), before, 'nothing stays open');
    });
  }

  it('a socket is none', async () => {
    const path = scratch.path('socket');
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      assert.throws(() => openRegular(path), Error, 'is not a regular file');
    } finally {
      server.close();
    }
  });

  it('nothing stays open of one that was read, or was too large', () => {
    const before = openFiles();
    readRegular(scratch.path('file'), 7);
    assert.throws(() => readRegular(scratch.path('file'), 1));
    assert.equal(openFiles(), before);
  });

  it('an input that cannot be read is refused at once', () => {
    assert.throws(() => openInput(scratch.path('gone')), UsageError, /^cannot read ".*gone": ENOENT$/);
  });
});
