/**
 * Protects file data where opens cost no message: truncation, descriptors that outlive their names, mappings, locks,
 * holes. No file handle reaches the server, so all of this rests on nodes.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { CLI, list, type Union, usePlace } from '../support/mount/place.js';
import { SELF, UNPRIVILEGED } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'file data';
const MIB = 1024 * 1024;

const text = (path: string): string => readFileSync(path, 'latin1');

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;

  before(() => {
    union = place.union('data', {
      lowers: [
        {
          long: 'a long line that must not survive\n',
          append: '',
          locked: 'locked',
          'open/read': 'lower',
          'open/write': 'lower',
          'open/truncate': 'lower',
          'open/linked': 'lower',
          'replaced/by-upper': 'lower',
          'replaced/by-lower': 'lower',
          'replaced/lower-source': 'source',
          mapped: 'm'.repeat(8192),
          'cwd/lower': {},
          'cwd/merged': {},
          'cwd/replaced': {},
          'private/hidden': 'secret',
        },
      ],
      upper: { 'cwd/merged': {} },
    });
    run('chmod', ['0777', union.mountpoint]);
    // A hole at the head, data in the middle and at a page's end, a hole at the tail.
    place.python(
      `
      fd = os.open(path, os.O_CREAT | os.O_WRONLY)
      os.pwrite(fd, b'middle' * 1000, 3 * 2**20 + 17)
      os.pwrite(fd, b'x', 5 * 2**20 - 1)
      os.ftruncate(fd, 8 * 2**20 + 5)
      `,
      { path: join(union.lowers[0] ?? '', 'sparse') },
    );
  });

  it('"echo short > long" leaves nothing of the long content, in a lower file, in its copy, in a new file', () => {
    const overwrite = (path: string, word: string): string => {
      assert.isAbove(
        text(union.at(path)).length,
        word.length + 1,
        'the old content was longer, and is cached',
      );
      run('sh', ['-c', `echo ${word} > "$1"`, 'sh', union.at(path)]);
      return text(union.at(path));
    };
    assert.equal(overwrite('long', 'shorter'), 'shorter\n');
    assert.equal(overwrite('long', 'short'), 'short\n');
    assert.equal(text(join(union.upper, 'long')), 'short\n');
    writeFileSync(union.at('new'), 'new and long');
    assert.equal(overwrite('new', 'short'), 'short\n');
  });

  for (const [who, uid] of [
    ['root', SELF],
    ['an unprivileged user', UNPRIVILEGED],
  ] as const) {
    it(`a 0444 file is written through the descriptor that created it, by ${who}`, () => {
      const path = union.at(`readonly by ${who}`);
      place.python(
        `
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
        os.write(fd, b'one ')
        os.stat(path)
        os.fsync(fd)
        os.write(fd, b'two ')
        os.ftruncate(fd, 8)
        os.pwrite(fd, b'three', 8)
        os.close(fd)
        `,
        { path },
        { uid },
      );
      assert.equal(text(path), 'one two three');
      assert.equal(statSync(path).mode & 0o7777, 0o444);
    });
  }

  describe('a server that may keep few descriptors open', () => {
    let small: Union;

    before(() => {
      small = place.layers('few-descriptors', { lowers: [{ lower: 'lower', written: 'lower' }] });
      const command = ['--nofile=160:160', CLI, ...small.command];
      assert.deepEqual(place.outcome('prlimit', command), { status: 0, stdout: '', stderr: '' });
      run('chmod', ['0777', small.mountpoint]);
    });

    /** More files than it can keep open, each opened by it. */
    const CROWD = `
      def crowd(name):
          files = [os.open(f'{name}{number}', os.O_CREAT | os.O_RDWR) for number in range(300)]
          for number, file in enumerate(files):
              os.write(file, str(number).encode())
          return files
    `;

    it('writes a 0444 file through the descriptor that created it, for an unprivileged user', () => {
      const code = `
        fd = os.open('readonly', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
        os.write(fd, b'first ')
        files = crowd('a')
        os.write(fd, b'second')
      `;
      place.python([CROWD, code], {}, { uid: UNPRIVILEGED, cwd: small.mountpoint });
      assert.equal(text(small.at('readonly')), 'first second');
    });

    it('writes a 0444 file that has lost its name through the descriptor that created it', () => {
      const code = `
        fd = os.open('deleted', os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o444)
        files = crowd('d')
        os.unlink('deleted')
        os.write(fd, b'late')
        result = [os.pread(fd, 10, 0).decode(), oct(os.fstat(fd).st_mode)]
      `;
      const seen = place.python([CROWD, code], {}, { uid: UNPRIVILEGED, cwd: small.mountpoint });
      assert.deepEqual(seen, ['late', '0o100444']);
    });

    it('keeps files that have lost their names, and tells the others apart', () => {
      const code = `
        create('new', b'new')
        names = ['new', 'lower', 'written']
        lost = [os.open(name, os.O_RDWR) for name in names]
        os.pwrite(lost[2], b'WRITTEN', 0)
        for name in names:
            os.unlink(name)
            create(name, b'another')
        files = crowd('b')
        result = [os.pread(fd, 100, 0).decode() for fd in lost]
        os.pwrite(lost[1], b'LOWER', 0)
        more = crowd('c')
        result += [os.pread(fd, 100, 0).decode() for fd in lost] + [read(name) for name in names]
        result.append(all(os.pread(fd, 9, 0) == str(number).encode() for number, fd in enumerate(files)))
      `;
      const seen = place.python([CROWD, code], {}, { cwd: small.mountpoint });
      const another = Array(3).fill('another');
      assert.deepEqual(seen, ['new', 'lower', 'WRITTEN', 'new', 'LOWER', 'WRITTEN', ...another, true]);
    });
  });

  it('what a user may not read or write stays out of reach, though opens do not reach the server', () => {
    run('chmod', ['0700', union.at('private')]);
    run('chmod', ['0600', union.at('new')]);
    text(union.at('new')); // cached
    text(union.at('private/hidden'));
    const outcomes = place.python(
      `
      flags = [os.O_RDONLY, os.O_WRONLY, os.O_RDWR]
      result = [attempt(os.open, path, flag) for path in ['new', 'private/hidden'] for flag in flags]
      result += [attempt(os.unlink, 'private/hidden'), attempt(os.chmod, 'new', 0o666), attempt(os.utime, 'new')]
      `,
      {},
      { uid: UNPRIVILEGED, cwd: union.mountpoint },
    );
    assert.deepEqual(outcomes, [...Array(7).fill('EACCES'), 'EPERM', 'EACCES']);
  });

  describe('a file that is open and has lost its name', () => {
    const USE = `
      fd = os.open(path, os.O_RDWR)
      os.unlink(path)
      result = [os.fstat(fd).st_nlink, os.pread(fd, 100, 0).decode()]
      os.pwrite(fd, b'written', 2)
      result.append(os.pread(fd, 100, 0).decode())
      os.ftruncate(fd, 4)
      os.fchmod(fd, 0o600)
      os.utime(fd, (1, 2))
      os.setxattr(fd, 'user.test', b'kept')
      os.fsync(fd)
      status = os.fstat(fd)
      result += [os.pread(fd, 100, 0).decode(), status.st_size, oct(status.st_mode), status.st_mtime, status.st_nlink]
      result += [os.getxattr(fd, 'user.test').decode(), os.path.exists(path)]
      view = mmap.mmap(fd, 4)
      view[0:2] = b'MM'
      result.append(os.pread(fd, 100, 0).decode())
    `;
    const used = (content: string) => [
      ...[0, content, `${content.slice(0, 2)}written`],
      ...[`${content.slice(0, 2)}wr`, 4, '0o100600', 2, 0, 'kept', false, 'MMwr'],
    ];

    it('is read, written, truncated and changed when it was new', () => {
      writeFileSync(union.at('open/new'), 'new file');
      assert.deepEqual(place.python(USE, { path: union.at('open/new') }), used('new file'));
    });

    it('is read, written, truncated and changed when it lay in a lower layer', () => {
      assert.deepEqual(place.python(USE, { path: union.at('open/write') }), used('lower'));
      assert.equal(text(join(union.lowers[0] ?? '', 'open/write')), 'lower');
    });

    it('is read to its end when it lay in a lower layer and is never written', () => {
      const seen = place.python(
        `
        fd = os.open(path, os.O_RDONLY)
        os.unlink(path)
        result = [os.pread(fd, 100, 0).decode(), os.fstat(fd).st_nlink, os.fstat(fd).st_size]
        `,
        { path: union.at('open/read') },
      );
      assert.deepEqual(seen, ['lower', 0, 5]);
    });

    it('is truncated to nothing, or made longer, when it lay in a lower layer', () => {
      const seen = place.python(
        `
        fd = os.open(path, os.O_RDWR)
        os.unlink(path)
        os.ftruncate(fd, 0)
        result = [os.pread(fd, 100, 0).decode()]
        os.ftruncate(fd, 3)
        result += [os.pread(fd, 100, 0).decode(), os.fstat(fd).st_size]
        `,
        { path: union.at('open/truncate') },
      );
      assert.deepEqual(seen, ['', '\0\0\0', 3]);
    });

    it('is not confused with a new file of the same name', () => {
      const seen = place.python(
        `
        result = []
        for name in ['again', 'open/linked']:
            path = os.path.join(root, name)
            if name == 'again':
                create(path, b'first')
            old = os.open(path, os.O_RDWR)
            os.unlink(path)
            create(path, b'second')
            os.pwrite(old, b'OLD', 0)
            result += [os.pread(old, 100, 0).decode(), read(path)]
            result.append(os.fstat(old).st_ino != os.stat(path).st_ino)
        `,
        { root: union.mountpoint },
      );
      assert.deepEqual(seen, ['OLDst', 'second', true, 'OLDer', 'second', true]);
    });

    it('leaves nothing behind in upper and work', () => {
      assert.deepEqual(list(join(union.work, 'work')), []);
      const left = list(join(union.upper, 'open')).filter((name) =>
        statSync(join(union.upper, 'open', name)).isFile(),
      );
      assert.deepEqual(left, ['linked'], 'the file that was made again');
    });
  });

  it('a rename over an open file leaves its descriptor with the old content, in upper and in a lower layer', () => {
    const seen = place.python(
      `
      os.chdir(root)
      create('new-source', b'new')
      create('over-upper', b'upper')
      result = []
      pairs = [('new-source', 'by-upper'), ('lower-source', 'by-lower'), ('by-lower', 'over-upper')]
      for source, target in pairs:
          fd = os.open(target, os.O_RDWR)
          old = os.pread(fd, 100, 0).decode()
          os.rename(source, target)
          os.pwrite(fd, b'!', 0)
          result.append([old, os.pread(fd, 100, 0).decode(), os.fstat(fd).st_nlink, read(target)])
      result.append(sorted(os.listdir('.')))
      `,
      { root: union.at('replaced') },
    );
    assert.deepEqual(seen, [
      ['lower', '!ower', 0, 'new'],
      ['lower', '!ower', 0, 'source'],
      ['upper', '!pper', 0, 'source'],
      ['by-upper', 'over-upper'],
    ]);
  });

  for (const directory of ['new', 'lower', 'merged']) {
    it(`the working directory can be removed: ${directory}`, () => {
      const seen = place.python(
        `
        if not os.path.exists(path):
            os.mkdir(path)
        os.chdir(path)
        os.rmdir(path)
        result = [attempt(os.getcwd), os.listdir('.'), os.stat('.').st_nlink]
        result += [attempt(open, 'file', 'w'), attempt(os.mkdir, 'd'), attempt(os.stat, 'x'), os.path.exists(path)]
        os.mkdir(path)
        result += [os.listdir('.'), attempt(open, 'file', 'w'), os.listdir(path)]
        `,
        { path: union.at(`cwd/${directory}`) },
      );
      assert.deepEqual(seen, ['ENOENT', [], 0, 'ENOENT', 'ENOENT', 'ENOENT', false, [], 'ENOENT', []]);
    });
  }

  it('a directory that is replaced by a rename stays an empty working directory', () => {
    const seen = place.python(
      `
      os.mkdir(path + '.new')
      create(path + '.new/inside')
      os.chdir(path)
      os.rename(path + '.new', path)
      result = [os.listdir('.'), attempt(open, 'file', 'w'), os.listdir(path)]
      `,
      { path: union.at('cwd/replaced') },
    );
    assert.deepEqual(seen, [[], 'ENOENT', ['inside']]);
  });

  it('two processes that append lose no line', async () => {
    const LINES = 1000;
    const appenders = ['a', 'b'].map((letter) => ({ letter, client: place.client() }));
    const append = `
      fd = os.open(path, os.O_WRONLY | os.O_APPEND)
      for number in range(${LINES}):
          os.write(fd, f'{letter}{number}\\n'.encode())
    `;
    await Promise.all(
      appenders.map(({ client, letter }) => client.run(append, { path: union.at('append'), letter })),
    );
    await Promise.all(appenders.map(({ client }) => client.end()));
    const lines = text(union.at('append')).trimEnd().split('\n');
    for (const { letter } of appenders) {
      const own = lines.filter((line) => line.startsWith(letter));
      assert.deepEqual(
        own,
        Array.from({ length: LINES }, (_, number) => `${letter}${number}`),
      );
    }
    assert.lengthOf(lines, 2 * LINES);
  });

  describe('locks between processes', () => {
    for (const kind of ['flock', 'lockf']) {
      it(`${kind} excludes, also after the file has been copied up, and ends with its holder`, async () => {
        const [holder, other] = [place.client(), place.client()];
        const path = union.at('locked');
        const attempts = `
          result = [attempt(fcntl.${kind}, file, fcntl.LOCK_EX | fcntl.LOCK_NB)]
          result.append(attempt(fcntl.${kind}, file, fcntl.LOCK_SH | fcntl.LOCK_NB))
        `;
        await holder.run(`file = open(path, 'r+')\nfcntl.${kind}(file, fcntl.LOCK_EX)`, { path });
        await other.run(`file = open(path, 'r+')`, { path });
        assert.deepEqual(await other.run(attempts), ['EAGAIN', 'EAGAIN']);
        await holder.run(`file.write('changed'); file.flush()`);
        assert.deepEqual(await other.run(attempts), ['EAGAIN', 'EAGAIN']);
        await holder.end();
        assert.deepEqual(await other.run(attempts), ['ok', 'ok']);
        await other.end();
      });
    }
  });

  describe('holes', () => {
    const layout = (path: string): unknown =>
      place.python(
        `
        fd, offset, result = os.open(path, os.O_RDONLY), 0, []
        while True:
            try:
                start = os.lseek(fd, offset, os.SEEK_DATA)
            except OSError:
                break
            offset = os.lseek(fd, start, os.SEEK_HOLE)
            result.append([start, offset])
        result.append(os.fstat(fd).st_size)
        `,
        { path },
      );

    it('stay holes through copy-up', () => {
      const lower = join(union.lowers[0] ?? '', 'sparse');
      const before = layout(lower);
      run('sh', [
        '-c',
        'printf X | dd of="$1" bs=1 seek=3145745 conv=notrunc status=none',
        'sh',
        union.at('sparse'),
      ]);
      const upper = join(union.upper, 'sparse');
      assert.deepEqual(layout(upper), before, 'data and holes of the copy');
      assert.isBelow(statSync(upper).blocks * 512, MIB);
      const expected = readFileSync(lower);
      expected.write('X', 3145745);
      assert.isTrue(readFileSync(upper).equals(expected), 'the content of the copy');
      assert.isTrue(readFileSync(union.at('sparse')).equals(expected), 'the content on the mount');
    });

    it('are seen and punched through the mount', () => {
      assert.deepEqual(layout(union.at('sparse')), layout(join(union.upper, 'sparse')));
      place.python(
        `
        KEEP_SIZE, PUNCH_HOLE = 1, 2
        fd = os.open(path, os.O_RDWR)
        fallocate(fd, KEEP_SIZE | PUNCH_HOLE, 3 * 2**20, 2**20)
        fallocate(fd, 0, 2**20, 4096)
        `,
        { path: union.at('sparse') },
      );
      assert.deepEqual(layout(union.at('sparse')), layout(join(union.upper, 'sparse')));
      const content = readFileSync(union.at('sparse'));
      assert.isFalse(content.subarray(3 * MIB, 4 * MIB).some((byte) => byte !== 0));
      assert.equal(content[5 * MIB - 1], 'x'.charCodeAt(0));
    });
  });

  describe('O_TMPFILE', () => {
    let temporary: Union;

    before(() => {
      const each = { deleted: 'below', 'inner/old': 'below' };
      temporary = place.layers('temporary', {
        lowers: [{ root: each, 'an unprivileged user': each, 'lower-lost': 'lower' }],
      });
      const [lower = ''] = temporary.lowers;
      run('chown', ['-R', String(UNPRIVILEGED), join(lower, 'an unprivileged user')]);
      temporary.mount();
    });

    it('makes a file without a name that is gone with its descriptor', () => {
      const seen = place.python(
        `
        os.chdir(root)
        fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o640)
        os.write(fd, b'content')
        result = [os.fstat(fd).st_nlink, oct(os.fstat(fd).st_mode), os.pread(fd, 10, 0).decode()]
        os.close(fd)
        `,
        { root: temporary.mountpoint },
      );
      assert.deepEqual(seen, [0, '0o100640', 'content']);
      assert.deepEqual(list(temporary.upper), []);
    });

    for (const user of ['root', 'an unprivileged user']) {
      it(`linkat gives it a name, new, in a lower directory and over a whiteout: ${user}`, () => {
        const seen = place.python(
          `
          os.umask(0o027)
          os.chdir(f'{root}/{user}')
          result = []
          os.unlink('deleted')
          for name in ['new', 'inner/new', 'deleted']:
              fd = os.open(os.path.dirname(name) or '.', os.O_TMPFILE | os.O_RDWR, 0o444)
              os.write(fd, b'before ')
              os.link(f'/proc/self/fd/{fd}', name, src_dir_fd=fd, follow_symlinks=True)
              os.write(fd, b'after')
              os.close(fd)
              stat = os.stat(name)
              result.append([open(name).read(), stat.st_nlink, oct(stat.st_mode), stat.st_uid])
          `,
          { root: temporary.mountpoint, user },
          user === 'root' ? {} : { uid: UNPRIVILEGED },
        );
        const each = ['before after', 1, '0o100440', user === 'root' ? SELF : UNPRIVILEGED];
        assert.deepEqual(seen, [each, each, each]);
        temporary.remount();
        for (const name of ['new', 'inner/new', 'deleted']) {
          assert.equal(text(temporary.at(join(user, name))), 'before after', name);
        }
      });
    }

    it('stays without a name if it was opened with O_EXCL, and so does one that was deleted', () => {
      const seen = place.python(
        `
        os.chdir(root)
        exclusive = os.open('.', os.O_TMPFILE | os.O_EXCL | os.O_RDWR)
        lost = [os.open(name, os.O_CREAT | os.O_RDWR) for name in ['lost', 'lower-lost']]
        for name in ['lost', 'lower-lost']:
            os.unlink(name)
        def link(fd):
            os.link(f'/proc/self/fd/{fd}', 'name', src_dir_fd=fd, follow_symlinks=True)
        result = [attempt(link, fd) for fd in [exclusive, *lost]]
        `,
        { root: temporary.mountpoint },
      );
      assert.deepEqual(seen, ['ENOENT', 'ENOENT', 'ENOENT']);
    });
  });

  it('copy_file_range copies between layers, and O_DIRECT reads and writes', () => {
    const seen = place.python(
      `
      os.chdir(root)
      source, target = os.open('mapped', os.O_RDONLY), os.open('copied', os.O_CREAT | os.O_RDWR)
      count = os.copy_file_range(source, target, 5000, 100, 7)
      result = [count, os.fstat(target).st_size, os.pread(target, 10, 0).decode()]
      direct = os.open('direct', os.O_CREAT | os.O_RDWR | os.O_DIRECT)
      page = mmap.mmap(-1, 4096)
      page[:] = b'd' * 4096
      os.writev(direct, [page])
      page[:] = bytes(4096)
      os.preadv(direct, [page], 0)
      result.append(page[:] == b'd' * 4096)
      `,
      { root: union.mountpoint },
    );
    assert.deepEqual(seen, [5000, 5007, '\0\0\0\0\0\0\0mmm', true]);
  });

  it('what is written through a shared mapping survives close, exit and umount', () => {
    const mapped = place.union('mapped', { lowers: [{ lower: 'm'.repeat(8192) }] });
    const names = ['lower', 'new'];
    place.python(
      `
      os.chdir(root)
      for name in names:
          fd = os.open(name, os.O_RDWR | os.O_CREAT)
          os.ftruncate(fd, 8192)
          view = mmap.mmap(fd, 8192)
          os.close(fd)
          view[4090:4100] = b'0123456789'
      `,
      { root: mapped.mountpoint, names },
    );
    mapped.umount();
    for (const name of names) {
      const content = readFileSync(join(mapped.upper, name), 'latin1');
      assert.equal(content.slice(4090, 4100), '0123456789', name);
      assert.lengthOf(content, 8192);
    }
    assert.equal(text(join(mapped.lowers[0] ?? '', 'lower')), 'm'.repeat(8192));
  });

  it('a metadata-only copy shows its attributes, and never the wrong data: EIO', () => {
    const meta = place.layers('metacopy', { lowers: [{ read: 'hole', written: 'hole', removed: 'hole' }] });
    place.python(
      `
      for name in ['read', 'written', 'removed']:
          os.setxattr(f'{lower}/{name}', 'trusted.overlay.metacopy', b'')
      `,
      { lower: meta.lowers[0] ?? '' },
    );
    meta.mount();
    const seen = place.python(
      `
      import errno
      os.chdir(root)
      def outcome(name, call):
          try:
              return call(name)
          except OSError as error:
              return errno.errorcode[error.errno]
      result = [
          os.stat('read').st_size,
          outcome('read', lambda name: open(name).read()),
          outcome('written', lambda name: os.write(os.open(name, os.O_WRONLY), b'x')),
          outcome('removed', os.unlink),
          sorted(os.listdir()),
      ]
      `,
      { root: meta.mountpoint },
    );
    assert.deepEqual(seen, [4, 'EIO', 'EIO', null, ['read', 'written']]);
    assert.deepEqual(list(meta.upper), ['removed']);
  });
});
