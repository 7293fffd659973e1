/**
 * Protects what is in use when descriptors are scarce: a node's descriptor may be closed at any moment to make room,
 * but what has lost its last name cannot be opened again, and must stay as it was until the kernel forgets it.
 */
import { readdirSync, statSync } from 'node:fs';
import { assert } from 'chai';
import type { Entry, NodeId } from '../../fs/protocol/filesystem.js';
import { S } from '../../fs/sys/constants.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { UNCHANGED } from '../support/protocol/bytes.js';
import { CALLER, Disk, lookup } from '../support/union/disk.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/pressure';
const ROOT = 1 as NodeId;
/** Descriptors that the union may keep; operations hold a few at once. */
const DESCRIPTORS = 8;
const OTHERS = 40;
const FILE = { kind: 'node', mode: S.IFREG | 0o640, major: 0, minor: 0, umask: 0 } as const;
const DIRECTORY = { kind: 'directory', mode: 0o750, umask: 0 } as const;

/** Things with descriptors, more of them than may be kept. */
const crowd = Object.fromEntries(
  Array.from({ length: OTHERS }, (_, index) => [
    `other${index}`,
    inode('directory', `other${index}`, {
      mode: 0o755,
      children: { file: inode('file', `file${index}`, { data: `${index}` }) },
    }),
  ]),
);

describe(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  /** A union whose lower layer holds the crowd and, under `name`, what a test needs. */
  function withUnion(
    children: Record<string, ReturnType<typeof inode>>,
    use: (fs: UnionFilesystem, disk: Disk) => void,
  ): void {
    const disk = new Disk('never', { descriptors: DESCRIPTORS });
    const umask = process.umask(0);
    try {
      const lower = inode('directory', 'lower', { mode: 0o755, children: { ...crowd, ...children } });
      disk.write(inode('directory', 'upper', { mode: 0o755 }), [lower]);
      use(disk.open(), disk);
    } finally {
      disk.remove();
      process.umask(umask);
    }
  }

  /** Reads every file of the crowd, which takes every descriptor that there is. */
  function crowdOut(fs: UnionFilesystem): void {
    for (let index = 0; index < OTHERS; index++) {
      const directory = must(fs, ROOT, `other${index}`);
      const file = must(fs, directory.nodeid, 'file');
      assert.equal(content(fs, file.nodeid), `${index}`);
    }
  }

  function must(fs: UnionFilesystem, parent: NodeId, name: string): Entry {
    return lookup(fs, parent, name) ?? assert.fail(`no ${name}`);
  }

  function content(fs: UnionFilesystem, node: NodeId): string {
    const room = Buffer.alloc(100);
    return room.toString('latin1', 0, fs.read(node, 0, room));
  }

  function names(fs: UnionFilesystem, node: NodeId): string[] {
    const found: string[] = [];
    fs.readdir(node, 0, { add: (name) => found.push(name) > 0 });
    return found.filter((name) => name !== '.' && name !== '..');
  }

  it('no more descriptors are open than may be', () => {
    withUnion({}, (fs) => {
      const count = (): number => readdirSync('/proc/self/fd').length;
      const before = count();
      crowdOut(fs);
      assert.isAtMost(count() - before, DESCRIPTORS);
    });
  });

  const MODE = 0o751;
  const REMOVED: Record<string, (fs: UnionFilesystem) => NodeId> = {
    'a directory of upper': (fs) => {
      const { nodeid } = fs.create(CALLER, ROOT, 'gone', { ...DIRECTORY, mode: MODE });
      fs.rmdir(ROOT, 'gone');
      return nodeid;
    },
    'a directory that a lower layer holds as well': (fs) => {
      const { nodeid } = must(fs, ROOT, 'merged');
      fs.setattr(CALLER, nodeid, { ...UNCHANGED, mode: MODE });
      fs.unlink(nodeid, 'a');
      fs.rmdir(ROOT, 'merged');
      return nodeid;
    },
    'a directory that another takes the place of': (fs) => {
      const { nodeid } = fs.create(CALLER, ROOT, 'gone', { ...DIRECTORY, mode: MODE });
      fs.create(CALLER, ROOT, 'new', DIRECTORY);
      fs.rename(ROOT, 'new', ROOT, 'gone', 0);
      return nodeid;
    },
    'a directory below one that was removed as well': (fs) => {
      const parent = fs.create(CALLER, ROOT, 'gone', DIRECTORY);
      const { nodeid } = fs.create(CALLER, parent.nodeid, 'sub', { ...DIRECTORY, mode: MODE });
      fs.rmdir(parent.nodeid, 'sub');
      fs.rmdir(ROOT, 'gone');
      return nodeid;
    },
  };
  const merged = (): ReturnType<typeof inode> =>
    inode('directory', 'merged', { mode: 0o700, children: { a: inode('file', 'a', { data: 'a' }) } });
  for (const [what, remove] of Object.entries(REMOVED)) {
    it(`${what} keeps its attributes, is empty, and takes nothing new once it is removed`, () => {
      withUnion({ merged: merged() }, (fs) => {
        const node = remove(fs);
        const { ino } = fs.getattr(node).attributes;
        crowdOut(fs);
        const { mode, ino: later } = fs.getattr(node).attributes;
        assert.equal(mode, S.IFDIR | MODE);
        assert.equal(later, ino);
        assert.deepEqual(names(fs, node), []);
        assert.throws(() => fs.create(CALLER, node, 'x', FILE), /ENOENT/);
        fs.setattr(CALLER, node, { ...UNCHANGED, mode: 0o700 });
        assert.equal(fs.getattr(node).attributes.mode, S.IFDIR | 0o700);
      });
    });
  }

  const UNLINKED: Record<string, (fs: UnionFilesystem) => NodeId> = {
    'a file of upper': (fs) => {
      const { nodeid } = fs.create(CALLER, ROOT, 'gone', FILE);
      fs.write(CALLER, nodeid, 0, Buffer.from('kept'), false);
      crowdOut(fs);
      fs.unlink(ROOT, 'gone');
      return nodeid;
    },
    'a file of a lower layer': (fs) => {
      const { nodeid } = must(fs, ROOT, 'lower');
      fs.unlink(ROOT, 'lower');
      return nodeid;
    },
    'a file that another takes the place of': (fs) => {
      const { nodeid } = fs.create(CALLER, ROOT, 'gone', FILE);
      fs.write(CALLER, nodeid, 0, Buffer.from('kept'), false);
      fs.create(CALLER, ROOT, 'new', FILE);
      fs.rename(ROOT, 'new', ROOT, 'gone', 0);
      return nodeid;
    },
    'a file that may not be read': (fs) => {
      const { nodeid } = fs.create(CALLER, ROOT, 'gone', FILE);
      fs.write(CALLER, nodeid, 0, Buffer.from('kept'), false);
      fs.setattr(CALLER, nodeid, { ...UNCHANGED, mode: 0 });
      crowdOut(fs);
      fs.unlink(ROOT, 'gone');
      return nodeid;
    },
    'the last of two names': (fs) => {
      const { nodeid } = fs.create(CALLER, ROOT, 'gone', FILE);
      fs.write(CALLER, nodeid, 0, Buffer.from('kept'), false);
      fs.link(nodeid, ROOT, 'again');
      fs.unlink(ROOT, 'gone');
      crowdOut(fs);
      assert.equal(content(fs, nodeid), 'kept');
      fs.unlink(ROOT, 'again');
      return nodeid;
    },
  };
  for (const [what, remove] of Object.entries(UNLINKED)) {
    it(`${what} can be read and written after its last name went`, () => {
      withUnion({ lower: inode('file', 'lower', { data: 'kept' }) }, (fs, disk) => {
        const node = remove(fs);
        crowdOut(fs);
        assert.equal(content(fs, node), 'kept');
        fs.write(CALLER, node, 4, Buffer.from(' on'), false);
        crowdOut(fs);
        assert.equal(content(fs, node), 'kept on');
        assert.equal(Number(fs.getattr(node).attributes.size), 7);
        fs.setattr(CALLER, node, { ...UNCHANGED, size: 2 });
        assert.equal(content(fs, node), 'ke');
        fs.forget(node, 1000);
        assert.deepEqual(disk.leftovers(), []);
        assert.equal(statSync(disk.path('lower1')).isDirectory(), true);
      });
    });
  }

  describe('any number of things without names, which may all be in use', () => {
    const COUNT = 30;
    /** Beside the cached ones, as many are pinned as a half of these. */
    const MOST = DESCRIPTORS + DESCRIPTORS / 2;
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const each = <T>(make: (index: number) => T): T[] =>
      Array.from({ length: COUNT }, (_, index) => make(index));

    const NAMELESS: Record<string, (fs: UnionFilesystem, index: number) => NodeId> = {
      'files of upper': (fs, index) => {
        const { nodeid } = fs.create(CALLER, ROOT, `f${index}`, FILE);
        fs.write(CALLER, nodeid, 0, Buffer.from(`${index}`), false);
        fs.unlink(ROOT, `f${index}`);
        return nodeid;
      },
      'files that others take the place of': (fs, index) => {
        const { nodeid } = fs.create(CALLER, ROOT, `f${index}`, FILE);
        fs.write(CALLER, nodeid, 0, Buffer.from(`${index}`), false);
        fs.create(CALLER, ROOT, 'new', FILE);
        fs.rename(ROOT, 'new', ROOT, `f${index}`, 0);
        return nodeid;
      },
      'files that may not be read': (fs, index) => {
        const { nodeid } = fs.create(CALLER, ROOT, `f${index}`, FILE);
        fs.write(CALLER, nodeid, 0, Buffer.from(`${index}`), false);
        fs.setattr(CALLER, nodeid, { ...UNCHANGED, mode: 0 });
        fs.unlink(ROOT, `f${index}`);
        return nodeid;
      },
      'files of a lower layer, changed afterwards': (fs, index) => {
        const parent = must(fs, ROOT, `other${index}`).nodeid;
        const { nodeid } = must(fs, parent, 'file');
        fs.unlink(parent, 'file');
        return nodeid;
      },
      'files that never had one (O_TMPFILE)': (fs, index) => {
        const { nodeid } = fs.tmpfile(CALLER, ROOT, S.IFREG | 0o600, 0);
        fs.write(CALLER, nodeid, 0, Buffer.from(`${index}`), false);
        return nodeid;
      },
    };
    for (const [what, make] of Object.entries(NAMELESS)) {
      it(`${what} take no more descriptors, are read and written, have no links, and leave nothing`, () => {
        withUnion({}, (fs, disk) => {
          const before = descriptors();
          const nodes = each((index) => make(fs, index));
          assert.isAtMost(descriptors() - before, MOST);
          nodes.forEach((node, index) => {
            fs.write(CALLER, node, `${index}`.length, Buffer.from(' on'), false);
          });
          assert.isAtMost(descriptors() - before, MOST);
          crowdOutDirectories(fs);
          nodes.forEach((node, index) => {
            assert.equal(content(fs, node), `${index} on`);
            assert.equal(fs.getattr(node).attributes.nlink, 0);
            fs.setattr(CALLER, node, { ...UNCHANGED, mode: 0o604 });
            assert.equal(fs.getattr(node).attributes.mode, S.IFREG | 0o604);
          });
          for (const node of nodes.slice(1)) fs.forget(node, 1000);
          disk.close();
          assert.deepEqual(disk.leftovers(), [], 'after the others were forgotten, and the mount ended');
        });
      });
    }

    it('unnamed files get their names as before, and may lose them again', () => {
      withUnion({}, (fs, disk) => {
        const nodes = each(() => fs.tmpfile(CALLER, ROOT, S.IFREG | 0o600, 0).nodeid);
        nodes.forEach((node, index) => {
          fs.link(node, ROOT, `t${index}`);
          assert.equal(fs.getattr(node).attributes.nlink, 1, `${index}`);
          fs.link(node, ROOT, `u${index}`);
          assert.equal(fs.getattr(node).attributes.nlink, 2, `${index}`);
        });
        nodes.forEach((node, index) => {
          fs.unlink(ROOT, `t${index}`);
          assert.equal(fs.getattr(node).attributes.nlink, 1, `${index}`);
          fs.unlink(ROOT, `u${index}`);
          assert.equal(fs.getattr(node).attributes.nlink, 0, `${index}`);
          fs.forget(node, 1000);
        });
        assert.deepEqual(disk.leftovers(), []);
      });
    });

    it('directories keep their attributes; those that have no descriptor are not mistaken for new ones of their names', () => {
      withUnion({}, (fs) => {
        const before = descriptors();
        const nodes = each((index) => {
          const { nodeid } = fs.create(CALLER, ROOT, `d${index}`, DIRECTORY);
          fs.rmdir(ROOT, `d${index}`);
          return nodeid;
        });
        assert.isAtMost(descriptors() - before, MOST);
        const fresh = each((index) => fs.create(CALLER, ROOT, `d${index}`, DIRECTORY).nodeid);
        for (const node of nodes) {
          const { mode, nlink } = fs.getattr(node).attributes;
          assert.deepEqual([mode, nlink], [S.IFDIR | 0o750, 0]);
          assert.deepEqual(names(fs, node), []);
          try {
            fs.setattr(CALLER, node, { ...UNCHANGED, mode: 0o700 });
          } catch (error) {
            assert.match(String(error), /ESTALE/);
          }
        }
        for (const node of fresh) assert.equal(fs.getattr(node).attributes.mode, S.IFDIR | 0o750);
      });
    });

    function crowdOutDirectories(fs: UnionFilesystem): void {
      for (let index = 0; index < OTHERS; index++) names(fs, must(fs, ROOT, `other${index}`).nodeid);
    }
  });
});
