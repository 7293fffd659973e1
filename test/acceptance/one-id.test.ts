/**
 * Protects users without subordinate ids end to end: a Debian image is loaded, apt-get installs a compiler and packages
 * that give their files to users of their own, what is compiled runs; committed and saved, root sees the same owners and
 * modes as after the same installation by root.
 *
 * Takes minutes and a Debian mirror: runs with UNIONFS_ACCEPTANCE=full, and always in CI.
 */
import { assert } from 'chai';
import { aptEnvironment } from '../support/acceptance/apt.js';
import { asUser, USER } from '../support/acceptance/as-user.js';
import { missingForFull, missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { debianImage, IMAGE_NAME } from '../support/acceptance/debian-image.js';
import { Tscr } from '../support/container/tscr.js';
import { useScratch } from '../support/image/scratch.js';
import { run } from '../support/run.js';

const SUITE = 'acceptance: one id';
const HALF_HOUR_MS = 1_800_000;
const TOOLS = ['debootstrap', 'buildah', 'apt-config'];

/** man-db and dbus give files away and have set-id bits. */
const INSTALL = `
set -eu
apt-get -q update && apt-get -qy install --no-install-recommends gcc libc6-dev man-db dbus
test -z "$(dpkg --audit)"
echo "int main(void) { return 0; }" > /root/a.c; gcc -o /root/a /root/a.c && /root/a && echo compiled
`;
/** What two installations leave behind in different ways: logs, caches and their backups. */
const LIST = `
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/cache \\
  -o -path /var/log -o -path /var/lib/apt/lists -o -name '*-old' -o -name '*-' \\) -prune \\
  -o -printf '%p %U:%G %m %y\\n' | LC_ALL=C sort
`;

describe(SUITE, function () {
  this.timeout(HALF_HOUR_MS);
  const scratch = useScratch();

  before(function () {
    requireConditions(this, SUITE, [...missingForFull(), ...missingForMounts(TOOLS)]);
  });

  it('apt-get installs, and root sees the owners that an installation by root has', () => {
    const { dockerArchive } = debianImage();
    const variables = Object.entries(aptEnvironment()).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    const home = scratch.fresh('home');
    run('bash', [
      '-euc',
      `chmod 711 ${scratch.path()}; cp ${dockerArchive} ${home}/image.tar; chown -R ${USER} ${home}`,
    ]);
    const printed = asUser(
      `
      export TSCR_ROOT=$HOME/store TSCR_RUN=$HOME/run; mkdir run
      $TSCR load -q -i image.tar > /dev/null
      $TSCR run --userns single --name work ${variables.join(' ')} ${IMAGE_NAME} sh -c '${INSTALL}'
      $TSCR commit work installed > /dev/null; $TSCR save -o installed.tar installed 2> /dev/null
      `,
      home,
      'none',
      { timeoutMs: HALF_HOUR_MS },
    );
    assert.match(printed, /\ncompiled\n$/);

    const tscr = new Tscr(scratch.path('store'), scratch.path('run'));
    for (const archive of [dockerArchive, `${home}/installed.tar`])
      tscr.succeed(['load', '-q', '-i', archive]);
    const list = (...what: string[]): string[] =>
      tscr
        .succeed(['run', '--rm', ...what])
        .trim()
        .split('\n');
    const theirs = list('installed', 'sh', '-c', LIST);
    const byRoot = tscr.run(
      ['run', '--rm', ...variables, IMAGE_NAME, 'sh', '-c', `${INSTALL}\necho ---\n${LIST}`],
      {
        timeoutMs: HALF_HOUR_MS,
      },
    );
    assert.strictEqual(byRoot.status, 0, byRoot.stderr);
    const roots = byRoot.stdout
      .slice(byRoot.stdout.indexOf('\n---\n') + 5)
      .trim()
      .split('\n');
    const difference = {
      theirs: theirs.filter((line) => !roots.includes(line)),
      roots: roots.filter((line) => !theirs.includes(line)),
    };
    assert.deepEqual(difference, { theirs: [], roots: [] });
    assert.include(theirs, '/etc/shadow 0:42 640 f'); // useradd(8) has written it anew
    const given = theirs.filter((line) => !line.includes(' 0:0 '));
    assert.match(given.join('\n'), /^\S*\/dbus-daemon-launch-helper 0:\d+ 4754 f$/m);
  });
});
