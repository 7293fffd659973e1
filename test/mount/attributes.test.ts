/**
 * Protects ownership, permissions, times and extended attributes. The oracle is the directory next door: the same
 * calls there, on the upper's own filesystem, must give the same.
 */
import { join } from 'node:path';
import { assert } from 'chai';
import { list, type Union, usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT, MARK, SECOND_NAMESPACE } from '../support/privilege.js';

const SUITE = 'attributes';
const NOBODY = 65534;
const GROUP = 4242;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let union: Union;
  let plain: string;

  const lower = (path: string): string => join(union.lowers[0] ?? '', path);

  before(() => {
    union = place.layers('attributes', {
      lowers: [
        {
          'made/over-file': 'x',
          'made/over-dir/x': 'x',
          'setgid/over-file': 'x',
          'setgid/over-dir/x': 'x',
          'suid/file': 'x',
          xattrs: 'x',
          'xattr-dir': { inner: 'x' },
          timed: 'x',
        },
      ],
    });
    plain = place.path('attributes/plain');
    place.make({ 'attributes/plain': { made: {}, setgid: {}, suid: {} } });
    place.python(
      `
      for root in [lower, plain]:
          os.chmod(root + '/made', 0o777)
          os.chown(root + '/setgid', -1, group)
          os.chmod(root + '/setgid', 0o2777)
          os.chmod(root + '/suid', 0o777)
      os.chmod(lower + '/suid/file', 0o6777)
      `,
      { lower: lower(''), plain, group: GROUP },
    );
    union.mount();
    // In the union these names were deleted first, so that they are made over whiteouts.
    place.python(
      `
      import shutil
      for directory in ['made', 'setgid']:
          os.unlink(f'{root}/{directory}/over-file')
          shutil.rmtree(f'{root}/{directory}/over-dir')
      `,
      { root: union.mountpoint },
    );
  });

  /** Runs the same code in the union and next door; both results. */
  function both<T>(code: string, args: object = {}, uid = 0): { ours: T; theirs: T } {
    const at = (root: string): T => place.python<T>(code, { root, ...args }, { uid });
    return { ours: at(union.mountpoint), theirs: at(plain) };
  }

  for (const directory of ['made', 'setgid']) {
    for (const mask of [0o000, 0o022, 0o077]) {
      it(`what an unprivileged user makes in "${directory}" with umask 0${mask.toString(8)} is as it should be`, () => {
        const code = `
          def show(path):
              status = os.lstat(path)
              return [path, oct(status.st_mode), status.st_uid, status.st_gid]
          os.chdir(f'{root}/{directory}')
          os.umask(mask)
          os.close(os.open('over-file', os.O_CREAT | os.O_RDWR, 0o666))
          os.mkdir('over-dir', 0o777)
          os.close(os.open('file', os.O_CREAT | os.O_RDWR, 0o6777))
          os.mkdir('dir', 0o777)
          os.mkdir('dir/inner', 0o777)
          os.mkdir('over-dir/inner', 0o777)
          os.symlink('target', 'link')
          os.mkfifo('fifo', 0o666)
          os.link('file', 'hard')
          names = ['over-file', 'over-dir', 'over-dir/inner', 'file', 'dir', 'dir/inner', 'link', 'fifo', 'hard']
          result = [show(name) for name in names]
          for name in ['over-dir/inner', 'over-dir', 'dir/inner', 'dir']:
              os.rmdir(name)
          for name in ['over-file', 'file', 'link', 'fifo', 'hard']:
              os.unlink(name)
        `;
        const { ours, theirs } = both<unknown[]>(code, { directory, mask }, NOBODY);
        assert.deepEqual(ours, theirs);
        assert.lengthOf(ours, 9);
      });
    }
  }

  it('a default ACL of the directory counts instead of the umask', () => {
    const code = `
      # user::rwx group::r-x other::--- and the same as masks: struct posix_acl_xattr
      entries = [(1, 7), (4, 5), (0x10, 5), (0x20, 0)]
      acl = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', tag, bits, 0xffffffff) for tag, bits in entries)
      os.mkdir(f'{root}/acl')
      os.chdir(f'{root}/acl')
      os.setxattr('.', 'system.posix_acl_default', acl)
      os.umask(0o077)
      os.close(os.open('file', os.O_CREAT, 0o666))
      os.mkdir('dir', 0o777)
      os.unlink('file')
      os.close(os.open('file', os.O_CREAT, 0o666))
      result = [oct(os.stat(name).st_mode) for name in ['file', 'dir']]
      result += [os.getxattr('dir', 'system.posix_acl_default') == acl, os.listxattr('file')]
    `;
    const { ours, theirs } = both<unknown[]>(code);
    assert.deepEqual(ours, theirs);
    assert.deepEqual(ours[0], '0o100640');
  });

  describe('set-id bits', () => {
    const CHANGES = {
      write: `os.write(os.open(name, os.O_WRONLY), b'y')`,
      append: `os.write(os.open(name, os.O_WRONLY | os.O_APPEND), b'y')`,
      truncation: `os.truncate(name, 0)`,
      'truncation at open': `os.open(name, os.O_WRONLY | os.O_TRUNC)`,
      'change through a mapping': `mmap.mmap(os.open(name, os.O_RDWR), 1)[0:1] = b'y'`,
    };
    for (const [index, [what, change]] of Object.entries(CHANGES).entries()) {
      it(`go as on the filesystem below: ${what} by somebody else, and by root`, () => {
        const name = `suid-${index}`;
        const modes = [0o6777, 0o2777, 0o4777, 0o2767];
        const prepare = `
          for mode in modes:
              for who in ['root', 'other']:
                  name = f'{root}/suid/{base}-{mode:o}-{who}'
                  create(name, b'x')
                  os.chmod(name, mode)
        `;
        const run = (who: string): string => `
          result = []
          for mode in modes:
              name = f'{root}/suid/{base}-{mode:o}-${who}'
              ${change}
              result.append(oct(os.stat(name).st_mode))
        `;
        both(prepare, { modes, base: name });
        const other = both<string[]>(run('other'), { modes, base: name }, NOBODY);
        assert.deepEqual(other.ours, other.theirs, 'by somebody else');
        const root = both<string[]>(run('root'), { modes, base: name });
        assert.deepEqual(root.ours, root.theirs, 'by root');
        // What is not in the kernel's cache only.
        assert.deepEqual(modesBelow(join(union.upper, 'suid'), name), modesBelow(join(plain, 'suid'), name));
      });
    }

    const SIDE_EFFECTS = {
      write: `os.write(fd, b'y')`,
      fallocate: `fallocate(fd, 0, 0, 8192)`,
      copy_file_range: `os.copy_file_range(os.open(name, os.O_RDONLY), fd, 1, 0, 1)`,
    };
    for (const [what, change] of Object.entries(SIDE_EFFECTS)) {
      it(`are seen gone at once by who asks for the mode alone: ${what}`, () => {
        const code = `
          def mode_only(path):
              STATX_MODE, stx_mode, status = 2, 28, ctypes.create_string_buffer(256)
              if libc.statx(AT_FDCWD, os.fsencode(path), 0, STATX_MODE, status) != 0:
                  raise OSError(ctypes.get_errno(), 'statx')
              return oct(struct.unpack_from('H', status, stx_mode)[0])
          name = f'{root}/suid/${what}'
          create(name, b'xx')
          os.chmod(name, 0o6777)
          fd = os.open(name, os.O_WRONLY)
          result = [mode_only(name)]
          ${change}
          result += [mode_only(name), oct(os.stat(name).st_mode)]
        `;
        const { ours, theirs } = both<string[]>(code, {}, NOBODY);
        assert.deepEqual(ours, theirs);
        assert.deepEqual(ours, ['0o106777', '0o100777', '0o100777']);
      });
    }

    for (const { who, groups, kept } of [
      { who: 'of it first of all', groups: [GROUP], kept: '0o102767' },
      { who: 'of it among others', groups: [NOBODY, 1, GROUP, 2], kept: '0o102767' },
      { who: 'not of it', groups: [NOBODY, 1, Number(`${GROUP}1`)], kept: '0o100767' },
    ]) {
      it(`set-group-id of a file that its group may not execute: a writer who is ${who}`, () => {
        const code = `
          names = [f'{root}/suid/group-{len(groups)}-{change}' for change in ['write', 'truncate', 'fallocate']]
          for name in names:
              create(name, b'x')
              os.chown(name, 0, group)
              os.chmod(name, 0o2767)
          os.setgroups(groups[1:])
          os.setresgid(*[groups[0]] * 3)
          os.setresuid(*[nobody] * 3)
          os.write(os.open(names[0], os.O_WRONLY), b'y')
          os.truncate(names[1], 0)
          fallocate(os.open(names[2], os.O_WRONLY), 0, 0, 10)
          result = [oct(os.stat(name).st_mode) for name in names]
        `;
        const { ours, theirs } = both<string[]>(code, { groups, group: GROUP, nobody: NOBODY });
        assert.deepEqual(ours, theirs);
        assert.deepEqual(ours, Array(3).fill(kept));
      });
    }

    it('go with a change of owner', () => {
      const code = `
        name = f'{root}/suid/chown'
        create(name, b'x')
        os.chmod(name, 0o6777)
        os.chown(name, 1, 1)
        result = oct(os.stat(name).st_mode)
      `;
      const { ours, theirs } = both<string>(code);
      assert.equal(ours, theirs);
      assert.equal(ours, '0o100777');
    });

    it('of a lower file go with the first write, which copies it up, and stay in the lower layer', () => {
      place.python(
        `os.write(os.open(path, os.O_WRONLY), b'y')`,
        { path: union.at('suid/file') },
        { uid: NOBODY },
      );
      const modes = place.python(`result = [oct(os.stat(path).st_mode) for path in paths]`, {
        paths: [union.at('suid/file'), join(union.upper, 'suid/file'), lower('suid/file')],
      });
      assert.deepEqual(modes, ['0o100777', '0o100777', '0o106777']);
    });
  });

  function modesBelow(directory: string, prefix: string): unknown {
    return place.python(
      `result = sorted([name, oct(os.stat(name).st_mode)] for name in os.listdir('.') if name.startswith(prefix))`,
      { prefix },
      { cwd: directory },
    );
  }

  describe('times', () => {
    /** Seconds: before 1901, before 1970, the last of 32 bits and the first beyond, 2106, 2446 and far away. */
    const SECONDS = [
      -(2 ** 31) - 1,
      -(2 ** 31),
      -1,
      0,
      2 ** 31 - 1,
      2 ** 31,
      2 ** 32 - 1,
      2 ** 32,
      15032385535,
      15032385536,
      2 ** 35,
    ];
    const SET = `
      os.chdir(root)
      result = []
      for seconds in values:
          name = f'time{seconds}'
          create(name)
          nanoseconds = seconds * 10**9 + 123456789
          os.utime(name, ns=(nanoseconds, nanoseconds))
          status = os.stat(name)
          result.append([name, str(status.st_atime_ns), str(status.st_mtime_ns)])
    `;
    const GET = `
      os.chdir(root)
      result = []
      for seconds in values:
          status = os.stat(f'time{seconds}')
          result.append([f'time{seconds}', str(status.st_atime_ns), str(status.st_mtime_ns)])
    `;

    it('before 1970 and after 2038 are what the filesystem below makes of them, also after a remount', () => {
      const { ours, theirs } = both<string[][]>(SET, { values: SECONDS });
      assert.deepEqual(ours, theirs);
      assert.deepEqual(ours[2], ['time-1', '-876543211', '-876543211']);
      union.remount();
      const again = place.python(GET, { root: union.mountpoint, values: SECONDS });
      assert.deepEqual(again, theirs);
    });

    it('of lower files show through, and survive copy-up', () => {
      const old = place.layers('old', { lowers: [{}] });
      const [layer = ''] = old.lowers;
      const expected = place.python(SET, { root: layer, values: SECONDS });
      old.mount();
      assert.deepEqual(place.python(GET, { root: old.mountpoint, values: SECONDS }), expected);
      place.python(`for name in os.listdir(root): os.chmod(f'{root}/{name}', 0o600)`, {
        root: old.mountpoint,
      });
      assert.lengthOf(list(old.upper), SECONDS.length);
      assert.deepEqual(place.python(GET, { root: old.upper, values: SECONDS }), expected, 'in upper');
      assert.deepEqual(
        place.python(GET, { root: old.mountpoint, values: SECONDS }),
        expected,
        'on the mount',
      );
    });

    it('move when they should: data, names and attributes, each its own', () => {
      const code = `
        import time
        def stamps(path):
            status = os.stat(path)
            return [status.st_mtime_ns, status.st_ctime_ns]
        def changed(path, call):
            before = stamps(path)
            time.sleep(0.02)
            call()
            after = stamps(path)
            return [after[0] > before[0], after[1] > before[1]]
        os.chdir(root)
        os.mkdir('moves')
        create('moves/f', b'x')
        result = [
            changed('moves/f', lambda: open('moves/f', 'a').write('y')),
            changed('moves/f', lambda: os.chmod('moves/f', 0o600)),
            changed('moves/f', lambda: os.link('moves/f', 'moves/g')),
            changed('moves', lambda: create('moves/h')),
            changed('moves', lambda: os.rename('moves/h', 'moves/i')),
            changed('moves', lambda: os.unlink('moves/i')),
            changed('moves', lambda: open('moves/f', 'a').write('y')),
            changed('moves/f', lambda: os.truncate('moves/f', 0)),
            changed('moves/f', lambda: os.unlink('moves/g')),
            changed('moves/f', lambda: open('moves/f').read()),
        ]
      `;
      const { ours, theirs } = both<boolean[][]>(code);
      assert.deepEqual(ours, theirs);
    });
  });

  describe('extended attributes', () => {
    const VALUES = `
      values = {
          'user.text': b'text', 'user.empty': b'', 'user.binary': bytes(range(256)), '${SECOND_NAMESPACE}secret': b'\\xff\\x00\\x80',
          # struct vfs_cap_data, revision 2, effective: cap_net_raw; a byte above 0x7f
          'security.capability': struct.pack('<IIIII', 0x02000001, 0x2000, 0x80, 0, 0),
          'system.posix_acl_access': struct.pack('<I', 2) + b''.join(
              struct.pack('<HHI', tag, bits, who) for tag, bits, who in
              [(1, 6, 0xffffffff), (2, 6, 65534), (4, 4, 0xffffffff), (0x10, 6, 0xffffffff), (0x20, 4, 0xffffffff)]),
      }
    `;

    it('survive copy-up byte by byte, security.capability and ACLs among them', () => {
      const seen = place.python(
        [
          VALUES,
          `
          for name, value in values.items():
              os.setxattr(lower, name, value)
          result = [sorted(os.listxattr(merged)) == sorted(values)]
          os.utime(merged)
          for path in [merged, upper]:
              result.append([name for name, value in values.items() if os.getxattr(path, name) != value])
          result.append(sorted(os.listxattr(merged)) == sorted(values))
          `,
        ],
        { lower: lower('xattrs'), merged: union.at('xattrs'), upper: join(union.upper, 'xattrs') },
      );
      assert.deepEqual(seen, [true, [], [], true]);
    });

    it('security.capability goes with a write, as on the filesystem below', () => {
      const code = `
        name = f'{root}/capable'
        create(name, b'x')
        os.setxattr(name, 'security.capability', struct.pack('<IIIII', 0x02000001, 0x2000, 0, 0, 0))
        result = [os.listxattr(name)]
        os.write(os.open(name, os.O_WRONLY), b'y')
        result += [os.listxattr(name), attempt(os.getxattr, name, 'security.capability')]
      `;
      const { ours, theirs } = both<unknown[]>(code);
      assert.deepEqual(ours, theirs);
      assert.deepEqual(ours, [['security.capability'], [], 'ENODATA']);
    });

    it('are set, replaced, listed and removed as on the filesystem below', () => {
      const code = `
        os.chdir(root)
        create('x')
        os.symlink('x', 'l')
        def get(name, attribute):
            return os.getxattr(name, attribute).decode('latin1')
        result = [
            attempt(os.setxattr, 'x', 'user.a', b'1', os.XATTR_REPLACE), attempt(os.setxattr, 'x', 'user.a', b'1'),
            attempt(os.setxattr, 'x', 'user.a', b'2', os.XATTR_CREATE), get('x', 'user.a'),
            attempt(os.setxattr, 'x', 'user.a', b'3', os.XATTR_REPLACE), get('x', 'user.a'),
            attempt(os.removexattr, 'x', 'user.b'), attempt(os.getxattr, 'x', 'user.b'),
            attempt(os.setxattr, 'x', 'nonsense.a', b'1'), attempt(os.setxattr, 'x', 'user.', b'1'),
            attempt(os.setxattr, 'x', 'user.' + 'n' * 250, b'1'), attempt(os.setxattr, 'x', 'user.' + 'n' * 251, b'1'),
            attempt(lambda: os.setxattr('l', 'user.a', b'1', follow_symlinks=False)),
            attempt(lambda: os.setxattr('l', 'trusted.a', b'1', follow_symlinks=False)),
            os.listxattr('l', follow_symlinks=False), len(os.listxattr('x')), attempt(os.removexattr, 'x', 'user.a'),
            len(os.listxattr('x')),
        ]
      `;
      const { ours, theirs } = both<unknown[]>(code);
      assert.deepEqual(ours, theirs);
    });

    it("the union's own are hidden, and setting one does not make a directory opaque", () => {
      const seen = place.python<unknown[]>(
        `
        os.chdir(merged)
        if mark == 'trusted.overlay.':
            os.rename('xattr-dir', 'moved') # leaves a redirect
        else:
            os.mkdir('moved')
            os.unlink('xattr-dir/inner')
            os.rmdir('xattr-dir')
            create('moved/inner')
        os.unlink('moved/inner')
        os.mkdir('xattr-dir')
        create('moved/new')
        # what lies on disk
        result = [sorted(os.listxattr(f'{upper}/moved')), sorted(os.listxattr(f'{upper}/xattr-dir'))]
        # what shows
        paths = ['.', 'moved', 'xattr-dir', 'moved/new', 'xattrs']
        private = lambda name: 'overlay' in name
        result.append([name for path in paths for name in os.listxattr(path) if private(name)])
        names = [mark + name for name in ['redirect', 'opaque', 'origin', 'impure']]
        result.append([attempt(os.getxattr, path, name) for path in paths for name in names])
        # what a user sets is the user's
        os.mkdir('users')
        os.setxattr('made', mark + 'opaque', b'y')
        os.setxattr('made', 'user.fuseoverlayfs.opaque', b'y')
        result.append([name for name in sorted(os.listxattr('made')) if private(name)])
        result += [os.getxattr('made', mark + 'opaque').decode(), attempt(os.removexattr, 'moved', names[0])]
        `,
        { merged: union.mountpoint, upper: union.upper, mark: MARK },
      );
      const [onDisk, fresh, shown, got, ...rest] = seen as [string[], string[], ...unknown[]];
      assert.includeMembers(onDisk, IS_HOST_ROOT ? [`${MARK}redirect`] : []);
      assert.includeMembers(fresh, [`${MARK}opaque`]);
      assert.deepEqual(shown, []);
      assert.deepEqual(got, Array(20).fill('ENODATA'));
      assert.deepEqual(rest, [[`${MARK}opaque`, 'user.fuseoverlayfs.opaque'].sort(), 'y', 'ENODATA']);
      place.make({ 'attributes/lower0/made/appears-later': 'x' });
      union.remount();
      assert.include(list(union.at('made')), 'appears-later', '"made" still merges');
    });
  });

  describe('inode numbers', () => {
    const NAMES = ['.', 'top', 'top/file', 'top/other', 'deep', 'deep/er', 'deep/er/file', 'plain'];
    const STAT = `
      os.chdir(root)
      result = [[os.stat(name).st_ino, os.path.isdir(name) or os.stat(name).st_nlink] for name in names]
    `;
    /** Names whose listing tells another number than stat. */
    const LISTED = `
      os.chdir(root)
      result = []
      for directory in ['.', 'top', 'deep', 'deep/er']:
          result += [entry.path for entry in os.scandir(directory) if entry.inode() != os.stat(entry.path).st_ino]
    `;
    let stable: Union;
    let initial: unknown;
    const numbers = () => place.python(STAT, { root: stable.mountpoint, names: NAMES });
    const listedOtherwise = () => place.python(LISTED, { root: stable.mountpoint });

    before(() => {
      stable = place.union('stable', {
        lowers: [{ 'top/file': 'x' }, { 'top/other': 'y', 'deep/er/file': 'z', plain: 'p' }],
      });
      initial = numbers();
      place.python(
        `
        os.chdir(root)
        for name in ['top/file', 'deep/er/file', 'plain']:
            with open(name, 'a') as file:
                file.write('!')
        os.chmod('deep', 0o700)
        `,
        { root: stable.mountpoint },
      );
    });

    it('and the link counts of files stay the same over copy-up', () => {
      assert.deepEqual(numbers(), initial);
    });

    it('are the same in a listing and in stat, after copy-up', () => {
      assert.deepEqual(listedOtherwise(), []);
    });

    it('and the link counts of files stay the same over a remount', () => {
      stable.remount();
      assert.deepEqual(numbers(), initial);
    });

    it('are the same in a listing and in stat, after a remount', () => {
      assert.deepEqual(listedOtherwise(), []);
    });
  });
});
