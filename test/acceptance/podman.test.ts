/**
 * Protects the promise that Podman and Buildah use the union without knowing: with it as mount program of their overlay
 * driver they build, run, commit and clean up as with fuse-overlayfs, and what they build is the same to the byte.
 *
 * Takes minutes: runs with UNIONFS_ACCEPTANCE=full, and shorter in CI.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { missingForFull, missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { type DebianImage, debianImage, IMAGE_NAME } from '../support/acceptance/debian-image.js';
import { Engine, LIMITS, type MountProgram } from '../support/acceptance/engine.js';
import { usePlace } from '../support/mount/place.js';
import { waitUntil } from '../support/mount/processes.js';

const SUITE = 'acceptance: Podman and Buildah';
const HOUR_MS = 3_600_000;
const TOOLS = ['podman', 'buildah', 'runc', 'fuse-overlayfs', 'newuidmap', 'dpkg-deb', 'nsenter'];
const IS_FULL = process.env['UNIONFS_ACCEPTANCE'] === 'full';
/** How often root and a user build the image. */
const BUILDS = IS_FULL ? { root: 20, user: 20 } : { root: 3, user: 2 };
/** Every time in the image, and every file's in its layers. */
const TIMESTAMP = '1000000000';

/** Packages with a dependency and a script of their maintainer; what remembers the time of installing is removed. */
const DOCKERFILE = `
FROM ${IMAGE_NAME} AS build
COPY packages /tmp/packages
RUN apt-get install -qy /tmp/packages/*.deb && rm -r /tmp/packages /var/cache/apt /var/cache/ldconfig && \\
    find /var/log -type f -delete
RUN mkdir -p /out/deep && greet-two >/out/deep/greeting && ln /out/deep/greeting /out/deep/linked && \\
    ln -s greeting /out/deep/symlink && chown 1000:7 /out/deep/greeting && chmod 4755 /out/deep/greeting && \\
    cp -a /usr/share/greet-two /out

FROM ${IMAGE_NAME}
COPY --from=build /out /opt/out
RUN rm -rf /opt/data && mkdir /opt/data && echo mine >/opt/data/file && mv /etc/apt /etc/apt2 && \\
    rm -r /usr/share/locale && mkfifo /opt/fifo && ln /etc/passwd /etc/passwd2 && rm /etc/passwd && chmod 710 /opt
CMD ["cat", "/opt/out/deep/greeting"]
`;
const FROM_MIRROR = `
FROM ${IMAGE_NAME} AS build
RUN apt-get -q update && apt-get -qy install --no-install-recommends gcc libc6-dev
RUN echo 'int puts(char *); int main() { return puts("compiled inside") < 0; }' >/main.c && gcc -o /program /main.c
FROM ${IMAGE_NAME}
COPY --from=build /program /program
CMD ["/program"]
`;

const control = (name: string, more: string): string =>
  `Package: ${name}\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: greets\n${more}`;

describe(SUITE, function () {
  this.timeout(HOUR_MS);
  const engines: Engine[] = [];
  after(() => {
    for (const engine of engines) engine.close();
  });
  const place = usePlace(SUITE, TOOLS);
  let image: DebianImage;

  before(function () {
    requireConditions(this, SUITE, [...missingForFull(), ...missingForMounts(TOOLS)]);
    place.unwatch();
    image = debianImage();
    place.make({ context: { Dockerfile: DOCKERFILE, packages: {} }, mirror: { Dockerfile: FROM_MIRROR } });
    makePackage('greet-one', '');
    makePackage('greet-two', 'Depends: greet-one\n');
  });

  function makePackage(name: string, more: string): void {
    const script = `#!/bin/sh\nset -e\nchown 4711:4712 /usr/share/${name}\n`;
    place.make({
      [name]: {
        DEBIAN: { control: control(name, more), postinst: script },
        usr: { bin: { [name]: `#!/bin/sh\necho ${name}\n` }, share: { [name]: { file: name } } },
      },
    });
    place.run('chmod', ['755', `${name}/DEBIAN/postinst`, `${name}/usr/bin/${name}`]);
    place.run('dpkg-deb', ['--root-owner-group', '--build', name, 'context/packages']);
  }

  function engine(name: string, isRoot: boolean, program: MountProgram): Engine {
    const made = new Engine(place, name, isRoot, program);
    engines.push(made);
    made.podman('load', '-q', '-i', image.dockerArchive);
    return made;
  }

  /** Builds the image; its id, which stands for all it holds. */
  function build(on: Engine, isLayered: boolean): string {
    const reproducible = ['--no-cache', '--timestamp', TIMESTAMP, `--layers=${isLayered}`];
    const options = ['-q', ...reproducible, '--network', 'none', '--runtime', 'runc', ...LIMITS];
    return on.podman('build', ...options, '-t', 'built', place.path('context')).trim();
  }

  const runs = (on: Engine, options: readonly string[], command: readonly string[]): string =>
    on.podman('run', ...LIMITS, '--network', 'none', ...options, ...command);

  for (const [who, isRoot] of [
    ['root', true],
    ['an ordinary user', false],
  ] as const) {
    describe(`for ${who}`, () => {
      let ours: Engine;
      let peer: Engine;
      let built: string;
      const builds = isRoot ? BUILDS.root : BUILDS.user;

      before(() => {
        ours = engine(isRoot ? 'root' : 'user', isRoot, 'unionfs-overlay');
        built = build(ours, false);
      });

      it('is the mount program', () => {
        const { graphOptions } = JSON.parse(ours.podman('info', '--format', '{{json .Store}}'));
        assert.match(graphOptions['overlay.mount_program'].Version, /\(unionfs /);
        const mounts = runs(ours, ['--rm'], ['built', 'cat', '/proc/mounts']);
        assert.match(mounts, / \/ fuse\.unionfs rw,/);
      });

      it(`builds ${builds} times in a row what it built first`, () => {
        for (let count = 1; count < builds; count++) assert.equal(build(ours, false), built);
      });

      it('builds the layers that fuse-overlayfs gives', () => {
        peer = engine(`${isRoot ? 'root' : 'user'}-peer`, isRoot, 'fuse-overlayfs');
        assert.equal(build(peer, false), built);
        if (IS_FULL) assert.equal(build(ours, true), build(peer, true));
      });

      it('runs, tells what changed, copies in and out, and commits', () => {
        const script =
          'cat /opt/out/deep/linked && rm -rf /usr/share/perl5 && echo new >/new && chown 5:6 /new';
        assert.equal(runs(ours, ['--name', 'worked'], ['built', 'sh', '-c', script]), 'greet-two\n');
        const changes = ours.podman('diff', 'worked').split('\n');
        assert.includeMembers(changes, ['A /new', 'D /usr/share/perl5', 'C /usr/share']);
        ours.podman('cp', place.path('context/Dockerfile'), 'worked:/root/copied');
        ours.podman('cp', 'worked:/new', join(ours.storage, 'new'));
        assert.equal(place.run('cat', [join(ours.storage, 'new')]), 'new\n');
        ours.podman('commit', '-q', 'worked', 'committed');
        const look = 'stat -c "%u %g" /new; test ! -e /usr/share/perl5; head -2 /root/copied | tail -1';
        const seen = runs(ours, ['--rm'], ['committed', 'sh', '-euc', look]);
        assert.equal(seen, `5 6\n${DOCKERFILE.split('\n')[1]}\n`);
      });

      it('shows owners through a mapping of ids as fuse-overlayfs does', () => {
        const mapping = ['--uidmap', '0:1000:5000', '--gidmap', '0:1000:5000'];
        const look = 'touch /mine; stat -c "%n %u %g" /mine /usr /opt/data/file /opt/out/deep/greeting';
        const seen = [ours, peer].map((on) => runs(on, ['--rm', ...mapping], ['built', 'sh', '-euc', look]));
        assert.match(seen[0] ?? '', /^\/mine 0 0\n/);
        assert.equal(seen[0], seen[1]);
      });

      it('serves Buildah', () => {
        const container = ours.buildah('from', '--pull-never', ...LIMITS, IMAGE_NAME).trim();
        const script = 'echo built >/file && rm -r /usr/share/man';
        ours.buildah('run', '--runtime', 'runc', '--network', 'none', container, 'sh', '-euc', script);
        ours.buildah('copy', '-q', container, place.path('context/Dockerfile'), '/root/copied');
        ours.buildah('commit', '-q', '--rm', container, 'by-buildah');
        const look = 'cat /file; test ! -e /usr/share/man; test -s /root/copied';
        assert.equal(runs(ours, ['--rm'], ['by-buildah', 'sh', '-euc', look]), 'built\n');
      });

      if (IS_FULL) {
        it('builds with a compiler from the mirror', () => {
          const options = ['-q', '--network', 'host', '--runtime', 'runc', ...LIMITS];
          ours.podman('build', ...options, '-t', 'compiled', place.path('mirror'));
          assert.equal(runs(ours, ['--rm'], ['compiled']), 'compiled inside\n');
        });
      }

      it('leaves nothing: no container, no image, no layer, no server', () => {
        ours.podman('rm', '-f', 'worked');
        ours.podman('rmi', '-f', 'committed');
        ours.podman('system', 'prune', '-af', '--volumes');
        assert.equal(ours.podman('images', '-aq'), '');
        const layers = readdirSync(join(ours.storage, 'overlay')).filter((name) => !name.startsWith('.'));
        assert.deepEqual(layers, ['l']);
        waitUntil('all servers end', () => ours.processes().length === 0);
      });
    });
  }
});
