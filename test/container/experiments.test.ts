/**
 * The experiments of the articles that need an image or a container, by their numbers in EXPERIMENTS.md, as a reader
 * repeats them. 1, 2 and 5 to 9 are in test/mount/experiments.test.ts, 11 needs a registry.
 */
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { crun, runc } from '../support/container/bundles.js';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';

const SUITE = 'experiments with containers';
const PROGRAMS = 'bash,sh,ls,cat,rm,dd,ps,uname,sleep';
const MIB = 1024 * 1024;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let tscr: Tscr;
  const inspected = (name: string) => JSON.parse(tscr.succeed(['inspect', name]))[0];
  const directories = (name: string): Record<string, string> => inspected(name).GraphDriver.Data;

  before(function () {
    this.timeout(60_000);
    tscr = new Tscr(place.path('store'), place.path('run'));
  });

  it('3: a root file system is just files: host binaries and their libraries', () => {
    tscr.succeed(['image', 'from-host', PROGRAMS, '-t', 'hand:made']);
    const seen = tscr.succeed([
      'run',
      '--rm',
      'hand:made',
      'bash',
      '-c',
      'ls -d /usr/bin/b*; echo $(cat /proc/1/comm)',
    ]);
    assert.equal(seen, '/usr/bin/bash\nbash\n');
  });

  for (const [how, options] of [
    ['pivot_root', []],
    ['chroot', ['--no-pivot']],
  ] as const) {
    it(`4: the container is a process of the host, on the same kernel: by ${how}`, async () => {
      const container = tscr.start([
        ...['run', '--rm', '--name', 'visible', ...options, 'hand:made'],
        ...['sh', '-c', 'uname -r; ps -o pid= -o comm=; sleep 60'],
      ]);
      await container.says(release());
      await container.says('1 sh');
      const rows = tscr
        .succeed(['top', 'visible'])
        .split('\n')
        .map((row) => row.split(/ {2,}/));
      const [pid = ''] = rows.find((row) => row.at(-1) === 'sleep 60') ?? [];
      assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'sleep\n');
      tscr.succeed(['rm', '-f', 'visible']);
      await container.ended;
    });
  }

  it('10: an archive holds manifest.json, repositories, and VERSION, json and layer.tar of each layer', () => {
    tscr.succeed(['save', '-o', place.path('saved.tar'), 'hand:made']);
    const names = place
      .run('tar', ['-tf', place.path('saved.tar')])
      .trim()
      .split('\n');
    for (const name of ['manifest.json', 'repositories']) assert.include(names, name);
    for (const name of ['VERSION', 'json', 'layer.tar'])
      assert.isTrue(
        names.some((path) => path.endsWith(`/${name}`)),
        name,
      );
    tscr.succeed(['rmi', 'hand:made']);
    tscr.succeed(['load', '-q', '-i', place.path('saved.tar')]);
  });

  it('12: from an image to a container by hand: the bundle runs with runc, crun and tscr', () => {
    tscr.succeed(['bundle', 'hand:made', place.path('bundle')]);
    const path = place.path('bundle/config.json');
    const spec = JSON.parse(readFileSync(path, 'utf8'));
    spec.process.args = ['bash', '-c', 'echo "in a container"; exit 3'];
    place.make({ 'bundle/config.json': JSON.stringify(spec) });
    const runs = [
      runc(place.path('bundle')),
      crun(place.path('bundle')),
      tscr.run(['run', '--bundle', place.path('bundle')]),
    ];
    for (const { status, stdout, stderr } of runs)
      assert.deepEqual([status, stdout], [3, 'in a container\n'], stderr);
  });

  it("13, 14: inspect says where the layers lie; the image's top layer is the container's first lower one; writes go to upper", () => {
    tscr.succeed(['run', '--name', 'writer', 'hand:made', 'sh', '-c', 'echo new >/file; rm /usr/bin/dd']);
    const { LowerDir = '', UpperDir = '', MergedDir = '', WorkDir = '' } = directories('writer');
    const layers = inspected('hand:made').RootFS.Layers as string[];
    const lowers = LowerDir.split(':');
    assert.include(lowers.at(-1), layers[0]?.replace('sha256:', ''));
    assert.equal(readFileSync(join(UpperDir, 'file'), 'utf8'), 'new\n');
    assert.isTrue(lstatSync(join(UpperDir, 'usr/bin/dd')).isCharacterDevice(), 'a whiteout');
    for (const path of [...lowers, UpperDir, MergedDir, WorkDir]) assert.isTrue(existsSync(path), path);
    assert.isTrue(existsSync(join(lowers.at(-1) ?? '', 'usr/bin/dd')), 'the layer has not changed');
  });

  it('15: deleting a large file and committing makes no smaller image', () => {
    const write = 'dd if=/dev/zero of=/large bs=1M count=14 2>/dev/null';
    tscr.succeed(['run', '--name', 'large', 'hand:made', 'sh', '-c', write]);
    tscr.succeed(['commit', 'large', 'hand:large']);
    tscr.succeed(['run', '--name', 'deleted', 'hand:large', 'rm', '/large']);
    assert.equal(tscr.succeed(['diff', 'deleted']), 'D /large\n');
    tscr.succeed(['commit', 'deleted', 'hand:deleted']);
    const [before, after] = [inspected('hand:large').Size, inspected('hand:deleted').Size];
    assert.isAtLeast(before, 14 * MIB);
    assert.isAtLeast(after, before);
    assert.lengthOf(
      inspected('hand:deleted').RootFS.Layers,
      inspected('hand:large').RootFS.Layers.length + 1,
    );
    assert.match(tscr.succeed(['history', 'hand:deleted']), /rm \/large.*\n.*dd if=/);
    assert.notEqual(tscr.run(['run', '--rm', 'hand:deleted', 'ls', '/large']).status, 0);
  });

  it('16: hosts, hostname and resolv.conf have a layer of their own, which is never committed', () => {
    const [init = ''] = (directories('writer')['LowerDir'] ?? '').split(':');
    assert.match(init, /init$/);
    assert.deepEqual(readdirSync(join(init, 'etc')).sort(), ['hostname', 'hosts', 'resolv.conf']);
    tscr.succeed([
      'run',
      '--name',
      'own',
      'hand:made',
      'sh',
      '-c',
      'echo mine >/etc/hosts; echo kept >/etc/kept',
    ]);
    tscr.succeed(['commit', 'own', 'hand:own']);
    tscr.succeed(['save', '-o', place.path('own.tar'), 'hand:own']);
    const top = inspected('hand:own').RootFS.Layers.at(-1).replace('sha256:', '');
    assert.deepEqual(readdirSync(place.path('store/layers', top, 'diff/etc')), ['kept']);
  });

  it('17: what one container changes no other sees, and the layers are there once', () => {
    tscr.succeed(['run', '--name', 'one', 'hand:made', 'sh', '-c', 'echo changed >/etc/service']);
    assert.notEqual(tscr.run(['run', '--name', 'two', 'hand:made', 'cat', '/etc/service']).status, 0);
    const [one, two] = ['one', 'two'].map((name) =>
      (directories(name)['LowerDir'] ?? '').split(':').slice(1),
    );
    assert.deepEqual(one, two);
    assert.match(tscr.succeed(['system', 'df']), /Images/);
    assert.match(tscr.succeed(['images', '--tree']), /hand:made/);
  });

  it('22: the storage driver can be chosen for each container', () => {
    for (const driver of ['unionfs', 'overlay', 'copy']) {
      tscr.succeed([
        'run',
        '--name',
        driver,
        '--storage-driver',
        driver,
        'hand:made',
        'cat',
        '/etc/hostname',
      ]);
      assert.equal(inspected(driver).GraphDriver.Name, driver);
    }
    assert.match(tscr.succeed(['info']), /unionfs|overlay/i);
  });
});
