/**
 * Protects uppers that fuse-overlayfs has written: `.wh.NAME` and `.wh..wh..opq` hide what they hide, before, while and
 * after they are rewritten, whichever system call fails; nothing that is no mark is lost, and directories keep their times.
 */
import { closeSync, lutimesSync, mkdirSync, openSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import { RENAME } from '../../fs/sys/constants.js';
import { E, Errno } from '../../fs/sys/errno.js';
import { getxattrat } from '../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT, MARK } from '../support/privilege.js';
import { Disk, lookup, nodeAt, tell } from '../support/union/disk.js';
import { callsOf, failing } from '../support/union/faults.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/dot names';
const ROOT = 1 as NodeId;
const OLD = 1_000_000_000;
const LONG = 'l'.repeat(251);

const directory = (children: Parameters<typeof inode>[2] = {}) =>
  inode('directory', 'layer', { mode: 0o755, ...children });
const file = (data = 'lower') => inode('file', 'file', { data });

/** A lower layer with a directory, in which everything has a name that a mark may hide. */
const lower = () => {
  const names = ['gone', 'kept', 'replaced', 'filled', 'folder', LONG];
  const inside = Object.fromEntries(names.map((name) => [name, file()]));
  return directory({
    children: {
      ...inside,
      d: directory({ children: { ...inside, merged: directory({ children: { below: file() } }) } }),
      opaque: directory({ children: { hidden: file() } }),
    },
  });
};

/** What fuse-overlayfs leaves in a directory of upper, and what only looks like it. */
function mark(path: string): void {
  for (const name of ['gone', 'replaced', 'merged', 'nothing', LONG])
    writeFileSync(`${path}/.wh.${name}`, '');
  writeFileSync(`${path}/replaced`, 'upper');
  mkdirSync(`${path}/merged`);
  writeFileSync(`${path}/.wh.filled`, 'data');
  mkdirSync(`${path}/.wh.folder`);
  for (const name of NO_MARKS) writeFileSync(`${path}/${name}`, '');
}

const NO_MARKS = ['.wh.', '.wh..', '.wh...', '.wh..wh.plnk'];
const KEPT = [...NO_MARKS, '.wh.filled', '.wh.folder'];

function write(disk: Disk): void {
  disk.write(directory(), [lower()]);
  const upper = disk.path('upper');
  mkdirSync(`${upper}/d`);
  mark(`${upper}/d`);
  mkdirSync(`${upper}/opaque`);
  writeFileSync(`${upper}/opaque/.wh..wh..opq`, '');
  writeFileSync(`${upper}/opaque/own`, 'upper');
  writeFileSync(`${upper}/.wh..wh..opq`, ''); // a root hides nothing
  writeFileSync(`${upper}/.wh.gone`, '');
  for (const path of ['d', 'opaque', '']) lutimesSync(`${upper}/${path}`, OLD, OLD);
}

const SHOWN = [
  ['/kept', '/replaced', '/filled', '/folder', `/${LONG}`],
  ['/d', '/d/kept', '/d/replaced', '/d/merged'],
  ['/opaque', '/opaque/own'],
]
  .flat()
  .sort();

const shown = (fs: UnionFilesystem): string[] => {
  const { lines, contradictions } = tell(fs);
  assert.isEmpty(contradictions);
  return [...lines.keys()].sort();
};

function withDisk(use: (disk: Disk) => void, options = {}): void {
  const disk = new Disk('never', options);
  const umask = process.umask(0);
  try {
    write(disk);
    use(disk);
  } finally {
    disk.remove();
    process.umask(umask);
  }
}

/** What hides the name in upper: a device, a file that is marked, or nothing. */
const held = (disk: Disk, path: string): 'device' | 'file' | 'directory' | undefined => {
  const stat = statSync(disk.path('upper', path), { throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  if (stat.isDirectory()) return 'directory';
  return stat.isCharacterDevice() && stat.rdev === 0 ? 'device' : 'file';
};

function attributeOf(path: string, name: string): string | undefined {
  const fd = openSync(path, 'r');
  try {
    return getxattrat(fd, '', MARK + name)?.toString();
  } finally {
    closeSync(fd);
  }
}

// Whiteout devices are the host's root's.
(IS_HOST_ROOT ? describe : (): void => {})(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  for (const whiteoutsAreFiles of [false, true]) {
    it(`hide what they hide, and are rewritten as ${whiteoutsAreFiles ? 'files' : 'devices'}`, () => {
      withDisk(
        (disk) => {
          assert.deepEqual(shown(disk.open()), SHOWN);
          const names = readdirSync(disk.path('upper', 'd')).filter((name) => name.startsWith('.wh.'));
          assert.deepEqual(names.sort(), [...KEPT].sort());
          const form = whiteoutsAreFiles ? 'file' : 'device';
          assert.deepEqual(
            ['d/gone', `d/${LONG}`, 'gone', 'd/replaced', 'd/merged'].map((path) => held(disk, path)),
            [form, form, form, 'file', 'directory'],
          );
          assert.equal(attributeOf(disk.path('upper', 'd', 'merged'), 'opaque'), 'y');
          assert.equal(attributeOf(disk.path('upper', 'opaque'), 'opaque'), 'y');
          assert.equal(attributeOf(disk.path('upper', 'd'), 'opaque'), whiteoutsAreFiles ? 'x' : undefined);
          assert.deepEqual(
            readdirSync(disk.path('upper')).filter((name) => name.startsWith('.wh.')),
            [],
          );
          for (const path of ['d', 'opaque'])
            assert.equal(statSync(disk.path('upper', path)).mtimeMs, OLD * 1000, path);
          assert.isEmpty(disk.leftovers());
          assert.deepEqual(disk.peek(shown), SHOWN);
        },
        { whiteoutsAreFiles },
      );
    });
  }

  it('hide what they hide whichever system call fails while they are rewritten, then and to the next mount', () => {
    let count = 1;
    for (let at = 0; at < count; at += 3) {
      withDisk((disk) => {
        const fs = disk.open();
        const look = (): void => {
          const d = nodeAt(fs, ['d']) as NodeId;
          for (const name of ['gone', 'kept', 'merged']) lookup(fs, d, name);
        };
        if (at === 0) {
          count = callsOf(look).length;
          return;
        }
        try {
          failing(at, E.EIO, look);
        } catch (error) {
          if (!(error instanceof Errno)) throw error;
        }
        assert.deepEqual(shown(fs), SHOWN, `call ${at}`);
        assert.deepEqual(disk.peek(shown), SHOWN, `call ${at}, the next mount`);
      });
    }
    assert.isAbove(count, 20);
  });

  it('a mark that is there to stay keeps out what would be cut off from its lower directories', () => {
    withDisk((disk) => {
      const fs = disk.open();
      const d = nodeAt(fs, ['d']) as NodeId;
      const root = disk.path('lower1', 'moved');
      mkdirSync(root);
      for (const flags of [0, RENAME.NOREPLACE])
        assert.throws(() => fs.rename(ROOT, 'moved', d, 'filled', flags), Errno, 'EIO');
      fs.rename(ROOT, 'moved', d, 'free', 0);
      assert.isDefined(lookup(fs, d, 'free'));
    });
  });
});
