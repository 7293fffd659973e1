/**
 * Protects the world outside the layers, and the files inside, from marks that are damaged or made by an enemy: a redirect
 * that leads out of the layer or nowhere, an origin that is no handle, a count of links that is no number, an opaque mark
 * that says something else.
 */
import { closeSync, linkSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { assert } from 'chai';
import type { NodeId } from '../../fs/protocol/filesystem.js';
import { Errno, errnoName } from '../../fs/sys/errno.js';
import { getxattrat, setxattrat } from '../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import type { Layer } from '../../fs/union/layers/layer.js';
import { originsAreUnique } from '../../fs/union/layers/origin.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT, MARK } from '../support/privilege.js';
import { CALLER, Disk, lookup, tell } from '../support/union/disk.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/corrupt marks';
const ROOT = 1 as NodeId;
const SECRET = 'secret';

/** Does something with a path's directory and name. */
function at<T>(path: string, use: (dirfd: number, name: string) => T): T {
  const dirfd = openSync(dirname(path), 'r');
  try {
    return use(dirfd, basename(path));
  } finally {
    closeSync(dirfd);
  }
}

const mark = (path: string, attribute: string, value: string | Buffer): void =>
  at(path, (dirfd, name) => setxattrat(dirfd, name, MARK + attribute, Buffer.from(value as string)));

describe(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  /** A union of upper and two lower layers, written as files, with a secret beside the layers. */
  function withUnion(write: (disk: Disk) => void, use: (fs: UnionFilesystem, disk: Disk) => void): void {
    const disk = new Disk('never');
    const umask = process.umask(0);
    try {
      const empty = (): ReturnType<typeof inode> => inode('directory', 'layer', { mode: 0o755 });
      disk.write(empty(), [empty(), empty()]);
      mkdirSync(disk.path('outside'));
      writeFileSync(disk.path('outside', SECRET), SECRET);
      write(disk);
      use(disk.open(), disk);
    } finally {
      disk.remove();
      process.umask(umask);
    }
  }

  const attempt = (action: () => unknown): string => {
    try {
      action();
      return 'done';
    } catch (error) {
      if (error instanceof Errno) return errnoName(error.code);
      throw error;
    }
  };

  const REFUSED = [
    '..',
    '../outside',
    '.',
    '',
    '/',
    '//',
    '/..',
    '/../outside',
    '/below/../../outside',
    '/below//sub',
    '/below/.',
    '/below/',
    'below/sub',
    'be\0low',
  ];
  // Nobody else's redirects are believed, and nobody else has an index.
  const describeForRoot = IS_HOST_ROOT ? describe : (): void => {};
  describeForRoot('redirects', () => {
    const write = (redirect: string) => (disk: Disk) => {
      mkdirSync(disk.path('lower1', 'r'));
      mark(disk.path('lower1', 'r'), 'redirect', redirect);
      mkdirSync(disk.path('lower2', 'below'));
      mkdirSync(disk.path('lower2', 'below', 'sub'));
      writeFileSync(disk.path('lower2', 'below', 'f'), 'f');
    };
    for (const redirect of REFUSED) {
      it(`${JSON.stringify(redirect)} is refused as the kernel does: EIO`, () => {
        withUnion(write(redirect), (fs) => {
          assert.equal(
            attempt(() => lookup(fs, ROOT, 'r')),
            'EIO',
          );
          assert.equal(
            attempt(() => lookup(fs, ROOT, 'below')),
            'done',
          );
        });
      });
    }
    it('one that leads to a name that is not there shows what its own layer holds', () => {
      for (const redirect of ['nothing', '/nothing', '/below/nothing', `/${'a'.repeat(255)}`]) {
        withUnion(write(redirect), (fs) => {
          assert.isDefined(lookup(fs, ROOT, 'r'));
          assert.notInclude([...tell(fs).lines.values()].join('\n'), SECRET);
        });
      }
    });
    it('one that leads to itself, or two that lead to each other, come to an end', () => {
      const circle = (disk: Disk): void => {
        for (const layer of ['lower1', 'lower2']) {
          mkdirSync(disk.path(layer, 'a'));
          mkdirSync(disk.path(layer, 'b'));
          mark(disk.path(layer, 'a'), 'redirect', '/b');
          mark(disk.path(layer, 'b'), 'redirect', '/a');
        }
      };
      withUnion(circle, (fs) => {
        assert.deepEqual([...tell(fs).lines.keys()].sort(), ['/a', '/b']);
      });
    });
    it('a good one is followed', () => {
      withUnion(write('/below'), (fs) => {
        assert.include([...tell(fs).lines.keys()], '/r/f');
      });
    });
  });

  const ORIGINS = {
    'an empty one': Buffer.alloc(0),
    'one byte': Buffer.from([0]),
    zeros: Buffer.alloc(40),
    'a header that promises more than there is': Buffer.from([0, 0xfb, 200, 0, 1, ...Buffer.alloc(16)]),
    'a header that promises less': Buffer.from([0, 0xfb, 1, 0, 1, ...Buffer.alloc(30, 7)]),
    'another version': Buffer.from([9, 0xfb, 29, 0, 1, ...Buffer.alloc(24, 7)]),
    'a handle of a file that is gone': Buffer.from([0, 0xfb, 29, 0, 1, ...Buffer.alloc(24, 0xaa)]),
    'one of 4 KiB': Buffer.alloc(4096, 0xfb),
  };
  for (const [title, origin] of Object.entries(ORIGINS)) {
    it(`an origin, ${title}: the file is shown, changed and removed as any other`, () => {
      const write = (disk: Disk): void => {
        writeFileSync(disk.path('upper', 'f'), 'upper');
        mark(disk.path('upper', 'f'), 'origin', origin);
        mark(disk.path('upper'), 'impure', 'y');
        writeFileSync(disk.path('lower1', 'f'), 'lower');
      };
      withUnion(write, (fs, disk) => {
        const { nodeid } = lookup(fs, ROOT, 'f') ?? assert.fail('no f');
        const room = Buffer.alloc(10);
        assert.equal(room.toString('latin1', 0, fs.read(nodeid, 0, room)), 'upper');
        fs.write(CALLER, nodeid, 0, Buffer.from('U'), false);
        fs.rename(ROOT, 'f', ROOT, 'g', 0);
        fs.unlink(ROOT, 'g');
        assert.deepEqual([...tell(disk.open()).lines.keys()], []);
      });
    });
  }

  describeForRoot('counts of links', () => {
    it('one that is no number counts as none: upper has as many names as it has', () => {
      for (const count of ['', 'L', 'L+', 'U1', 'X+1', 'L+99999999999999999999', 'U-1e9', '\0', 'U+1x']) {
        withUnion(
          (disk) => {
            writeFileSync(disk.path('lower1', 'a'), 'a');
            linkSync(disk.path('lower1', 'a'), disk.path('lower1', 'b'));
          },
          (fs, disk) => {
            const a = lookup(fs, ROOT, 'a') ?? assert.fail('no a');
            fs.write(CALLER, a.nodeid, 0, Buffer.from('A'), false);
            const copy = disk.path('upper', 'a');
            assert.match(
              at(copy, (dirfd, name) => getxattrat(dirfd, name, `${MARK}nlink`))?.toString() ?? '',
              /^[LU][+-]\d+$/,
            );
            mark(copy, 'nlink', count);
            const later = disk.open();
            for (const name of ['a', 'b']) {
              const { attributes } = lookup(later, ROOT, name) ?? assert.fail(`no ${name}`);
              assert.isAtLeast(attributes.nlink, 1, `${JSON.stringify(count)}: ${name}`);
              later.unlink(ROOT, name);
            }
            assert.deepEqual([...tell(disk.open()).lines.keys()], []);
          },
        );
      }
    });
  });

  it('an opaque mark that says anything but "y" hides nothing', () => {
    for (const [value, names] of [
      ['y', []],
      ['n', ['/d/f']],
      ['x', ['/d/f']],
      ['Y', ['/d/f']],
      ['', ['/d/f']],
    ] as const) {
      const write = (disk: Disk): void => {
        mkdirSync(disk.path('upper', 'd'));
        mark(disk.path('upper', 'd'), 'opaque', value);
        mkdirSync(disk.path('lower1', 'd'));
        writeFileSync(disk.path('lower1', 'd', 'f'), 'f');
      };
      withUnion(write, (fs) => {
        assert.deepEqual([...tell(fs).lines.keys()], ['/d', ...names], JSON.stringify(value));
      });
    }
  });
});

describe('union/origin: whether a handle tells its filesystem', () => {
  const layer = (dev: number, uuid: string | undefined, isUpper = false): Layer =>
    ({ dev, uuid: uuid === undefined ? undefined : Buffer.from(uuid), isUpper }) as Layer;
  const STACKS: readonly [title: string, layers: readonly Layer[], unique: boolean][] = [
    ['one lower', [layer(1, 'a')], true],
    ['one lower without UUID', [layer(1, undefined)], true],
    ['two lowers of one filesystem without UUID', [layer(1, undefined), layer(1, undefined)], true],
    ['two filesystems with UUIDs', [layer(1, 'a'), layer(2, 'b')], true],
    ['two filesystems, one without UUID', [layer(1, 'a'), layer(2, undefined)], false],
    ['two filesystems without UUID', [layer(1, undefined), layer(2, undefined)], false],
    ['two filesystems with one UUID, as after dd', [layer(1, 'a'), layer(2, 'a')], false],
    ['three filesystems, two of them twins', [layer(1, 'a'), layer(2, 'b'), layer(3, 'b')], false],
    ['an upper beside does not count', [layer(9, 'a', true), layer(1, 'a')], true],
    ['nor one without UUID', [layer(9, undefined, true), layer(1, 'a'), layer(2, 'b')], true],
  ];
  for (const [title, layers, unique] of STACKS) {
    it(`${title}: ${unique ? 'yes' : 'no'}`, () => {
      assert.equal(originsAreUnique(layers), unique);
    });
  }
});
