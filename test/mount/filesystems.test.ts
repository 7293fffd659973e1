/**
 * Protects unions on whatever filesystems their layers lie: the same work leaves the same tree as in a plain directory,
 * before and after a remount, and inode numbers and hard links outlast it too.
 */
import { readFileSync } from 'node:fs';
import { assert } from 'chai';
import type { Context } from 'mocha';
import { missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { describeTree, diffTrees, maskTimesSince } from '../support/acceptance/tree.js';
import { type Place, type Union, usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT, SECOND_NAMESPACE } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'filesystems of layers';
/** What makes the images of a filesystem. Without it, its tests alone are left out. */
const MAKERS: Readonly<Record<string, string>> = {
  ext4: 'mkfs.ext4',
  xfs: 'mkfs.xfs',
  btrfs: 'mkfs.btrfs',
  squashfs: 'mksquashfs',
  erofs: 'mkfs.erofs',
};
const IMAGE_SIZE = '512M';
const NS_PER_MS = 1_000_000n;
/** The kernel dates files by a clock that may be a tick behind. */
const CLOCK_GRAIN_MS = 20;

const LOWER = {
  'deleted file': 'gone',
  'deleted directory': { inner: { file: 'gone' } },
  'made again': { old: 'gone' },
  moved: { below: { file: 'moves along' } },
  changed: 'before',
  'first name': 'one file',
  'read only': 'never touched',
};

/** Everything that makes upper's filesystem do something special. */
const WORK = `
os.chdir(root)
os.unlink('deleted file')
for path in ['deleted directory/inner/file', 'made again/old']:
    os.unlink(path)
for path in ['deleted directory/inner', 'deleted directory', 'made again']:
    os.rmdir(path)
os.mkdir('made again')
create('made again/new', b'new')
move('moved', 'moved here')
create('moved here/below/another', b'another')
with open('changed', 'ab') as file:
    file.write(b' and after')
os.setxattr('changed', 'user.test', b'x' * 1000)
os.setxattr('moved here', '${SECOND_NAMESPACE}test', b'y')
with open('second name', 'ab') as file:
    file.write(b', changed')
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o640)
os.write(fd, b'temporary')
os.link(f'/proc/self/fd/{fd}', 'from temporary', src_dir_fd=fd, follow_symlinks=True)
os.close(fd)
with open('sparse', 'wb') as file:
    file.truncate(1 << 20)
    os.pwrite(file.fileno(), b'data', 1 << 19)
os.symlink('changed', 'symlink')
os.mkfifo('fifo')
renameat2('changed', 'sparse', RENAME_EXCHANGE)
create('short lived')
os.unlink('short lived')
os.chown('second name', 1000, 1000)
os.sync()
`;

/**
 * `lasting`: where numbers stay. It takes an index of hard links, or a rename that is no copy; both are the host's
 * root's. Without the index, names that are known at the copy-up stay together.
 */
const INODES = `
os.chdir(root)
numbers = {name: str(os.stat(name).st_ino) for name in ['first name', 'second name', 'read only', *lasting]}
result = {name: numbers[name] for name in ['read only', *lasting]}
`;

const UPPERS: Record<string, (place: Place, at: string) => void> = {
  tmpfs: (place, at) => void place.run('mount', ['-t', 'tmpfs', 'tmpfs', at]),
  ext4: onImage('mkfs.ext4', '-q'),
  xfs: onImage('mkfs.xfs', '-q'),
  btrfs: onImage('mkfs.btrfs', '-q'),
  'kernel overlayfs': (place, at) => {
    place.make({ [`${at}-lower`]: {}, [`${at}-upper`]: {}, [`${at}-work`]: {} });
    const marks = IS_HOST_ROOT ? [] : ['userxattr'];
    const options = [`lowerdir=${at}-lower,upperdir=${at}-upper,workdir=${at}-work`, ...marks].join();
    place.run('mount', ['-t', 'overlay', 'overlay', '-o', options, at]);
  },
  'another union': (place, at) => {
    place.make({ [`${at}-lower`]: {}, [`${at}-upper`]: {} });
    place.succeed(['mount', '--lower', `${at}-lower`, '--upper', `${at}-upper`, at]);
  },
};

const LOWERS: Record<string, (place: Place, content: string, at: string) => void> = {
  squashfs: (place, content, at) => {
    place.run('mksquashfs', [content, `${at}.img`, '-quiet', '-no-progress']);
    place.run('mount', ['-o', 'loop,ro', `${at}.img`, at]);
  },
  erofs: (place, content, at) => {
    place.run('mkfs.erofs', ['--quiet', `${at}.img`, content]);
    place.run('mount', ['-t', 'erofs', '-o', 'loop,ro', `${at}.img`, at]);
  },
  'a read-only mount': (place, content, at) => {
    place.run('mount', ['--bind', content, at]);
    place.run('mount', ['-o', 'remount,bind,ro', at]);
  },
};

function onImage(command: string, ...args: readonly string[]) {
  return (place: Place, at: string): void => {
    place.run('truncate', ['-s', IMAGE_SIZE, `${at}.img`]);
    place.run(command, [...args, `${at}.img`]);
    place.run('mount', ['-o', 'loop', `${at}.img`, at]);
  };
}

describe(SUITE, () => {
  const place = usePlace(SUITE);

  describe('upper', () => {
    for (const [name, prepare] of Object.entries(UPPERS)) {
      it(`on ${name}`, function () {
        this.timeout(120_000);
        requireMaker(this, name);
        const base = `upper on ${name}`.replaceAll(' ', '-');
        place.make({ [`${base}/outer`]: {} });
        prepare(place, `${base}/outer`);
        const union = place.layers(`${base}/outer/union`, { lowers: [{}] });
        place.make({ [`${base}/content`]: LOWER });
        place.run('ln', [`${base}/content/first name`, `${base}/content/second name`]);
        place.run('mount', ['--bind', place.path(base, 'content'), union.lowers[0] ?? '']);
        checkWork(place, base, union);
      });
    }
  });

  describe('lower', () => {
    for (const [name, make] of Object.entries(LOWERS)) {
      it(`on ${name}`, function () {
        requireMaker(this, name);
        const base = `lower on ${name}`.replaceAll(' ', '-');
        const union = place.layers(base, { lowers: [{}] });
        place.make({ [`${base}/content`]: LOWER });
        place.run('ln', [`${base}/content/first name`, `${base}/content/second name`]);
        make(place, place.path(base, 'content'), union.lowers[0] ?? '');
        checkWork(place, base, union);
      });
    }

    it('on another union, whose files have other handles after each mount', () => {
      const outer = place.union('restless/outer', { lowers: [{ a: 'A', b: 'B', c: 'C' }] });
      place.run('sh', [
        '-c',
        'for name in a b c; do ln "$1/$name" "$1/$name 2"; done',
        'sh',
        outer.mountpoint,
      ]);
      const inner = place.layers('restless/inner', { lowers: [{}] });
      place.run('mount', ['--bind', outer.mountpoint, inner.lowers[0] ?? '']);
      inner.mount();
      for (const name of ['c 2', 'a', 'b 2'])
        place.run('sh', ['-c', 'echo changed >>"$1"', 'sh', inner.at(name)]);
      inner.umount();
      place.run('umount', [inner.lowers[0] ?? '']);
      outer.remount();
      place.run(
        'stat',
        ['b', 'c', 'a'].map((name) => outer.at(name)),
      ); // node ids in another order
      place.run('mount', ['--bind', outer.mountpoint, inner.lowers[0] ?? '']);
      inner.mount();
      const text = (name: string) => readFileSync(inner.at(name), 'utf8');
      assert.deepEqual(['a', 'b 2', 'c 2'].map(text), ['Achanged\n', 'Bchanged\n', 'Cchanged\n']);
      for (const name of ['a 2', 'b', 'c'])
        assert.match(text(name), new RegExp(`^${name[0]?.toUpperCase()}`));
    });
  });
});

function requireMaker(context: Context, filesystem: string): void {
  const maker = MAKERS[filesystem];
  requireConditions(context, `${SUITE}: ${filesystem}`, missingForMounts(maker === undefined ? [] : [maker]));
}

/** Does the work on the union and on a plain copy of its lower layer, and compares. */
function checkWork(place: Place, base: string, union: Union): void {
  const plain = place.path(base, 'plain');
  const start = BigInt(Date.now() - CLOCK_GRAIN_MS) * NS_PER_MS;
  place.run('cp', ['-a', union.lowers[0] ?? '', plain]);
  const lower = checksumOf(union.lowers[0] ?? '');
  union.mount();
  const inodesWith = (moved: string) =>
    place.python<Record<string, string>>(INODES, {
      root: union.mountpoint,
      lasting: IS_HOST_ROOT ? ['first name', 'second name', moved] : [],
    });
  const inodes = inodesWith('moved/below/file');
  for (const root of [union.mountpoint, plain]) place.python(WORK, { root });
  const seen = (root: string) => {
    const tree = maskTimesSince(describeTree(root), start);
    return new Map([...tree].filter(([path]) => path !== '.')); // upper's root is older than the plain one
  };
  assert.deepEqual(diffTrees(seen(union.mountpoint), seen(plain)), []);
  union.remount();
  assert.deepEqual(diffTrees(seen(union.mountpoint), seen(plain)), [], 'after a remount');
  assert.deepEqual(
    Object.values(inodesWith('moved here/below/file')),
    Object.values(inodes),
    'inode numbers',
  );
  union.umount();
  assert.equal(checksumOf(union.lowers[0] ?? ''), lower, 'the lower layer');
}

/** Everything of a tree but what only some filesystems have. */
function checksumOf(root: string): string {
  return run('sh', ['-c', 'tar -c --sort=name --numeric-owner -C "$1" . | sha256sum', 'sh', root]);
}
