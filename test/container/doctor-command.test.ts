/**
 * Protects `tscr doctor` on a real machine: what it says to root; and that its fixes mend, word for word, what a user
 * lacks.
 *
 * Rule: what is broken are copies, in a mount namespace that ends with the test.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import type { Report } from '../../runtime/doctor/examine.js';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../bin/tscr', import.meta.url));
const TIMEOUT_MS = 60_000;
const USER = 4242;

/** Breaks copies of what users need; asks the doctor, does what it says to root, asks again. */
const BREAK_AND_MEND = `
mkdir etc program
cp -a /etc/. etc
echo "ann:x:${USER}:${USER}::$PWD/home:/bin/sh" >> etc/passwd
mount --bind etc /etc
mknod -m 600 fuse c 10 229
mount --bind fuse /dev/fuse
for name in newuidmap newgidmap fusermount3; do
  path=$(command -v $name)
  cp $path $name && chmod 755 $name
  mount --bind $name $path
done
mount --bind "$REPOSITORY" program
user() {
  (cd / && env -i PATH="$PATH" HOME="$OLDPWD/home" TSCR_ROOT="$OLDPWD/home/$STORE" \\
    setpriv --reuid ${USER} --regid ${USER} --clear-groups "$OLDPWD/program/$PROGRAM" "$@")
}
run() { # shows the ids that a container has
  user image from-host --tag cat cat > /dev/null
  user run --rm cat cat /proc/self/uid_map 2> $STORE.warning | wc -l
}
STORE=before
user doctor --json > before.json
run > before.ids
"$NODE" -e '
  const { findings } = JSON.parse(require("fs").readFileSync("before.json", "utf8"));
  const fixes = findings.filter(({ status, fix }) => status === "missing" && fix.asRoot);
  console.log(fixes.map(({ fix }) => fix.command).join("\\n"));
' > fixes.sh
sh -e fixes.sh
STORE=after
user doctor --json > after.json
user doctor > after.txt
run > after.ids
`;

interface Asked {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function asRoot(args: readonly string[], store: string, variables: NodeJS.ProcessEnv = {}): Asked {
  const env = { ...process.env, TSCR_ROOT: store, ...variables };
  const options = { env, encoding: 'utf8', timeout: TIMEOUT_MS } as const;
  return spawnSync(PROGRAM, ['doctor', ...args], options);
}

const missingIn = ({ findings }: Report): string[] =>
  findings.filter(({ status }) => status === 'missing').map(({ id }) => id);
const waysIn = ({ modes }: Report): string[] => modes.map(({ mode }) => mode);

describe('tscr doctor', () => {
  let directory: string;
  before(() => {
    directory = realpathSync(mkdtempSync(join(tmpdir(), 'tscr-doctor-test-')));
    chmodSync(directory, 0o755);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('tells root that containers will run, and leaves no trace', () => {
    const store = join(directory, 'not', 'made', 'yet');
    const { status, stdout, stderr } = asRoot(['--json'], store);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    const report = JSON.parse(stdout) as Report;
    assert.isTrue(report.ready);
    assert.deepEqual(waysIn(report), ['root', 'root', 'mount', 'mount']);
    assert.isEmpty(readdirSync(directory));
    assert.notInclude(readFileSync('/proc/self/mounts', 'utf8'), 'tscr-doctor');
  });

  it('prints a line for each finding, aligned, and a line for each command', () => {
    const { stdout } = asRoot([], directory);
    assert.match(stdout, /^ok {7}kernel\.release {2,}Linux \d/m);
    assert.match(stdout, /^ok {7}fuse\.features {2,}FUSE 7\.\d/m);
    assert.match(stdout, /^COMMAND +MODE\ntscr run +as root, on unionfs$/m);
  });

  it('mounts for a trial where programs may lie, and finds them', () => {
    const path = `${directory}:${process.env['PATH']}`; // below /tmp
    const { status } = asRoot([], join(directory, 'store'), { PATH: path });
    assert.equal(status, 0);
  });

  it('names the fixes of what a user lacks, and they mend it', () => {
    mkdirSync(join(directory, 'home'));
    chownSync(join(directory, 'home'), USER, USER);
    const env = {
      ...process.env,
      NODE: process.execPath,
      REPOSITORY,
      PROGRAM: PROGRAM.slice(REPOSITORY.length),
    };
    const shell = ['--mount', '--propagation', 'private', 'sh', '-euc', BREAK_AND_MEND];
    const options = { cwd: directory, env, encoding: 'utf8', timeout: TIMEOUT_MS } as const;
    const { status, stderr } = spawnSync('unshare', shell, options);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    const read = (name: string): Report => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Report;

    const lacking = ['fuse.device', 'fusermount.program', 'subids.uids', 'subids.gids'];
    const broken = read('before.json');
    assert.deepEqual(missingIn(broken), [...lacking, 'subids.newuidmap', 'subids.newgidmap']);
    assert.deepEqual(waysIn(broken), ['one-id', 'one-id', 'refused', 'refused']);

    const mended = read('after.json');
    assert.isEmpty(missingIn(mended));
    assert.deepEqual(waysIn(mended), ['ranges', 'ranges', 'fusermount3', 'user-namespace']);
    const text = readFileSync(join(directory, 'after.txt'), 'utf8');
    assert.match(text, /^tscr run +in a user namespace with subordinate ids, on unionfs$/m);

    // What was foretold is what happens.
    const textOf = (name: string): string => readFileSync(join(directory, name), 'utf8');
    assert.deepEqual([broken.modes[0]?.storage, mended.modes[0]?.storage], ['copy', 'unionfs']);
    assert.equal(textOf('before.ids').trim(), '1', 'one id');
    assert.match(textOf('before.warning'), /so the root is a full copy of the image\n$/);
    assert.equal(textOf('after.ids').trim(), '2', 'the own id, and a range');
    assert.equal(textOf('after.warning'), '');
  });
});
