/**
 * Protects names: they are bytes, as long as the kernel allows, and in directories of any size and depth. Some are
 * refused, because a layer that holds them would mean something else.
 */
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { list, type Union, usePlace } from '../support/mount/place.js';
import { run } from '../support/run.js';

const SUITE = 'names';
const CROWD = 20_000;
const SMALLER_CROWD = 4_000;
const SMALLEST_CROWD = 1_000;
const FEW = 500;
const TIMEOUT_MS = 60_000;

describe(SUITE, function () {
  this.timeout(TIMEOUT_MS);
  const place = usePlace(SUITE);
  let union: Union;

  before(() => {
    union = place.union('names', {
      lowers: [{ 'links/one': 'linked', 'links/other': {}, bytes: {}, scan: {}, rm: {}, deep: {} }],
      args: ['-o', 'volatile'], // names only: no test here needs an fsync
    });
  });

  const lower = (path: string): string => join(union.lowers[0] ?? '', path);
  const upper = (path: string): string => join(union.upper, path);

  describe('are bytes', () => {
    /** Every byte but "/" and NUL, at the beginning, inside and at the end; and what is not UTF-8. */
    const NAMES = `
      allowed = [bytes([byte]) for byte in range(1, 256) if byte != ord('/')]
      names = [b + b'-' + b + b'-' + b for b in allowed] + [b for b in allowed if b != b'.']
      names += [b'\\xff\\xfe', b'\\xc3', b'\\xed\\xa0\\x80', b'...', b' ', b'\\n\\n', b''.join(allowed)[:255]]
      names = sorted(set(names))
    `;

    it('in a lower layer: every name is listed, found, read and copied up', () => {
      const seen = place.python(
        [
          NAMES,
          `
        for name in names:
            create(os.path.join(os.fsencode(lower), name), name)
        os.chdir(merged)
        result = [sorted(os.listdir(b'.')) == names]
        result.append(all(open(name, 'rb').read() == name for name in names))
        for name in names:
            with open(name, 'ab') as file:
                file.write(b'!')
        os.chdir(upper)
        result.append(sorted(os.listdir(b'.')) == names)
        result.append(all(open(name, 'rb').read() == name + b'!' for name in names))
        `,
        ],
        { lower: lower('bytes'), merged: union.at('bytes'), upper: upper('bytes') },
      );
      assert.deepEqual(seen, [true, true, true, true]);
    });

    it('through the mount: every name is made, renamed, linked to and removed', () => {
      const seen = place.python(
        [
          NAMES,
          `
        os.chdir(merged)
        names = [name for name in names if len(name) < 255]
        for name in names:
            create(name, name)
        upper = os.fsencode(upper)
        result = [sorted(os.listdir(upper)) == names, sorted(os.listdir(b'.')) == names]
        for name in names:
            os.rename(name, name + b'R')
            os.symlink(name + b'R', name)
        result.append(all(os.readlink(name) == name + b'R' for name in names))
        result.append(all(open(name, 'rb').read() == name for name in names))
        for name in names:
            os.unlink(name)
            os.unlink(name + b'R')
        result += [os.listdir(b'.'), os.listdir(upper)]
        `,
        ],
        { merged: makeDirectory('made'), upper: upper('made') },
      );
      assert.deepEqual(seen, [true, true, true, true, [], []]);
    });

    it('of 255 bytes work, of 256 are refused with ENAMETOOLONG', () => {
      const seen = place.python(
        `
        os.chdir(merged)
        results = {}
        for length in [255, 256]:
            name, other = 'n' * length, 'o' * length
            create('source-' + str(length))
            results[length] = [
                attempt(os.mkdir, name), attempt(os.rmdir, name), attempt(create, name), attempt(os.stat, name),
                attempt(os.link, name if length == 255 else 'source-256', other), attempt(os.unlink, other),
                attempt(os.symlink, 'x', other), attempt(os.mknod, 'm' * length, stat.S_IFIFO | 0o600),
                attempt(os.rename, 'source-' + str(length), 'r' * length), attempt(os.open, 'q' * length, os.O_CREAT),
            ]
        result = [results[255], results[256]]
        `,
        { merged: makeDirectory('long') },
      );
      assert.deepEqual(seen, [Array(10).fill('ok'), Array(10).fill('ENAMETOOLONG')]);
    });
  });

  describe('that would be read as deletions', () => {
    it('begin with .wh. and are refused for every kind of entry; nothing is left behind', () => {
      const merged = makeDirectory('wh');
      const seen = place.python(
        `
        os.chdir(merged)
        create('source')
        os.mkdir('directory')
        names = ['.wh.source', '.wh.', '.wh..wh..opq', '.wh.' + 'x' * 251]
        calls = [
            lambda name: create(name), lambda name: os.mkdir(name), lambda name: os.symlink('x', name),
            lambda name: os.link('source', name), lambda name: os.rename('source', name),
            lambda name: os.rename('directory', name), lambda name: os.mknod(name, stat.S_IFIFO | 0o600),
            lambda name: renameat2('source', name, RENAME_NOREPLACE),
        ]
        result = [[attempt(call, name) for call in calls] + [attempt(os.stat, name)] for name in names]
        `,
        { merged },
      );
      assert.deepEqual(seen, Array(4).fill([...Array(8).fill('EINVAL'), 'ENOENT']));
      assert.deepEqual(list(upper('wh')), ['directory', 'source']);
    });

    it('".wh" and ".whx" are names like others', () => {
      const merged = makeDirectory('nearly');
      place.python(`os.chdir(merged)\nfor name in ['.wh', '.whx', 'a.wh.b', '.WH.x']: create(name)`, {
        merged,
      });
      assert.deepEqual(list(merged), ['.WH.x', '.wh', '.whx', 'a.wh.b']);
    });

    it('a 0/0 character device is refused with EPERM', () => {
      const merged = makeDirectory('whiteout');
      const code = `
        os.chdir(merged)
        result = [attempt(os.mknod, 'name', stat.S_IFCHR | 0o600, 0), attempt(os.stat, 'name')]
      `;
      assert.deepEqual(place.python(code, { merged }), ['EPERM', 'ENOENT']);
    });

    it('other devices are made', () => {
      const merged = makeDirectory('devices');
      const seen = place.python(
        `
        os.chdir(merged)
        kinds = [(stat.S_IFCHR, 1, 3), (stat.S_IFBLK, 0, 0), (stat.S_IFCHR, 0, 1)]
        result = [attempt(os.mknod, f'{k:o}-{a}-{b}', k | 0o600, os.makedev(a, b)) for k, a, b in kinds]
        null = os.stat('20000-1-3')
        result.append([os.major(null.st_rdev), os.minor(null.st_rdev)])
        `,
        { merged },
      );
      assert.deepEqual(seen, ['ok', 'ok', 'ok', [1, 3]]);
    });
  });

  describe('many in one directory', () => {
    /**
     * Made behind the mount before it is first looked at. Few of them in upper: ext4 without a journal takes half a
     * millisecond to make an inode, as for a whiteout, soon after thousands have been deleted.
     */
    const crowd = (directory: string, count: number): string => {
      place.python(
        `
        for root, name, part in [(lower, 'lower', count - few), (upper, 'upper', few)]:
            os.makedirs(root, exist_ok=True)
            for number in range(part):
                os.close(os.open(f'{root}/{name}-{number:05}', os.O_CREAT))
        `,
        { lower: lower(directory), upper: upper(directory), count, few: FEW },
      );
      return union.at(directory);
    };

    it(`${CROWD} are all removed by a loop that lists and unlinks in turn`, () => {
      const seen = place.python(
        `
        removed = 0
        with os.scandir(directory) as entries:
            for entry in entries:
                os.unlink(entry.path)
                removed += 1
        result = [removed, os.listdir(directory), attempt(os.rmdir, directory)]
        `,
        { directory: crowd('scan', CROWD) },
      );
      assert.deepEqual(seen, [CROWD, [], 'ok']);
    });

    it('are all removed by rm -rf', () => {
      const directory = crowd('rm', SMALLER_CROWD);
      run('rm', ['-rf', directory]);
      assert.isFalse(existsSync(directory));
      assert.equal(lstatSync(upper('rm')).mode & 0o170000, 0o020000, 'one whiteout is left');
    });

    it('are listed once each while others are made and removed', () => {
      const seen = place.python(
        `
        os.mkdir(directory)
        for number in range(1000):
            os.close(os.open(f'{directory}/stays-{number:04}', os.O_CREAT))
        names = []
        with os.scandir(directory) as entries:
            for turn, entry in enumerate(entries):
                names.append(entry.name)
                os.close(os.open(f'{directory}/{turn:04}-comes', os.O_CREAT))
                if turn % 2:
                    os.unlink(f'{directory}/{turn - 1:04}-comes')
                if turn > 2000:
                    break
        staying = [name for name in names if name.startswith('stays-')]
        result = [len(staying), len(set(staying)), len(names) - len(set(names))]
        `,
        { directory: union.at('changing') },
      );
      assert.deepEqual(seen, [1000, 1000, 0]);
    });

    it(`${SMALLEST_CROWD} that are renamed as they are listed are all met, and the listing ends`, () => {
      const seen = place.python(
        `
        renamed = []
        with os.scandir(directory) as entries:
            for turn, entry in enumerate(entries):
                renamed.append(entry.name)
                os.rename(entry.path, f'{directory}/renamed-{turn}')
                if turn > 2 * count:
                    break
        first = [name for name in renamed if not name.startswith('renamed')]
        result = [len(first), len(set(first)), len(renamed) <= 2 * count, len(os.listdir(directory))]
        `,
        { directory: crowd('renamed', SMALLEST_CROWD), count: SMALLEST_CROWD },
      );
      assert.deepEqual(seen, [SMALLEST_CROWD, SMALLEST_CROWD, true, SMALLEST_CROWD]);
    });

    it('a listing that is rewound shows what is there now', () => {
      const seen = place.python(
        `
        os.mkdir(directory)
        fd = os.open(directory, os.O_RDONLY)
        result = []
        for step in [lambda: None, lambda: create(directory + '/a'), lambda: create(directory + '/b'),
                     lambda: os.rename(directory + '/a', directory + '/c'), lambda: os.unlink(directory + '/b')]:
            step()
            result.append(sorted(os.listdir(fd)))
        `,
        { directory: union.at('rewound') },
      );
      assert.deepEqual(seen, [[], ['a'], ['a', 'b'], ['b', 'c'], ['c']]);
    });
  });

  describe('deeper than the longest path', () => {
    const DEPTH = 60;
    const LENGTH = 100;
    const DESCEND = `
      def descend(depth):
          for level in range(depth):
              name = chr(ord('a') + level % 26) * ${LENGTH}
              if make and not os.path.exists(name):
                  os.mkdir(name)
              os.chdir(name)
    `;

    it('a tree of a lower layer is read, changed at its bottom, and removed', () => {
      const [depth, seen] = place.python<[number, unknown[]]>(
        [
          DESCEND,
          `
        make = True
        os.chdir(lower)
        descend(${DEPTH})
        create('bottom', b'old')
        make = False
        os.chdir(merged)
        descend(${DEPTH})
        seen = [read('bottom'), attempt(os.stat, '/'.join(['x' * ${LENGTH}] * ${DEPTH}))]
        with open('bottom', 'a') as file:
            file.write(' and new')
        create('beside')
        os.mkdir('below')
        os.rename('beside', 'below/beside')
        seen += [read('bottom'), sorted(os.listdir('.')), os.listdir('below')]
        os.chdir(upper)
        descend(${DEPTH})
        seen += [read('bottom'), sorted(os.listdir('.'))]
        os.chdir(lower)
        descend(${DEPTH})
        seen.append(read('bottom'))
        result = [${DEPTH} * ${LENGTH + 1}, seen]
        `,
        ],
        { lower: lower('deep'), merged: union.at('deep'), upper: upper('deep') },
      );
      assert.isAbove(depth, 4096);
      const all = ['below', 'bottom'];
      assert.deepEqual(seen, [
        ...['old', 'ENAMETOOLONG', 'old and new', all, ['beside'], 'old and new', all],
        'old',
      ]);
      run('rm', ['-rf', union.at('deep')]);
      assert.isFalse(existsSync(union.at('deep')));
    });

    it('a tree is made through the mount, and found again after a remount', () => {
      const merged = makeDirectory('made-deep');
      const toBottom = [DESCEND, 'os.chdir(merged)', `descend(${DEPTH})`];
      place.python([...toBottom, `create('bottom', b'made')`], { merged, make: true });
      union.remount();
      const content = place.python([...toBottom, `result = read('bottom')`], { merged, make: false });
      assert.equal(content, 'made');
    });
  });

  it('have no file handles that could go stale: name_to_handle_at is EOPNOTSUPP', () => {
    const union = place.union('handles', { lowers: [{ file: 'below' }] });
    const code = `
      def handle(path):
          space = ctypes.create_string_buffer(struct.pack('Ii', 128, 0), 8 + 128) # struct file_handle
          if libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), space, ctypes.byref(ctypes.c_int()), 0) != 0:
              raise OSError(ctypes.get_errno(), 'name_to_handle_at')
      result = [attempt(handle, path) for path in paths]
    `;
    const paths = [union.mountpoint, union.at('file'), `${union.lowers[0]}/file`];
    assert.deepEqual(place.python(code, { paths }), ['EOPNOTSUPP', 'EOPNOTSUPP', 'ok']);
  });

  describe('of one lower file', () => {
    it('share its data, inode and link count at once when it is written through one of them', () => {
      const [one, two, three] = ['links/one', 'links/two', 'links/other/three'].map((name) => union.at(name));
      place.python(`os.link(one, two); os.link(one, three)`, {
        one: lower('links/one'),
        two: lower('links/two'),
        three: lower('links/other/three'),
      });
      const seen = place.python(
        `
        before = os.open(three, os.O_RDONLY)
        view = mmap.mmap(before, 0, mmap.MAP_SHARED, mmap.PROT_READ)
        result = [read(one), read(two), view[:].decode()]
        with open(one, 'r+b') as file:
            file.write(b'shared')
        result += [read(two), read(three), os.pread(before, 100, 0).decode(), view[:].decode()]
        same = os.stat(one)
        result.append(all(os.path.samestat(same, os.stat(name)) for name in [two, three]))
        result += [same.st_nlink, os.fstat(before).st_nlink]
        `,
        { one, two, three },
      );
      assert.deepEqual(seen, [...Array(3).fill('linked'), ...Array(4).fill('shared'), true, 3, 3]);
      assert.equal(readFileSync(lower('links/two'), 'latin1'), 'linked');
    });

    it('still share it after a remount, and after a name is removed and another added', () => {
      union.remount();
      const seen = place.python(
        `
        os.chdir(root)
        names = ['one', 'two', 'other/three']
        result = [[read(name) for name in names], os.stat('two').st_nlink]
        with open('other/three', 'r+b') as file:
            file.write(b'SHARED')
        os.unlink('one')
        os.link('two', 'four')
        os.rename('other/three', 'three')
        names = ['two', 'three', 'four']
        result += [[read(name) for name in names], [os.stat(name).st_nlink for name in names]]
        result.append(len({os.stat(name).st_ino for name in names}))
        result.append([attempt(os.stat, name) for name in ['one', 'other/three']])
        `,
        { root: union.at('links') },
      );
      const expected = [Array(3).fill('SHARED'), [3, 3, 3], 1, ['ENOENT', 'ENOENT']];
      assert.deepEqual(seen, [Array(3).fill('shared'), 3, ...expected]);
      union.remount();
      const again = place.python(
        `
        os.chdir(root)
        names = ['two', 'three', 'four']
        result = [[read(name) for name in names], [os.stat(name).st_nlink for name in names]]
        result.append(len({os.stat(name).st_ino for name in names}))
        result.append([attempt(os.stat, name) for name in ['one', 'other/three']])
        `,
        { root: union.at('links') },
      );
      assert.deepEqual(again, expected);
    });
  });

  /** A new directory on the mount. */
  function makeDirectory(name: string): string {
    const path = union.at(name);
    place.python(`os.mkdir(path)`, { path });
    return path;
  }
});
