/** Protects `unionfs exec`: what the command sees, may and leaves, as an ordinary user without subordinate ids and as root. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { assert } from 'chai';
import { usePlace } from '../support/mount/place.js';
import { Account, endOf, type Host, saying } from '../support/rootless/account.js';
import { run } from '../support/run.js';

const SUITE = 'rootless: unionfs exec';
const TOOLS = ['useradd', 'userdel', 'setpriv'];

describe(SUITE, function () {
  this.timeout(30_000);
  usePlace(SUITE, TOOLS);
  let user: Account;
  /** What a run that was killed has left, of an account that had the same uid. */
  let leftBefore: readonly string[];

  before(() => {
    user = new Account(`unionfs-exec-${process.pid}`, false);
    leftBefore = madeByUser();
  });
  after(() => user?.remove());

  beforeEach(() => {
    const made = user.run([
      'sh',
      '-euc',
      'mkdir lower upper at; echo below >lower/file; echo deep >lower/gone',
    ]);
    assert.equal(made.status, 0, made.stderr);
  });
  afterEach(() => {
    assert.deepEqual(user.processes(), []);
    assert.deepEqual(madeByUser(), leftBefore);
    run('sh', ['-c', `rm -rf ${user.home}/* ${user.home}/.[!.]*`]); // root has been here too
  });

  const isOwn = (name: string): boolean => statSync(`${tmpdir()}/${name}`).uid === user.uid;
  const madeByUser = (): string[] =>
    readdirSync(tmpdir()).filter((name) => name.startsWith('unionfs-') && isOwn(name));
  const words = (script: string, ...options: readonly string[]): string[] => [
    ...['exec', '--lower', 'lower', '--upper', 'upper', ...options, '--', 'sh', '-c', script],
  ];
  const output = (script: string, options: readonly string[] = [], host: Host = {}): string => {
    const { status, stdout, stderr } = user.unionfs(words(script, ...options), host);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    return stdout.trim();
  };
  const HOSTS: readonly [string, Host][] = [
    ['an ordinary user without fusermount3', { without: ['fusermount3', 'newuidmap'] }],
    ['root', { uid: 0 }],
  ];

  for (const [who, host] of HOSTS) {
    it(`${who}: the union is the working directory; changes go to upper, nothing is mounted outside`, () => {
      const seen = output(
        'pwd; echo $UNIONFS_MOUNT; ls; echo more >>file; rm gone; echo new >new',
        [],
        host,
      ).split('\n');
      assert.equal(seen[0], seen[1]);
      assert.deepEqual(seen.slice(2), ['file', 'gone']);
      assert.deepEqual(readdirSync(user.path('upper')).sort(), ['file', 'gone', 'new']);
      assert.equal(readFileSync(user.path('upper/file'), 'latin1'), 'below\nmore\n');
      assert.equal(readFileSync(user.path('lower/file'), 'latin1'), 'below\n');
      assert.equal(output('ls', [], host), 'file\nnew');
    });

    it(`${who}: the union lies at a directory of the caller's choice, who stays where he is`, () => {
      assert.equal(output('pwd; ls at', ['--at', 'at'], host), `${user.home}\nfile\ngone`);
      assert.deepEqual(readdirSync(user.path('at')), []);
    });

    for (const [what, command, status, message] of [
      ["the command's own", ['sh', '-c', 'exit 7'], 7, ''],
      ['127, without a word of ours', ['sh', '-c', 'exit 127'], 127, ''],
      ['128+n for a signal', ['sh', '-c', 'kill -9 $$'], 137, ''],
      ['127 for what is not there', ['nothing-there'], 127, 'unionfs exec: "nothing-there" was not found\n'],
      [
        '126 for what is no program',
        ['/etc/passwd'],
        126,
        'unionfs exec: "/etc/passwd" cannot be executed: permission denied\n',
      ],
    ] as const) {
      it(`${who}: exit codes: ${what}`, () => {
        const seen = user.unionfs(['exec', '--lower', 'lower', '--', ...command], host);
        assert.deepEqual(seen, { status, stdout: '', stderr: message });
      });
    }
  }

  it('125 for what is wrong with the union, and nothing is changed', () => {
    const { status, stderr } = user.unionfs(['exec', '--lower', 'nowhere', '--upper', 'upper', '--', 'true']);
    assert.deepEqual([status, stderr], [125, `unionfs exec: "${user.path('nowhere')}" does not exist\n`]);
    assert.deepEqual(readdirSync(user.home).sort(), ['at', 'lower', 'upper']);
  });

  it('an upper without extended attributes is refused, and nothing is left in it', () => {
    const prepared = 'mkdir /mnt/fs; mount -t ramfs none /mnt/fs; mkdir -m 777 /mnt/fs/d /mnt/fs/d/upper';
    const script =
      '/mnt/project/dist/bin/unionfs exec --lower lower --upper /mnt/fs/d/upper -- true; ls -A /mnt/fs/d';
    const { stdout, stderr } = user.run(['sh', '-c', script], { prepared });
    assert.equal(stdout, 'upper\n');
    assert.match(
      stderr,
      /^unionfs exec: upper "\/mnt\/fs\/d\/upper" is on a filesystem without extended attributes; .*\n$/,
    );
  });

  it('the command has the ids of the caller and no capabilities', () => {
    const seen = output(
      'id -u; id -g; grep -c "^Cap[IPEA].*[^0\\t:]$" /proc/self/status || :; cat /proc/self/uid_map',
    );
    const [uid, gid, capabilities, map = ''] = seen.split('\n');
    assert.deepEqual([uid, gid, capabilities], [String(user.uid), gid, '0']);
    assert.deepEqual(map.trim().split(/\s+/).map(Number), [user.uid, user.uid, 1]);
  });

  it("others' files can be changed if they can be read: the copy is the caller's", () => {
    const script = 'test "$(stat -c %u passwd)" = "$(id -u)" && echo more >>passwd && rm hostname';
    const { status, stderr } = user.unionfs([
      'exec',
      '--lower',
      '/etc',
      '--upper',
      'upper',
      '--',
      'sh',
      '-c',
      script,
    ]);
    assert.deepEqual([status, stderr], [0, '']);
    assert.equal(statSync(user.path('upper/passwd')).uid, user.uid);
  });

  it('a signal goes to the command, and its answer comes back', async () => {
    const child = user.start(
      'unionfs',
      words('trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done'),
    );
    const ended = endOf(child);
    await saying(child, 'ready');
    child.kill('SIGTERM');
    assert.equal(await ended, 9);
  });

  it('what the command leaves behind ends with it', () => {
    assert.equal(output('setsid sleep 60 >/dev/null 2>&1 & sleep 60 >/dev/null 2>&1 & echo done'), 'done');
  });

  it('a server that is killed takes the command along', async () => {
    const child = user.start('unionfs', words('echo ready; exec sleep 60', '--at', 'at'));
    const ended = endOf(child);
    await saying(child, 'ready');
    await setTimeout(300); // the guardian is there
    child.kill('SIGKILL');
    assert.equal(await ended, 'SIGKILL');
    for (let tries = 0; user.processes().length > 0 && tries < 100; tries++) await setTimeout(20);
  });
});
