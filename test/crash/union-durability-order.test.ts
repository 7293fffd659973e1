/**
 * Protects copies from a power cut: a copy-up is flushed before it takes the file's name, so that the name never leads to
 * a file whose data is not on the disk yet. With `volatile` nothing is flushed.
 */
import { linkSync } from 'node:fs';
import { assert } from 'chai';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { UNCHANGED } from '../support/protocol/bytes.js';
import { recording } from '../support/sys/tampering.js';
import { CALLER, Disk, lookup } from '../support/union/disk.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/durability: the order of a copy-up';
const ROOT = 1 as NodeId;
const WRITES = ['pwrite', 'copy_file_range', 'ioctlInt', 'ftruncate', 'fchmodat', 'fchownat'] as const;
const CALLS = [...WRITES, 'fsync', 'fdatasync', 'syncfs', 'renameat2', 'linkat'] as const;

const node = (fs: UnionFilesystem, name: string): NodeId =>
  lookup(fs, ROOT, name)?.nodeid ?? assert.fail(`no ${name}`);

/** Changes that copy a file up. */
const CHANGES: Record<string, (fs: UnionFilesystem) => void> = {
  'a write': (fs) => void fs.write(CALLER, node(fs, 'file'), 1, Buffer.from('x'), false),
  'a truncation': (fs) => void fs.setattr(CALLER, node(fs, 'file'), { ...UNCHANGED, size: 1 }),
  'a change of mode': (fs) => void fs.setattr(CALLER, node(fs, 'file'), { ...UNCHANGED, mode: 0o600 }),
  'a second name': (fs) => void fs.link(node(fs, 'file'), ROOT, 'second'),
  'a rename': (fs) => fs.rename(ROOT, 'file', ROOT, 'moved', 0),
};

describe(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  function callsOf(volatile: boolean, names: number, change: (fs: UnionFilesystem) => void): string[] {
    const disk = new Disk('never', { volatile });
    try {
      const lower = inode('directory', 'lower', {
        mode: 0o755,
        children: { file: inode('file', 'file', { data: 'abc' }) },
      });
      disk.write(inode('directory', 'upper', { mode: 0o755 }), [lower]);
      for (let name = 1; name < names; name++)
        linkSync(disk.path('lower1', 'file'), disk.path('lower1', `name${name}`));
      const fs = disk.open();
      return recording(CALLS, () => change(fs)).map(({ call }) => call);
    } finally {
      disk.remove();
    }
  }

  for (const [title, change] of Object.entries(CHANGES)) {
    for (const names of [1, 2]) {
      it(`${title}, ${names} name${names > 1 ? 's' : ''}: data, then fsync, then the name`, () => {
        const calls = callsOf(false, names, change);
        const shown = calls.indexOf('renameat2');
        assert.isAtLeast(shown, 0, calls.join(' '));
        const before = calls.slice(0, shown);
        const flushed = before.lastIndexOf('fsync');
        assert.isAtLeast(flushed, 0, `no fsync before the rename: ${calls.join(' ')}`);
        const data = before.findLastIndex((call) =>
          ['pwrite', 'copy_file_range', 'ftruncate'].includes(call),
        );
        assert.isAtLeast(flushed, data, `data is written after fsync: ${calls.join(' ')}`);
      });
    }

    it(`${title}: nothing is flushed with "volatile"`, () => {
      const calls = callsOf(true, 1, change);
      assert.isEmpty(calls.filter((call) => /sync/.test(call)));
      assert.include(calls, 'renameat2');
    });
  }
});
