/**
 * Protects a store on a disk that is full to its last byte: images and containers can be removed, listed and inspected,
 * and a container that filled the disk ends with its own exit code.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { checkStore } from '../../runtime/container/lifecycle/check.js';
import { Store } from '../../runtime/image/store/store.js';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';

const SUITE = 'a full disk';
const CLI = fileURLToPath(new URL('../../bin/tscr.js', import.meta.url));
/** Every third call, unless all is asked for. */
const STEP = process.env['UNIONFS_ACCEPTANCE'] === 'full' ? 1 : 3;
const MIB = 1024 * 1024;
const SIZE = 96 * MIB;

/** How a small disk comes about. */
const DISKS: readonly (readonly [name: string, make: (at: string, image: string) => void])[] = [
  ['tmpfs', (at) => void execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE}`, 'full-disk', at])],
  [
    'ext4',
    (at, image) => {
      execFileSync('truncate', ['-s', String(SIZE), image]);
      execFileSync('mkfs.ext4', ['-q', '-m', '0', image]);
      execFileSync('mount', ['-o', 'loop', image, at]);
    },
  ],
];

describe(SUITE, function () {
  this.timeout(120_000);
  const place = usePlace(SUITE);

  for (const [name, make] of DISKS) {
    describe(name, () => {
      let disk: string;
      let tscr: Tscr;
      const root = (): string => join(disk, 'store');

      before(() => {
        disk = place.path(name);
        mkdirSync(disk, { recursive: true });
        make(disk, place.path(`${name}.img`));
        tscr = new Tscr(root(), join(disk, 'run'));
        tscr.succeed(['image', 'from-host', 'sh,dd,true,cat', '-t', 'host:1']);
      });
      after(() => void spawnSync('umount', ['-l', disk]));

      function fill(): void {
        const fd = openSync(join(disk, 'filler'), 'a');
        for (const size of [MIB, 4096, 1]) {
          try {
            for (;;) {
              writeSync(fd, Buffer.alloc(size, 'x'));
            }
          } catch (error) {
            assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
          }
          fsyncSync(fd);
        }
        closeSync(fd);
        assert.throws(() => writeFileSync(join(disk, 'one-more'), 'x'.repeat(8192)), /ENOSPC/);
        execFileSync('rm', ['-f', join(disk, 'one-more')]);
      }

      it('a container that fills it ends with its own code, is listed, and can be removed', () => {
        const script =
          'dd if=/dev/zero of=/big bs=65536 2>/dev/null; while echo x >>/more; do :; done 2>/dev/null; exit 7';
        const { status, stderr } = tscr.run(['run', '--name', 'filler', 'host:1', 'sh', '-c', script]);
        assert.deepEqual({ status, stderr }, { status: 7, stderr: '' });
        assert.isBelow(statfsSync(disk).bavail * statfsSync(disk).bsize, 64 * 1024);
        assert.match(tscr.succeed(['ps', '-a']), /Exited \(7\)/);
        assert.include(tscr.succeed(['images']), 'host');
        tscr.succeed(['system', 'df']);
        tscr.succeed(['inspect', 'filler']);
        assert.equal(tscr.succeed(['rm', 'filler']), 'filler\n');
        assert.isAbove(statfsSync(disk).bavail * statfsSync(disk).bsize, 8 * MIB);
        assert.deepEqual(
          tscr.leftovers().filter((line) => !line.includes(disk)),
          [],
        );
      });

      it('one that fills it and is removed at its end gives everything back', () => {
        const { status, stderr } = tscr.run([
          'run',
          '--rm',
          'host:1',
          'sh',
          '-c',
          'cat /dev/zero >/big 2>/dev/null; exit 3',
        ]);
        assert.deepEqual({ status, stderr }, { status: 3, stderr: '' });
        assert.isAbove(statfsSync(disk).bavail * statfsSync(disk).bsize, 8 * MIB);
      });

      it('what is refused for want of space leaves nothing behind', () => {
        tscr.succeed(['save', '-o', place.path(`${name}.tar`), 'host:1']);
        fill();
        for (const args of [
          ['image', 'from-host', 'sh,ls', '-t', 'more:1'],
          ['tag', 'host:1', 'another:1'],
          ['run', 'host:1', 'true'],
        ]) {
          const { status, stderr } = tscr.run(args);
          assert.equal(status, 125, stderr);
          assert.match(
            stderr,
            /^tscr [\w -]+: "[^"]+": \w+: ENOSPC; no space left on \w+ mounted at "[^"]+"\n$/,
          );
        }
        assert.isEmpty(readdirSync(join(root(), 'tmp')));
        const containers = join(root(), 'containers');
        assert.isEmpty(existsSync(containers) ? readdirSync(containers) : []);
        assert.equal(tscr.succeed(['images', '-q']).split('\n').length, 2);
      });

      it('the image is removed, and the space is there again', async () => {
        fill();
        assert.match(tscr.succeed(['rmi', 'host:1']), /^Untagged: host:1\nDeleted: sha256:/);
        assert.isAbove(statfsSync(disk).bavail * statfsSync(disk).bsize, MIB);
        assert.equal(tscr.succeed(['images', '-q']), '');
        assert.deepEqual((await checkStore(Store.open(root()), false)).findings, []);
        for (const path of ['blobs/sha256', 'layers', 'tmp'])
          assert.isEmpty(readdirSync(join(root(), path)), path);
      });

      it('prune empties it too', () => {
        execFileSync('rm', ['-f', join(disk, 'filler')]);
        tscr.succeed(['load', '-q', '-i', place.path(`${name}.tar`)]);
        fill();
        assert.match(
          tscr.succeed(['system', 'prune', '-a', '-f']),
          /Untagged: host:1[\s\S]*Total reclaimed space: [1-9]/,
        );
        assert.isEmpty(readdirSync(join(root(), 'layers')));
      });
    });
  }

  it('a removal that is killed at any system call leaves the image whole or gone, and is completed', async () => {
    const tscr = new Tscr(place.path('killed'), place.path('killed-run'));
    tscr.succeed(['image', 'from-host', 'true', '-t', 'true:1']);
    tscr.succeed(['save', '-o', place.path('true.tar'), 'true:1']);
    let ended = false;
    for (let call = 1; !ended; call += STEP) {
      tscr.succeed(['load', '-q', '-i', place.path('true.tar')]);
      ended = killedAt(call, ['rmi', 'true:1']);
      const store = Store.open(place.path('killed'));
      const { images, damaged } = store.inventory();
      assert.deepEqual(damaged, [], `call ${call}`);
      assert.isAtMost(images.length, 1);
      assert.deepEqual((await checkStore(store, false)).findings, [], `call ${call}`);
    }
    tscr.succeed(['system', 'prune', '-a', '-f']);
    for (const path of ['blobs/sha256', 'layers', 'tmp'])
      assert.isEmpty(readdirSync(place.path('killed', path)), path);
  });

  /** Runs tscr and kills it at a call that changes a directory; whether it ended before. */
  function killedAt(call: number, args: readonly string[]): boolean {
    const calls = 'rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir';
    const strace = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=${calls}:signal=KILL:when=${call}`];
    const env = { ...process.env, TSCR_ROOT: place.path('killed'), TSCR_RUN: place.path('killed-run') };
    const { status, signal } = spawnSync('strace', [...strace, process.execPath, CLI, ...args], { env });
    if (status === 0) return true;
    assert.equal(signal ?? 'SIGKILL', 'SIGKILL');
    return false;
  }
});
