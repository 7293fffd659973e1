/** Protects how a mount holds the directories it is made of: what it may do to them, and when it lets them go. */
import { writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { type Union, usePlace } from '../support/mount/place.js';
import { processesNaming, serverOf, waitUntil } from '../support/mount/processes.js';
import { IS_HOST_ROOT } from '../support/privilege.js';

const SUITE = 'layers';

/** What each of a server's descriptors of a directory answers to `call(path)`. */
const THROUGH_DESCRIPTORS = `
def through_descriptors(server, directory, call):
    paths = [f'/proc/{server}/fd/{fd}' for fd in os.listdir(f'/proc/{server}/fd')]
    return [attempt(call, path) for path in paths if os.path.exists(path) and os.path.samefile(path, directory)]
`;

describe(SUITE, () => {
  const place = usePlace(SUITE, ['mkfs.ext4', 'losetup']);

  it("the server's own descriptors of lower layers cannot change them, nor their access times", () => {
    const union = place.union('lower', { lowers: [{ file: 'below' }, { file: 'bottom' }] });
    const seen = place.python(
      [
        THROUGH_DESCRIPTORS,
        `
        def access_time(path):
            return os.stat(path + '/file').st_atime_ns
        result = []
        for lower in lowers:
            os.utime(lower + '/file', ns=(0, 10**18)) # a read would change it, even with relatime
            reads = through_descriptors(server, lower, lambda path: read(path + '/file'))
            opens = through_descriptors(server, lower, lambda path: os.open(path + '/file', os.O_WRONLY))
            makes = through_descriptors(server, lower, lambda path: os.mkdir(path + '/new'))
            result.append([reads, opens, makes, access_time(lower)])
        `,
      ],
      { server: serverOf(union.mountpoint), lowers: union.lowers },
    );
    assert.deepEqual(seen, Array(2).fill([['ok'], ['EROFS'], ['EROFS'], 0]));
  });

  for (const { own, option, touched } of [
    { own: 'relatime', option: 'noatime', touched: { file: false, directory: false } },
    { own: 'relatime', option: 'nodiratime', touched: { file: true, directory: false } },
    { own: 'noatime', option: 'rw', touched: { file: true, directory: true } },
  ]) {
    it(`"-o ${option}" decides on access times in upper, whose own mount says ${own}`, () => {
      const name = `times ${option}`;
      place.make({ [name]: {} });
      // Of a mount from outside, a user namespace may not change how access times are kept.
      if (IS_HOST_ROOT || own === 'relatime') place.run('mount', ['--bind', name, name]);
      else place.run('mount', ['-t', 'tmpfs', 'none', name]);
      place.run('mount', ['-o', `remount,bind,${own}`, name]);
      const union = place.layers(name, {
        lowers: [{}],
        upper: { file: 'x', 'directory/file': 'x' },
        args: ['-o', option],
      });
      const old = `for name in ['file', 'directory']: os.utime(f'{upper}/{name}', ns=(0, 10**18))`;
      place.python(old, { upper: union.upper });
      union.mount();
      const seen = place.python(
        `
        read(f'{root}/file')
        os.listdir(f'{root}/directory')
        result = {name: os.stat(f'{upper}/{name}').st_atime_ns != 0 for name in ['file', 'directory']}
        `,
        { root: union.mountpoint, upper: union.upper },
      );
      assert.deepEqual(seen, touched);
    });
  }

  describe('on a filesystem of their own', () => {
    const ROUNDS = 10;
    const IMAGE_SIZE = '16M';
    let union: Union;

    function attach(): void {
      place.run('mount', ['-o', 'loop', place.path('image'), place.path('base')]);
    }

    before(() => {
      place.make({ base: {} });
      place.run('truncate', ['-s', IMAGE_SIZE, place.path('image')]);
      place.run('mkfs.ext4', ['-q', place.path('image')]);
      attach();
      union = place.layers('base/union', { lowers: [{ 'directory/file': 'below' }] });
      place.run('umount', [place.path('base')]);
    });

    /** Mounts, watches the lower layer, writes, and ends the mount; then the filesystem below must be free. */
    function cycle(end: () => void): void {
      attach();
      union.mount();
      place.run('ls', ['-lR', union.mountpoint]);
      writeFileSync(union.at('directory/file'), 'above');
      end();
      place.run('umount', [place.path('base')]);
    }

    it(`"umount" lets them be unmounted at once, ${ROUNDS} times of ${ROUNDS}`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        cycle(() => place.run('umount', [union.mountpoint]));
        waitUntil('the server ends', () => processesNaming(union.mountpoint).length === 0);
      }
    });

    it(`"unionfs umount" frees their device as well, ${ROUNDS} times of ${ROUNDS}`, () => {
      for (let round = 0; round < ROUNDS; round++) {
        cycle(() => void place.succeed(['umount', union.mountpoint]));
        assert.equal(place.run('losetup', ['--associated', place.path('image')]), '');
      }
    });
  });
});
