/** Protects what can be said to `unionfs mount`, and that paths of every kind arrive. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { list, mountAt, usePlace } from '../support/mount/place.js';
import { waitUntil } from '../support/mount/processes.js';

const SUITE = 'unionfs mount: options';

describe(SUITE, () => {
  const place = usePlace(SUITE);

  it('-o nosuid,nodev,noexec are shown and take effect', () => {
    const union = place.union('flags', {
      lowers: [{ script: '#!/bin/sh\n' }],
      args: ['-o', 'nosuid,nodev', '-o', 'noexec'],
    });
    assert.includeMembers(
      [...(mountAt(union.mountpoint)?.options ?? [])],
      ['rw', 'nosuid', 'nodev', 'noexec'],
    );
    const seen = place.python(
      `
      import subprocess
      os.chmod('script', 0o755)
      result = [attempt(subprocess.run, ['./script'])]
      `,
      {},
      { cwd: union.mountpoint },
    );
    assert.deepEqual(seen, ['EACCES']);
  });

  it('devices work, but not with -o nodev', () => {
    const opened = ['dev', 'nodev'].map((option) => {
      const union = place.union(`devices-${option}`, { lowers: [{}], args: ['-o', option] });
      const code = `
        os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
        result = attempt(open, 'null')
      `;
      return place.python(code, {}, { cwd: union.mountpoint });
    });
    assert.deepEqual(opened, ['ok', 'EACCES']);
  });

  it('-o ro makes a union with an upper read-only', () => {
    const union = place.union('ro', { lowers: [{ file: 'x' }], args: ['-o', 'ro'] });
    assert.include([...(mountAt(union.mountpoint)?.options ?? [])], 'ro');
    assert.throws(() => writeFileSync(union.at('file'), 'y'), 'EROFS');
    assert.throws(() => writeFileSync(union.at('new'), 'y'), 'EROFS');
    assert.equal(readFileSync(union.at('file'), 'latin1'), 'x');
    assert.deepEqual(list(union.upper), []);
  });

  it('-o fsname=NAME is the source in /proc/mounts; -o lowerdir=,upperdir=,workdir= name the layers', () => {
    place.make({ o: { a: { x: 'a' }, b: { y: 'b' }, u: {}, m: {} } });
    const options = 'lowerdir=a:b,upperdir=u,workdir=w,fsname=my own name';
    place.succeed(['mount', '-o', options, 'm'], { cwd: place.path('o') });
    const mountpoint = place.path('o/m');
    assert.equal(mountAt(mountpoint)?.source, 'my own name');
    assert.deepEqual(list(mountpoint), ['x', 'y']);
    writeFileSync(join(mountpoint, 'new'), '');
    assert.deepEqual(list(place.path('o/u')), ['new']);
    assert.deepEqual(list(place.path('o')), ['a', 'b', 'm', 'u', 'w']);
  });

  it('--work is --workdir; without flags programs run', () => {
    place.make({ w: { a: { script: '#!/bin/sh\nexit 7\n' }, u: {}, m: {} } });
    const command = [
      'mount',
      '--lower',
      'a',
      '--upper',
      'u',
      '--work',
      'scratch',
      '-o',
      'rw,suid,dev,exec',
      'm',
    ];
    place.succeed(command, { cwd: place.path('w') });
    assert.deepEqual(list(place.path('w')), ['a', 'm', 'scratch', 'u']);
    const seen = place.python(
      `
      import subprocess
      os.chmod('script', 0o755)
      result = subprocess.run(['./script']).returncode
      `,
      {},
      { cwd: place.path('w/m') },
    );
    assert.equal(seen, 7);
  });

  describe('paths', () => {
    const NAMES = [
      'a:b',
      'c,d',
      'e f',
      'g\\h',
      'i\\:j',
      'tab\t',
      'new\nline',
      'ünï→',
      'quote\'"',
      '-dash',
      '#hash',
      '=',
    ];
    const escaped = (name: string): string => name.replace(/[\\:]/g, '\\$&');

    it('with colons, commas, spaces, backslashes, newlines and letters beyond ASCII are taken as layers', () => {
      const layers = NAMES.map((name, index) => [name, { [`f${index}`]: name }]);
      place.make({
        odd: { ...Object.fromEntries(layers), 'upper: ,\\': {}, 'mount: ,\\\n': {}, 'work: ,\\': {} },
      });
      const cwd = place.path('odd');
      const lowers = NAMES.map((name) => escaped(join(cwd, name))).join(':');
      const mountpoint = join(cwd, 'mount: ,\\\n');
      const command = ['--upper', 'upper: ,\\', '--workdir', 'work: ,\\', '--', 'mount: ,\\\n'];
      place.succeed(['mount', '--lower', lowers, ...command], { cwd });
      assert.deepEqual(
        NAMES.map((_, index) => readFileSync(join(mountpoint, `f${index}`), 'utf8')),
        NAMES,
      );
      writeFileSync(join(mountpoint, 'new'), '');
      assert.deepEqual(list(join(cwd, 'upper: ,\\')), ['new']);
      const told = JSON.parse(place.succeed(['inspect', '--json', mountpoint])) as { lowers: string[] };
      assert.deepEqual(
        told.lowers,
        NAMES.map((name) => join(cwd, name)),
      );
      assert.equal(mountAt(mountpoint)?.source.split(',upperdir=')[0], `lowerdir=${lowers}`);
      assert.equal(place.succeed(['diff', mountpoint]), 'A /new\n');
      place.succeed(['umount', mountpoint]);
      assert.isUndefined(mountAt(mountpoint));
      assert.equal(
        place.succeed(['diff', 'work: ,\\'], { cwd }),
        'A /new\n',
        'unmounted, by the record in work',
      );
    });

    it('with commas and colons are escaped in -o as well', () => {
      place.make({ 'odd-o': { 'a,b': { x: 'comma' }, 'c:d': { y: 'colon' }, 'u,v': {}, m: {} } });
      const options = 'lowerdir=a\\,b:c\\:d,upperdir=u\\,v,workdir=w\\,x';
      place.succeed(['mount', '-o', options, 'm'], { cwd: place.path('odd-o') });
      assert.deepEqual(list(place.path('odd-o/m')), ['x', 'y']);
      assert.deepEqual(list(place.path('odd-o')), ['a,b', 'c:d', 'm', 'u,v', 'w,x']);
    });

    it('through symlinks lead to the directories, which are named by their real paths', () => {
      place.make({ links: { real: { x: 'x' }, u: {}, m: {} } });
      place.python(
        `os.symlink('real', 'lower'); os.symlink('u', 'upper'); os.symlink('m', 'mount')`,
        {},
        {
          cwd: place.path('links'),
        },
      );
      place.succeed(['mount', '--lower', 'lower/', '--upper', 'upper', 'mount'], {
        cwd: place.path('links'),
      });
      const told = JSON.parse(place.succeed(['inspect', '--json', place.path('links/mount')])) as object;
      assert.deepInclude(told, {
        mountpoint: place.path('links/m'),
        lowers: [place.path('links/real')],
        upper: place.path('links/u'),
      });
    });
  });

  it('--layer-changes ttl=SECONDS looks again after them, never watches nothing', () => {
    const inspect = (mountpoint: string) =>
      JSON.parse(place.succeed(['inspect', '--json', mountpoint])) as {
        settings: { layerChanges: unknown };
        counters: { watches: number };
      };
    const ttl = place.union('ttl', { lowers: [{ file: 'old' }], args: ['--layer-changes', 'ttl=1'] });
    assert.equal(readFileSync(ttl.at('file'), 'latin1'), 'old');
    writeFileSync(join(ttl.lowers[0] ?? '', 'file'), 'newer');
    writeFileSync(join(ttl.lowers[0] ?? '', 'added'), '');
    waitUntil('the content shows', () => readFileSync(ttl.at('file'), 'latin1') === 'newer', 3000);
    waitUntil('the name shows', () => list(ttl.mountpoint).includes('added'), 3000);
    assert.equal(inspect(ttl.mountpoint).settings.layerChanges, 1);
    const never = place.union('never', { lowers: [{ file: 'old' }], args: ['--layer-changes', 'never'] });
    assert.deepEqual(list(never.mountpoint), ['file']);
    const { settings, counters } = inspect(never.mountpoint);
    assert.deepEqual([settings.layerChanges, counters.watches], ['never', 0]);
  });
});
