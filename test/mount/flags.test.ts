/** Protects what chattr(1) protects: immutable and append-only files, in upper and in lower layers. */
import { assert } from 'chai';
import { usePlace } from '../support/mount/place.js';

const SUITE = 'inode flags';

const HELPERS = `
def flags(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return struct.unpack('l', fcntl.ioctl(fd, 0x80086601, bytes(8)))[0] & 0x30
    finally:
        os.close(fd)
def set_flags(path, value):
    fd = os.open(path, os.O_RDONLY)
    try:
        others = struct.unpack('l', fcntl.ioctl(fd, 0x80086601, bytes(8)))[0] & ~0x30
        fcntl.ioctl(fd, 0x40086602, struct.pack('l', others | value))
    finally:
        os.close(fd)
APPEND, IMMUTABLE = 0x20, 0x10
def append(path, data=b'more'):
    with open(path, 'ab') as file:
        file.write(data)
def overwrite(path):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, b'over')
    finally:
        os.close(fd)
`;

describe(SUITE, () => {
  const place = usePlace(SUITE, ['chattr']);

  afterEach(() => void place.outcome('chattr', ['-R', '-f', '-ia', place.directory])); // else nobody can remove them

  it('of files that are made in the union are kept, shown and obeyed', () => {
    const union = place.union('upper', { lowers: [{ 'from below': 'below' }] });
    const seen = place.python(
      [
        HELPERS,
        `
      os.chdir(root)
      create('immutable', b'content')
      create('append', b'content')
      os.mkdir('directory')
      result = {}
      for name, value in [('immutable', IMMUTABLE), ('append', APPEND), ('directory', IMMUTABLE), ('from below', IMMUTABLE)]:
          set_flags(name, value)
          result[name] = flags(name)
      result['refused'] = [
          attempt(append, 'immutable'), attempt(os.unlink, 'immutable'), attempt(os.rename, 'immutable', 'other'),
          attempt(os.link, 'immutable', 'other'), attempt(os.chmod, 'immutable', 0o600),
          attempt(overwrite, 'append'), attempt(os.truncate, 'append', 0), attempt(os.unlink, 'append'),
          attempt(create, 'directory/new'), attempt(os.rmdir, 'directory'), attempt(append, 'from below')]
      append('append')
      result['appended'] = read('append')
      for name in ['immutable', 'append', 'directory', 'from below']:
          set_flags(name, 0)
      append('from below')
      result['free again'] = [flags('immutable'), attempt(append, 'immutable'), attempt(overwrite, 'append'), read('from below')]
      `,
      ],
      { root: union.mountpoint },
    );
    assert.deepEqual(seen, {
      immutable: 0x10,
      append: 0x20,
      directory: 0x10,
      'from below': 0x10,
      refused: Array(11).fill('EPERM'),
      appended: 'contentmore',
      'free again': [0, 'ok', 'ok', 'belowmore'],
    });
  });

  it('show a new change time at once when they change', () => {
    const union = place.union('change time', {
      lowers: [{ file: 'content', directory: {} }],
      upper: { own: 'x' },
    });
    const seen = place.python(
      [
        HELPERS,
        `
      NOATIME = 0x80
      os.chdir(root)
      result = []
      for name in ['own', 'file', 'directory']:
          before = os.stat(name).st_ctime_ns
          set_flags(name, NOATIME)
          result.append(os.stat(name).st_ctime_ns > before)
      `,
      ],
      { root: union.mountpoint },
    );
    assert.deepEqual(seen, [true, true, true]);
  });

  it('of lower entries protect them until they are taken away', () => {
    const union = place.layers('lower', {
      lowers: [{ immutable: 'content', append: 'content', directory: { inner: 'x' }, plain: 'y' }],
    });
    const chattr = (flag: string): void => {
      for (const [name, letter] of [
        ['immutable', 'i'],
        ['append', 'a'],
        ['directory', 'i'],
      ] as const) {
        place.run('chattr', [`${flag}${letter}`, `${union.lowers[0]}/${name}`]);
      }
    };
    chattr('+');
    try {
      union.mount();
      const seen = place.python(
        [
          HELPERS,
          `
        os.chdir(root)
        result = {'flags': [flags(name) for name in ['immutable', 'append', 'directory', 'plain']]}
        result['refused'] = [
            attempt(append, 'immutable'), attempt(os.unlink, 'immutable'), attempt(os.rename, 'immutable', 'other'),
            attempt(os.rename, 'plain', 'immutable'), attempt(os.link, 'immutable', 'other'),
            attempt(os.chmod, 'immutable', 0o600), attempt(overwrite, 'append'), attempt(create, 'directory/new'),
            attempt(os.unlink, 'directory/inner'), attempt(os.rename, 'directory', 'moved')]
        set_flags('immutable', 0)
        result['free'] = [flags('immutable'), attempt(append, 'immutable'), read('immutable')]
        `,
        ],
        { root: union.mountpoint },
      );
      assert.deepEqual(seen, {
        flags: [0x10, 0x20, 0x10, 0],
        refused: Array(10).fill('EPERM'),
        free: [0, 'ok', 'contentmore'],
      });
      union.umount();
    } finally {
      chattr('-');
    }
  });

  it('are unknown to symlinks and devices, and other ioctls are refused', () => {
    const union = place.union('others', { lowers: [{ file: 'x' }] });
    const seen = place.python(
      `
      os.chdir(root)
      fd = os.open('file', os.O_RDWR)
      result = [attempt(fcntl.ioctl, fd, 0x5401, bytes(64)), attempt(fcntl.ioctl, fd, 0x40049409, fd)]
      `,
      { root: union.mountpoint },
    );
    assert.deepEqual(seen, ['ENOTTY', 'EOPNOTSUPP']);
  });

  it('an append-only file of a lower layer takes appends alone, before the copy and after it', () => {
    const union = place.layers('appended', { lowers: [{ log: 'one', other: 'one', both: 'one' }] });
    const [lower = ''] = union.lowers;
    for (const name of ['log', 'other']) place.run('chattr', ['+a', `${lower}/${name}`]);
    place.run('chattr', ['+ai', `${lower}/both`]);
    union.mount();
    const write = `
      os.chdir(root)
      result = [attempt(overwrite, 'log'), attempt(os.truncate, 'log', 1), attempt(os.unlink, 'log'),
          attempt(append, 'both'), attempt(append, 'log', b' two'), attempt(append, 'log', b' three'),
          attempt(overwrite, 'log'), attempt(os.truncate, 'log', 1), attempt(os.chmod, 'log', 0o600),
          attempt(os.rename, 'log', 'moved'), attempt(os.unlink, 'log'), read('log'), flags('log'),
          read('other'), flags('other')]
      `;
    const refused = 'EPERM';
    assert.deepEqual(place.python([HELPERS, write], { root: union.mountpoint }), [
      ...[refused, refused, refused, refused, 'ok', 'ok', refused, refused, refused, refused, refused],
      ...['one two three', 0x20, 'one', 0x20],
    ]);
    union.remount();
    const again = `
      os.chdir(root)
      result = [attempt(overwrite, 'log'), attempt(append, 'log', b' four'), read('log'), flags('log')]
      `;
    assert.deepEqual(place.python([HELPERS, again], { root: union.mountpoint }), [
      refused,
      'ok',
      'one two three four',
      0x20,
    ]);
    assert.equal(place.run('cat', [`${lower}/log`]), 'one');
    union.umount();
  });
});
