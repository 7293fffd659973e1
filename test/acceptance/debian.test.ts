/**
 * Protects what the union is for: an image's root as lower layer, and real programs that install, build,
 * clone, commit and delete in a chroot on the mount, each checking its own result. Afterwards the image is
 * unchanged, and kernel overlayfs shows the same tree on the same layers.
 *
 * Takes minutes and a Debian mirror: runs with UNIONFS_ACCEPTANCE=full, and always in CI.
 */
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { assert } from 'chai';
import { aptEnvironment, aptSettings } from '../support/acceptance/apt.js';
import { type ChrootOptions, runInRoot, type SystemMount } from '../support/acceptance/chroot.js';
import { missingForFull, missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { gitRepository, tarballOf } from '../support/acceptance/fixtures.js';
import { type Layers, mountUnion, umountUnion, withKernel } from '../support/acceptance/mount.js';
import { DEBIAN_ROOT, debianRoot } from '../support/acceptance/roots.js';
import { assertLowerUnchanged, assertSameTree, Stage } from '../support/acceptance/stage.js';
import { describeTree, type Tree } from '../support/acceptance/tree.js';
import { run } from '../support/run.js';

const SUITE = 'acceptance: a Debian root';
const HOUR_MS = 3_600_000;
const STEP_TIMEOUT_MS = 900_000;
const SYSTEM_MOUNTS: readonly SystemMount[] = ['proc', 'dev'];
const HOST_TOOLS = ['debootstrap', 'apt-get', 'apt-config', 'git', 'tar'];

/**
 * One package of data files with a diversion, one of Python files that are compiled when configured, and the
 * headers that the build needs: gcc only recommends them, so debootstrap leaves them out.
 */
const PACKAGES = ['vim-runtime', 'python3-pip', 'libc6-dev'];
/** Programs that the lower already has: dpkg links and renames over lower files, perl is two hard links. */
const REINSTALLED = ['perl-base', 'make', 'sqlite3'];
/** Programs to build: GNU hello has the long configure script of every GNU program, mawk the better tests. */
const PROGRAMS = [
  { name: 'hello', test: './hello', prints: 'Hello, world!\n' },
  { name: 'mawk', test: "./mawk 'BEGIN { print 6 * 7 }'", prints: '42\n' },
];
const MANY_FILES = 300;
const MANY_COMMITS = 300;
const SQLITE_COMMITS = 10_000;

describe(SUITE, function () {
  this.timeout(HOUR_MS);
  let stage: Stage | undefined;
  let layers: Layers;
  let lower: string;
  let lowerTree: Tree;
  let mounted = false;

  const inRoot = (script: string, options: ChrootOptions = {}) =>
    runInRoot(layers.mountpoint, script, { mounts: SYSTEM_MOUNTS, timeoutMs: STEP_TIMEOUT_MS, ...options });

  const mountIt = () => {
    mountUnion(layers);
    mounted = true;
  };

  const umountIt = () => {
    umountUnion(layers.mountpoint);
    mounted = false;
  };

  /** Compares the mounted union with kernel overlayfs on the same layers, and mounts it again. */
  const assertKernelAgrees = () => {
    const ours = describeTree(layers.mountpoint);
    umountIt();
    try {
      assertSameTree(ours, withKernel(layers, describeTree), 'our mount and kernel overlayfs');
    } finally {
      mountIt();
    }
  };

  before(function () {
    const reasons = missingForMounts(HOST_TOOLS);
    requireConditions(this, SUITE, [...missingForFull(), ...reasons]);
    lower = debianRoot();
    gitRepository();
    lowerTree = describeTree(lower);
    stage = new Stage();
    layers = stage.layers('debian', [lower]);
    mountIt();
  });

  after(() => {
    try {
      if (mounted) umountIt();
    } finally {
      stage?.close();
    }
  });

  it('installs packages with hundreds of files', () => {
    configureApt(layers.mountpoint);
    const env = aptEnvironment();
    inRoot(`apt-get -q update && apt-get -qy install --no-install-recommends ${PACKAGES.join(' ')}`, { env });
    assertInstalled(inRoot, PACKAGES);
  });

  it('reinstalls packages of the lower layer', () => {
    const command = `apt-get -qy install --reinstall ${REINSTALLED.join(' ')}`;
    const output = inRoot(command, { env: aptEnvironment() });
    // apt succeeds without doing anything for a version that the mirror no longer has
    for (const name of REINSTALLED) assert.match(output, new RegExp(`^Unpacking ${name}[ :]`, 'm'));
    assertInstalled(inRoot, REINSTALLED);
  });

  it('clones a git repository with a clean status', () => {
    run('cp', ['-a', gitRepository(), join(layers.mountpoint, 'root/repository.git')]);
    inRoot('git clone --quiet /root/repository.git /root/clone');
    assert.strictEqual(inRoot('cd /root/clone && git status --porcelain --ignored'), '');
    inRoot('git -C /root/clone fsck --strict --full');
    assert.isAbove(Number(inRoot('git -C /root/clone rev-list --count HEAD')), MANY_COMMITS);
    assert.isAbove(Number(inRoot('git -C /root/clone ls-files | wc -l')), MANY_FILES);
  });

  for (const { name, test, prints } of PROGRAMS) {
    it(`configures, makes and checks ${name}`, () => {
      const tarball = tarballOf(name);
      copyFileSync(tarball, join(layers.mountpoint, 'root', basename(tarball)));
      inRoot(
        `cd /root && tar -xzf ${basename(tarball)} && cd ${name}-* && ./configure && make && make check`,
      );
      assert.strictEqual(inRoot(`cd /root/${name}-* && ${test}`), prints);
    });
  }

  it(`makes ${SQLITE_COMMITS} SQLite commits`, () => {
    const statement = 'INSERT INTO t VALUES (&, hex(randomblob(40)));';
    const statements = `(echo 'CREATE TABLE t (id INTEGER PRIMARY KEY, text);'; seq ${SQLITE_COMMITS} | sed 's/.*/${statement}/')`;
    inRoot(`${statements} | sqlite3 -bail /root/test.db`);
    assert.strictEqual(inRoot(`sqlite3 /root/test.db 'PRAGMA integrity_check'`), 'ok\n');
    assert.strictEqual(inRoot(`sqlite3 /root/test.db 'SELECT count(*), sum(id) FROM t'`), sqliteSummary());
  });

  it('shows what kernel overlayfs shows on the same layers', () => assertKernelAgrees());

  it('removes /usr/share', () => {
    assert.isAbove(describeTree(join(layers.mountpoint, 'usr/share')).size, MANY_FILES);
    inRoot('rm -rf /usr/share');
    assert.isFalse(existsSync(join(layers.mountpoint, 'usr/share')));
    assert.notInclude(inRoot('ls /usr').split('\n'), 'share');
  });

  it('still shows what kernel overlayfs shows', () => assertKernelAgrees());

  it('leaves the lower layer unchanged', () => assertLowerUnchanged(DEBIAN_ROOT, lower, lowerTree));
});

/** dpkg has the packages configured, finds all their files, and each has its checksum. */
function assertInstalled(inRoot: (script: string) => string, names: readonly string[]): void {
  const list = names.join(' ');
  const files = inRoot(`dpkg-query -L ${list} | sort -u`).trimEnd().split('\n').length;
  console.log(`      ${files} files and directories in ${list}`);
  assert.isAbove(files, MANY_FILES);
  assert.strictEqual(inRoot('dpkg --audit'), '', 'half-installed packages');
  assert.strictEqual(inRoot(`dpkg --verify ${list}`), '', 'files that are not as packaged');
}

/** Gives the chroot what the host needs to reach the mirror: names, proxies, how strict to be about dates. */
function configureApt(root: string): void {
  copyFileSync('/etc/resolv.conf', join(root, 'etc/resolv.conf'));
  writeFileSync(join(root, 'etc/apt/apt.conf.d/90acceptance'), aptSettings());
}

function sqliteSummary(): string {
  const sum = (SQLITE_COMMITS * (SQLITE_COMMITS + 1)) / 2;
  return `${SQLITE_COMMITS}|${sum}\n`;
}
