/**
 * Protects that the project can be installed, in each of the three ways, on a machine that has nothing of it: there an
 * ordinary user runs a container and sees a union, root mounts one, and the files that were promised are in place.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { run } from '../support/run.js';
import { freshRoot, inFreshRoot } from './installed-root.js';

const SUITE = 'packaging: an installation on a fresh Debian';
const TIMEOUT_MS = 1_800_000;
const PROJECT = fileURLToPath(new URL('../../..', import.meta.url));
const MACHINE = process.arch;

/** What every installation must be able to do. */
const WORKS = `
as_user '
  tscr image from-host sh,cat -t small:1
  [ "$(tscr run --rm small:1 sh -c "echo ran")" = ran ]
  [ "$(tscr run --rm --userns single small:1 sh -c "echo alone")" = alone ]
  mkdir lower upper merged
  echo lower >lower/file
  [ "$(unionfs exec --lower lower --upper upper -- sh -c "cat file; echo new >file; cat file")" = "$(printf "lower\\nnew")" ]
  [ "$(cat lower/file upper/file)" = "$(printf "lower\\nnew")" ]
  unionfs mount --lower lower --upper upper merged
  [ "$(cat merged/file)" = new ]
  unionfs umount merged
  unionfs-overlay -o lowerdir=lower merged
  [ "$(cat merged/file)" = lower ]
  unionfs umount merged
'
`;
const NO_NODE = '! command -v node';

describe(SUITE, function () {
  this.timeout(TIMEOUT_MS);
  let packages: string;

  before(function () {
    requireConditions(this, SUITE, missingForMounts(['debootstrap', 'dpkg-deb', 'npm']));
    packages = mkdtempSync(join(tmpdir(), 'unionfs-packages-'));
    freshRoot();
  });

  after(() => {
    if (packages !== undefined) rmSync(packages, { recursive: true, force: true });
  });

  /** A directory with what a command makes. */
  function made(name: string, command: string, args: readonly string[]): string {
    const directory = join(packages, name);
    mkdirSync(directory);
    run(command, [...args, directory], { cwd: PROJECT, timeoutMs: TIMEOUT_MS });
    return directory;
  }

  const release = (name: string, ...options: readonly string[]): string =>
    made(name, process.execPath, [
      'dist/scripts/release/main.js',
      '--machine',
      MACHINE,
      ...options,
      '--output',
    ]);

  it('by npm, offline and without scripts: four commands and their pages', () => {
    run(process.execPath, ['dist/scripts/addons.js', '--all'], { cwd: PROJECT });
    const directory = made('npm', 'npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination']);
    const [archive = ''] = readdirSync(directory);
    const addons = run('tar', ['-tzf', join(directory, archive)])
      .split('\n')
      .filter((path) => path.endsWith('.node'))
      .map((path) => path.replace('package/dist/addons/', ''));
    assert.sameMembers(addons, [
      ...['koffi-arm64-glibc.node', 'koffi-arm64-musl.node'],
      ...['koffi-x64-glibc.node', 'koffi-x64-musl.node'],
    ]);
    const npm = join(run('npm', ['root', '-g']).trim(), 'npm');
    const install = `
      export PATH=/opt/bin:$PATH
      node /opt/npm/bin/npm-cli.js install --global --offline --ignore-scripts --prefix /usr/local /mnt/*.tgz
      [ ! -e /usr/local/lib/node_modules/tscr-unionfs/node_modules ]
      for page in man1/tscr.1 man1/unionfs.1 man1/unionfs-overlay.1 man8/mount.fuse.unionfs.8; do
        [ -s /usr/local/share/man/$page ]
      done
      ln -s /usr/local/bin/mount.fuse.unionfs /sbin/
    `;
    inFreshRoot(directory, install + WORKS, { [process.execPath]: 'opt/bin/node', [npm]: 'opt/npm' });
  });

  it('by the tarball, unpacked anywhere, with a Node of its own', () => {
    const directory = release('tarball');
    const [archive = ''] = readdirSync(directory);
    const listed = run('tar', ['-tvzf', join(directory, archive)], { env: { ...process.env, TZ: 'UTC' } });
    const entries = listed
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/\s+/));
    assert.deepEqual([...new Set(entries.map(([, owner]) => owner))], ['0/0'], 'owners');
    assert.equal(new Set(entries.map(([, , , day, time]) => `${day} ${time}`)).size, 1, 'times');
    inFreshRoot(
      directory,
      `${NO_NODE}
      mkdir '/srv/a directory'
      tar -xzf /mnt/*.tar.gz -C '/srv/a directory' --strip-components=1
      cd '/srv/a directory'
      grep -q '^node 2' VERSION
      for file in LICENSE share/man/man1/tscr.1 share/bash-completion/completions/tscr lib/tscr-unionfs/dist/LICENSES/node; do
        [ -s "$file" ]
      done
      export PATH="$PWD/bin:$PATH"
      ${WORKS}`,
    );
  });

  it('by the Debian package, with its AppArmor profile; removed, it leaves nothing', () => {
    const directory = release('deb', '--deb');
    inFreshRoot(
      directory,
      `${NO_NODE}
      profile=/etc/apparmor.d/tscr-unionfs disabled=/etc/apparmor.d/disable/tscr-unionfs
      dpkg --install /mnt/*.deb
      [ -z "$(dpkg --verify tscr-unionfs)" ]
      grep -q "^profile tscr-unionfs $(readlink -f "$(dirname "$(readlink -f /usr/bin/tscr)")/node") " "$profile"
      ${WORKS}
      mkdir /merged
      mount -t fuse.unionfs -o lowerdir=/home/user/upper:/home/user/lower none /merged
      [ "$(cat /merged/file)" = new ]
      unionfs umount /merged

      apparmor_parser --skip-kernel-load --skip-cache "$profile"
      [ ! -L "$disabled" ]
      mkdir /old
      printf '#!/bin/sh\\nexit 1\\n' >/old/apparmor_parser
      chmod 755 /old/apparmor_parser
      PATH=/old:$PATH /var/lib/dpkg/info/tscr-unionfs.postinst configure
      [ "$(readlink -f "$disabled")" = "$profile" ]
      /var/lib/dpkg/info/tscr-unionfs.postinst triggered /etc/apparmor.d/abi
      [ ! -L "$disabled" ]

      dpkg --purge tscr-unionfs
      [ ! -e /usr/lib/tscr-unionfs ] && [ ! -e "$profile" ] && ! command -v tscr`,
    );
  });
});
