/**
 * Protects tscr end to end: an image that debootstrap and buildah made is loaded from both kinds of archive, real
 * programs install, compile, add users and run in it, and what is committed and saved is the same image to skopeo and
 * podman.
 *
 * Takes minutes and a Debian mirror: runs with UNIONFS_ACCEPTANCE=full, and always in CI.
 */
import { assert } from 'chai';
import { aptEnvironment } from '../support/acceptance/apt.js';
import { missingForFull, missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { type DebianImage, debianImage, IMAGE_NAME, LAYERS } from '../support/acceptance/debian-image.js';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';
import { run } from '../support/run.js';

const SUITE = 'acceptance: a Debian image';
const HALF_HOUR_MS = 1_800_000;
const TOOLS = ['debootstrap', 'buildah', 'podman', 'skopeo', 'apt-config'];
const PACKAGES = ['gcc', 'libc6-dev', 'make', 'python3-minimal'];

/** Podman asks for more than a machine without CAP_SYS_RESOURCE may give. */
const LIMITS = ['--ulimit', 'nofile=1000:1000', '--ulimit', 'nproc=1000:1000'];

const PROGRAM = `
#include <stdio.h>
int main(void) { return puts("compiled inside") < 0; }
`;

describe(SUITE, function () {
  this.timeout(HALF_HOUR_MS);
  const place = usePlace(SUITE, TOOLS);
  let image: DebianImage;
  let tscr: Tscr;

  before(function () {
    requireConditions(this, SUITE, [...missingForFull(), ...missingForMounts(TOOLS)]);
    image = debianImage();
    tscr = new Tscr(place.path('store'), place.path('run'));
  });

  const inspected = (name: string) => JSON.parse(tscr.succeed(['inspect', name]))[0];
  const variables = (): string[] =>
    Object.entries(aptEnvironment()).flatMap(([name, value]) => ['-e', `${name}=${value}`]);

  it('is loaded from a docker archive, with the layers that skopeo sees', () => {
    assert.include(tscr.succeed(['load', '-q', '-i', image.dockerArchive]), 'localhost/debian:test');
    const config = JSON.parse(
      run('skopeo', ['inspect', '--config', `docker-archive:${image.dockerArchive}`]),
    );
    assert.lengthOf(config.rootfs.diff_ids, LAYERS);
    assert.deepEqual(inspected(IMAGE_NAME).RootFS.Layers, config.rootfs.diff_ids);
  });

  it('is the same from an OCI layout, and no layer is unpacked twice', () => {
    const before = inspected(IMAGE_NAME).RootFS.Layers;
    tscr.succeed(['load', '-q', '-i', image.ociLayout]);
    assert.deepEqual(inspected(IMAGE_NAME).RootFS.Layers, before);
    assert.lengthOf(place.run('ls', ['store/layers']).trim().split('\n'), LAYERS);
  });

  it('shows what its layers hide, replace and change', () => {
    const script =
      'ls /opt/data; cat /opt/data/new /etc/layers; test ! -e /usr/share/doc; echo $LAYERS; stat -c %Y /etc/layers';
    const seen = tscr.run(['run', '--rm', IMAGE_NAME, 'sh', '-c', script]);
    assert.equal(seen.stdout, 'new\nnew\nlayers: 5\n5\n981173106\n', seen.stderr);
  });

  for (const driver of ['unionfs', 'overlay']) {
    it(`installs, compiles, adds users and runs Python on ${driver}`, () => {
      const script = `
        set -eu
        apt-get -q update && apt-get -qy install --no-install-recommends ${PACKAGES.join(' ')}
        test -z "$(dpkg --audit)"
        cat >/root/program.c <<END${PROGRAM}END
        printf 'program: program.c\\n\\tgcc -O2 -o $@ $<\\n' >/root/Makefile
        make -C /root && /root/program
        useradd -m alice
        su alice -c 'id -un; cd; echo mine >file; stat -c %U file'
        python3 -c 'import sys; print(sum(range(10)))'
        rm -rf /usr/share/man /usr/share/locale
      `;
      const { status, stdout, stderr } = tscr.run(
        [
          'run',
          '--name',
          `work-${driver}`,
          '--storage-driver',
          driver,
          ...variables(),
          IMAGE_NAME,
          'sh',
          '-c',
          script,
        ],
        { timeoutMs: HALF_HOUR_MS },
      );
      assert.equal(status, 0, stderr);
      assert.match(stdout, /compiled inside\nalice\nalice\n45\n$/);
    });
  }

  it('is committed and saved as the same image for skopeo and podman', () => {
    const id = tscr
      .succeed(['commit', '-m', 'with a compiler', 'work-unionfs', 'localhost/debian:compiler'])
      .trim();
    const { Id, RootFS } = inspected('localhost/debian:compiler');
    assert.equal(Id, id);
    assert.lengthOf(RootFS.Layers, LAYERS + 1);
    tscr.succeed(['save', '-o', place.path('saved.tar'), 'localhost/debian:compiler']);
    tscr.succeed(['save', '--format', 'oci', '-o', place.path('saved.oci'), 'localhost/debian:compiler']);
    for (const source of [
      `docker-archive:${place.path('saved.tar')}`,
      `oci-archive:${place.path('saved.oci')}`,
    ]) {
      const config = JSON.parse(run('skopeo', ['inspect', '--config', source]));
      assert.deepEqual(config.rootfs.diff_ids, RootFS.Layers, source);
    }
  });

  it('and podman runs it', () => {
    const storage = [
      '--root',
      place.path('podman'),
      '--runroot',
      place.path('podman-run'),
      '--storage-driver',
      'overlay',
    ];
    const podman = (...args: readonly string[]): string =>
      run(
        'unshare',
        [
          '--mount',
          'podman',
          ...storage,
          '--runtime',
          'runc',
          '--cgroup-manager',
          'cgroupfs',
          '--events-backend',
          'none',
          ...args,
        ],
        {
          timeoutMs: HALF_HOUR_MS,
        },
      );
    podman('load', '-q', '-i', place.path('saved.tar'));
    assert.equal(podman('images', '-q', '--no-trunc').trim(), inspected('localhost/debian:compiler').Id);
    const script =
      'su alice -c "cat ~/file" && /root/program && test ! -e /usr/share/man && gcc --version | head -1';
    const output = podman(
      'run',
      '--rm',
      '--network',
      'none',
      ...LIMITS,
      'localhost/debian:compiler',
      'sh',
      '-c',
      script,
    );
    assert.match(output, /^mine\ncompiled inside\ngcc .*\n$/);
  });

  it('and the committed layer runs on every driver, a deletion having freed nothing', () => {
    for (const driver of ['unionfs', 'overlay', 'copy']) {
      const seen = tscr.run([
        'run',
        '--rm',
        '--storage-driver',
        driver,
        'localhost/debian:compiler',
        '/root/program',
      ]);
      assert.equal(seen.stdout, 'compiled inside\n', seen.stderr);
    }
    tscr.succeed(['run', '--name', 'shrunk', 'localhost/debian:compiler', 'rm', '-rf', '/usr/lib/gcc']);
    tscr.succeed(['commit', 'shrunk', 'localhost/debian:shrunk']);
    assert.isAtLeast(inspected('localhost/debian:shrunk').Size, inspected('localhost/debian:compiler').Size);
  });
});
