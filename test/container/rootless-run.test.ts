/**
 * Protects containers of ordinary users: with subordinate ids and with one id, whatever the host lacks, and that
 * nothing of them stays. The image is made of this host's own programs, by the user.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { assert } from 'chai';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';
import { Account, endOf, type Host, saying } from '../support/rootless/account.js';

const SUITE = 'rootless: tscr';
const PROGRAMS = 'sh,ls,cat,true,id,sleep,touch,rm,mkdir,chmod,chown,stat,head';
const TOOLS = ['useradd', 'userdel', 'newuidmap', 'setpriv'];

describe(SUITE, function () {
  this.timeout(60_000);
  const place = usePlace(SUITE, TOOLS);
  const accounts: Record<'ranges' | 'single', Account | undefined> = { ranges: undefined, single: undefined };
  const account = (kind: keyof typeof accounts): Account => accounts[kind] as Account;

  before(() => {
    for (const kind of ['ranges', 'single'] as const) {
      accounts[kind] = new Account(`unionfs-${kind}-${process.pid}`, kind === 'ranges');
      account(kind).succeed(['image', 'from-host', PROGRAMS, '-t', 'host:1']);
    }
  });
  after(() => {
    for (const made of Object.values(accounts)) made?.remove();
  });
  afterEach(async () => {
    for (const made of Object.values(accounts)) {
      for (let tries = 0; (made?.processes().length ?? 0) > 0 && tries < 50; tries++) await setTimeout(20);
      assert.deepEqual(made?.processes(), []);
    }
  });

  const sh = (who: Account, script: string, options: readonly string[] = [], host: Host = {}) =>
    who.tscr(['run', '--rm', ...options, 'host:1', 'sh', '-c', script], host);
  const output = (who: Account, script: string, options: readonly string[] = [], host: Host = {}): string => {
    const { status, stdout, stderr } = sh(who, script, options, host);
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    return stdout.trim();
  };
  const mapped = 'cat /proc/self/uid_map | head -c 1000; true';
  const lines = (text: string): number => text.split('\n').length;

  for (const kind of ['ranges', 'single'] as const) {
    describe(`with ${kind === 'ranges' ? 'subordinate ids' : 'one id'}`, () => {
      it('the user is root inside, and has the ids there are', () => {
        assert.equal(output(account(kind), 'id -u; id -g'), '0\n0');
        assert.equal(lines(output(account(kind), mapped)), kind === 'ranges' ? 2 : 1);
      });

      it('files can be given away, and root sees the same owners in the image that is made of them', () => {
        const who = account(kind);
        const work =
          'mkdir /d && touch /d/f && chown 5:6 /d/f && chmod 4755 /d/f && chown 7 /d && rm /usr/bin/id';
        who.succeed(['run', '--name', 'work', 'host:1', 'sh', '-c', `${work} && stat -c %u:%g:%a /d/f /d`]);
        who.succeed(['commit', 'work', 'mine:1']);
        who.succeed(['rm', 'work']);
        const seen = who.succeed(['run', '--rm', 'mine:1', 'stat', '-c', '%u:%g:%a', '/d/f', '/d']);
        assert.equal(seen, '5:6:4755\n7:0:755\n');
        who.succeed(['save', '-o', who.path('mine.tar'), 'mine:1']);
        const root = new Tscr(place.path(`store-${kind}`), place.path('run'));
        root.succeed(['load', '-q', '-i', who.path('mine.tar')]);
        const script = 'stat -c %u:%g:%a /d/f /d /; test ! -e /usr/bin/id';
        assert.equal(
          root.succeed(['run', '--rm', 'mine:1', 'sh', '-c', script]),
          '5:6:4755\n7:0:755\n0:0:755\n',
        );
        root.succeed(['rmi', '-f', 'mine:1']);
        who.succeed(['rmi', 'mine:1']);
      });

      for (const [what, command, status] of [
        ["the command's own", ['sh', '-c', 'exit 7'], 7],
        ['128+n for a signal', ['sh', '-c', 'sh -c "kill -9 \\$\\$"'], 137],
        ['126 for what is no program', ['/etc'], 126],
        ['127 for what is not there', ['nothing'], 127],
      ] as const) {
        it(`exit codes: ${what}`, () => {
          assert.equal(account(kind).tscr(['run', '--rm', 'host:1', ...command]).status, status);
        });
      }

      it('keep-id: the own ids, home directory and working directory', () => {
        const who = account(kind);
        const options = ['--userns', 'keep-id', '-v', `${who.home}:${who.home}`, '-w', who.home];
        const seen = output(who, 'id -u; pwd; echo $HOME; echo made >kept; stat -c %u kept /usr', options);
        const root = kind === 'ranges' ? 0 : who.uid;
        assert.equal(seen, [who.uid, who.home, who.home, who.uid, root].join('\n'));
        assert.equal(statSync(who.path('kept')).uid, who.uid);
      });

      it('keep-id: the user has a name and a group inside, which are in no layer', () => {
        const who = account(kind);
        const options = ['--userns', 'keep-id', '-w', '/usr'];
        const names =
          'id -un; id -gn; while IFS=: read name x uid gid y home shell; do test $uid != $(id -u) ||';
        const seen = output(who, `${names} echo $home $shell; done </etc/passwd; echo $HOME`, options);
        assert.equal(seen, [who.name, who.name, '/usr /bin/sh', '/usr'].join('\n'));
        const { stdout, stderr } = sh(who, 'id -u; id -un', [...options, '--passwd=false']);
        assert.deepEqual([stdout, /cannot find name/.test(stderr)], [`${who.uid}\n${who.uid}\n`, true]);
        who.succeed(['run', '--name', 'named', ...options, 'host:1', 'true']);
        assert.equal(who.succeed(['diff', 'named']), '');
        who.succeed(['rm', 'named']);
      });

      it('it has no network but its own with --network none', () => {
        assert.equal(lines(output(account(kind), 'cat /proc/net/dev', ['--network', 'none'])), 3);
      });

      it('a signal goes to the command, and its answer comes back', async () => {
        const script = 'trap "exit 9" TERM; echo ready; while :; do sleep 0.05; done';
        const container = account(kind).start('tscr', ['run', '--rm', 'host:1', 'sh', '-c', script]);
        const ended = endOf(container);
        await saying(container, 'ready');
        container.kill('SIGTERM');
        assert.equal(await ended, 9);
      });

      it('a supervisor that is killed takes everything along; the next command clears up', async () => {
        const who = account(kind);
        const script = 'mkdir /d; chmod 700 /d; touch /d/f; chown 5 /d/f /d; echo ready; sleep 60 & sleep 60';
        const container = who.start('tscr', [
          'run',
          '--rm',
          '--name',
          'victim',
          'host:1',
          'sh',
          '-c',
          script,
        ]);
        const ended = endOf(container);
        await saying(container, 'ready');
        container.kill('SIGKILL');
        assert.equal(await ended, 'SIGKILL');
        for (let tries = 0; who.processes().length > 0 && tries < 100; tries++) await setTimeout(20);
        assert.deepEqual(who.processes(), []);
        assert.notMatch(who.succeed(['ps', '-a']), /victim/);
        assert.deepEqual(readdirSync(who.path('.local/share/tscr/containers')), []);
      });

      it('commit holds a running container still: its copy is of one moment', async () => {
        const who = account(kind);
        const as = kind === 'ranges' ? ['-u', '1000:1000'] : []; // out of reach of a sibling namespace
        const script =
          'head -c 5000000 /dev/zero >/d/m; echo ready; i=0; while :; do i=$((i+1)); echo $i >/d/a; echo $i >/d/z; done';
        who.succeed(['run', '--name', 'open', 'host:1', 'sh', '-c', 'mkdir /d; chmod 777 /d']);
        who.succeed(['commit', 'open', 'open:1']);
        const writer = who.start('tscr', ['run', '--name', 'writer', ...as, 'open:1', 'sh', '-c', script]);
        const ended = endOf(writer);
        await saying(writer, 'ready');
        who.succeed(['commit', 'writer', 'copy:1']);
        const [a = '', z] = who.succeed(['run', '--rm', 'copy:1', 'cat', '/d/a', '/d/z']).split('\n');
        const isEmptied = a === '' || z === ''; // just about to be written
        assert.isTrue(isEmptied || Number(a) - Number(z) === 0 || Number(a) - Number(z) === 1, `${a} ${z}`);
        const [pid = ''] = who.succeed(['top', 'writer']).split('\n')[1]?.split(/\s+/) ?? [];
        assert.notMatch(readFileSync(`/proc/${pid}/stat`, 'latin1'), /\) T/);
        who.succeed(['rm', '-f', 'writer', 'open']);
        await ended;
        who.succeed(['rmi', 'copy:1', 'open:1']);
      });

      it('rm -f ends a container of another user inside', async () => {
        const who = account(kind);
        const as = kind === 'ranges' ? ['-u', '1000:1000'] : [];
        const script = 'echo ready; sleep 60';
        const container = who.start('tscr', ['run', '--name', 'busy', ...as, 'host:1', 'sh', '-c', script]);
        const ended = endOf(container);
        await saying(container, 'ready');
        assert.match(who.succeed(['top', 'busy']), /^PID.*\n[^k]*sleep 60\n$/);
        who.succeed(['rm', '-f', 'busy']);
        assert.include([137, 'SIGKILL'], await ended);
        assert.notMatch(who.succeed(['ps', '-a']), /busy/);
      });
    });
  }

  it('with a kept id, owners are those of the image, and what is written is committed with those that were seen', () => {
    const who = account('ranges');
    const [uid] = [who.uid];
    const work = `touch /own /five /root; chown ${uid}:5 /own; chown 5:${uid + 1} /five; stat -c %u:%g /own /five /root /usr`;
    const owners = `${uid}:5\n5:${uid + 1}\n0:0\n0:0\n`;
    const options = ['--userns', 'keep-id', '-u', '0:0'];
    assert.equal(who.succeed(['run', '--name', 'kept', ...options, 'host:1', 'sh', '-c', work]), owners);
    who.succeed(['commit', 'kept', 'kept:1']);
    assert.equal(
      who.succeed(['run', '--rm', 'kept:1', 'stat', '-c', '%u:%g', '/own', '/five', '/root', '/usr']),
      owners,
    );
    who.succeed(['rm', 'kept']);
    const { stderr } = sh(who, 'true', ['--userns', 'keep-id', '--storage-driver', 'copy']);
    assert.equal(
      stderr,
      'tscr run: conflicting options: --userns "keep-id" is not possible with the storage driver "copy"\n',
    );
  });

  describe('drivers', () => {
    for (const driver of ['unionfs', 'overlay', 'copy']) {
      it(`${driver}: what is deleted is gone, what is made is there`, () => {
        const script = 'rm /usr/bin/id; touch /made; ls /made; test ! -e /usr/bin/id';
        assert.equal(output(account('ranges'), script, ['--storage-driver', driver]), '/made');
      });
    }

    it('without /dev/fuse the root is a copy, and that is said', () => {
      const { status, stdout, stderr } = sh(account('single'), 'touch /made; ls /made', [], {
        refusesFuse: true,
      });
      assert.deepEqual([status, stdout], [0, '/made\n']);
      assert.equal(
        stderr,
        `tscr run: /dev/fuse is not readable and writable by uid ${account('single').uid} (as root, run "chmod 666 /dev/fuse"), ` +
          'so the root is a full copy of the image\n',
      );
    });
  });

  describe('stores', () => {
    const TSCR = '/mnt/project/dist/bin/tscr';
    const SCRIPT = `${TSCR} image from-host ${PROGRAMS} -t host:1 >/dev/null; exec ${TSCR} run --rm`;
    const STORES: readonly [string, string, string, RegExp][] = [
      [
        'without extended attributes holds copies, and that is said',
        'ramfs',
        'host:1 true',
        /^tscr run: "\/mnt\/fs\/store" is on a filesystem without extended attributes \(.*--root\), so the root is a full copy of the image\n$/,
      ],
      ['mounted noexec is no hindrance', 'tmpfs -o noexec', 'host:1 true', /^$/],
      [
        'mounted noexec cannot hold a copy, and that is said',
        'tmpfs -o noexec',
        '--storage-driver copy host:1 true',
        /^tscr run: "\/mnt\/fs\/store\/.*" is on a filesystem that is mounted noexec, .*--root\n$/,
      ],
    ];
    for (const [what, type, words, message] of STORES) {
      it(`one ${what}`, () => {
        const prepared = `mkdir /mnt/fs; mount -t ${type} none /mnt/fs; chmod 777 /mnt/fs`;
        const host: Host = { prepared, env: { TSCR_ROOT: '/mnt/fs/store' } };
        const { status, stderr } = account('single').run(['sh', '-euc', `${SCRIPT} ${words}`], host);
        assert.match(stderr, message);
        assert.equal(status, what.includes('cannot') ? 125 : 0);
      });
    }
  });

  describe('rootless modes', () => {
    const ONE_ID: readonly [string, Host][] = [
      ['newuidmap is not there', { without: ['newuidmap'] }],
      ['newgidmap is not there', { without: ['newgidmap'] }],
      [
        'newuidmap has no privilege',
        {
          prepared: `cp "$(command -v newuidmap)" /mnt/plain; chmod 755 /mnt/plain
            mount --bind /mnt/plain "$(command -v newuidmap)"`,
        },
      ],
      ['there are no new privileges', { setpriv: ['--no-new-privs'] }],
      ['the user has no ids in /etc/subgid', { prepared: 'mount --bind /dev/null /etc/subgid' }],
    ];
    for (const [what, host] of ONE_ID) {
      it(`one id where ${what}`, () => {
        assert.equal(lines(output(account('ranges'), mapped, [], host)), 1);
      });
    }

    it('one id where the mapping is refused, and that is said', () => {
      const refuses = `printf '#!/bin/sh\\necho newgidmap: refused >&2; exit 1\\n' >/mnt/refuses; chmod 4755 /mnt/refuses
        mount --bind /mnt/refuses "$(command -v newgidmap)"`;
      const { status, stdout, stderr } = sh(account('ranges'), mapped, [], { prepared: refuses });
      assert.deepEqual([status, lines(stdout.trim())], [0, 1]);
      assert.equal(
        stderr,
        'tscr run: cannot map subordinate ids, continuing with your own id alone: newgidmap: refused\n',
      );
    });

    describe('subordinate ids of another source than files', () => {
      /** nsswitch.conf names one; newuidmap knows no module for it, and accepts what the files have. */
      const NAMED = `cp /etc/nsswitch.conf /mnt/nsswitch.conf; echo 'subid: test' >>/mnt/nsswitch.conf
        mount --bind /mnt/nsswitch.conf /etc/nsswitch.conf`;
      const sourced = (getsubids: string): Host => ({
        prepared: `${NAMED}
          printf '%s\n' '#!/bin/sh' '${getsubids}' >/mnt/getsubids; chmod 755 /mnt/getsubids
          mount --bind /mnt/getsubids "$(command -v getsubids)"`,
      });

      it('what getsubids lists is mapped', () => {
        const who = account('ranges');
        const say = `test "$1" = -g && shift; test "$1" = ${who.name} && echo "0: $1 ${700_000_000 + who.uid * 100_000} 1000"`;
        const words = output(who, mapped, [], sourced(say)).split(/\s+/);
        assert.deepEqual(words.slice(-1), ['1000']);
      });

      it('none is listed: one id', () => {
        assert.equal(lines(output(account('ranges'), mapped, [], sourced('exit 1'))), 1);
      });

      it('getsubids is not there: one id, and that is said', () => {
        const host = { prepared: NAMED, without: ['getsubids'] };
        const { status, stdout, stderr } = sh(account('ranges'), mapped, [], host);
        assert.deepEqual([status, lines(stdout.trim())], [0, 1]);
        assert.match(
          stderr,
          /^tscr run: nsswitch.conf has "subid: test", .* \(as root, run ".*"\), so your id is the only one .*\n$/,
        );
      });
    });

    it('one id where the user asks for it', () => {
      assert.equal(lines(output(account('ranges'), mapped, ['--userns', 'single'])), 1);
    });

    const FORBIDDEN = `echo 0 >/mnt/zero; mount --bind /mnt/zero /proc/sys/user/max_user_namespaces
      mount --bind /bin/false "$(command -v unshare)"`;
    const REFUSALS: readonly [string, Host, readonly string[], RegExp][] = [
      [
        'unshare(1) is not there',
        { without: ['unshare'] },
        [],
        /^tscr run: uid \d+ may not create user namespaces: unshare\(1\) is not installed; as root, run ".* install .*util-linux"\n$/,
      ],
      [
        'user namespaces are forbidden',
        { prepared: FORBIDDEN },
        [],
        /^tscr run: uid \d+ may not create user namespaces: user.max_user_namespaces is 0; as root, run "sysctl -w .*=65536"\n$/,
      ],
      ['none is wanted', {}, ['--userns', 'host'], /^tscr run: uid \d+ may not .* run as root\n$/],
      [
        'the user inside has no id',
        {},
        ['-u', '1000'],
        /^tscr run: user 1000:0 does not exist in this user namespace; it has only 0; use that with --user, or run "tscr doctor"\n$/,
      ],
      [
        'nobody is at home',
        { uid: 4_242_424, env: { HOME: '' } },
        [],
        /^tscr run: uid 4242424 has no home directory; .*TSCR_ROOT\n$/,
      ],
    ];
    for (const [what, host, options, message] of REFUSALS) {
      it(`a refusal with the fix where ${what}`, () => {
        const { status, stderr } = sh(account('single'), 'true', options, host);
        assert.equal(status, 125);
        assert.match(stderr, message);
      });
    }

    const MORE: readonly [string, Host, readonly string[], RegExp][] = [
      [
        'the null device covers /dev/fuse',
        { prepared: 'mount --bind /dev/null /dev/fuse' },
        ['run', '--storage-driver', 'unionfs', 'host:1', 'true'],
        /^tscr run: \/dev\/fuse exists, but the kernel has no FUSE driver; .* run "tscr doctor"\n$/,
      ],
      [
        'the store is read-only',
        { prepared: 'mkdir /mnt/ro; mount -t tmpfs -o ro none /mnt/ro' },
        ['--root', '/mnt/ro/store', 'image', 'from-host', 'true'],
        /^tscr image from-host: cannot write to the store "\/mnt\/ro\/store": EROFS; choose .* or run "tscr doctor"\n$/,
      ],
      [
        'the store is read-only, of a container',
        { prepared: 'mkdir /mnt/ro; mount -t tmpfs -o ro none /mnt/ro' },
        ['--root', '/mnt/ro', 'run', 'host:1', 'true'],
        /^tscr run: cannot write to the store "\/mnt\/ro": EROFS; choose .* or run "tscr doctor"\n$/,
      ],
      [
        'an archive may not be read',
        {},
        ['load', '-qi', '/etc/shadow'],
        /^tscr load: cannot read "\/etc\/shadow": EACCES\n$/,
      ],
      [
        'a volume may not be made',
        {},
        ['run', '-v', '/absent:/x', 'host:1', 'true'],
        /^tscr run: volume "\/absent:\/x": "\/absent" does not exist and cannot be created: EACCES\n$/,
      ],
      [
        'a volume may not be seen',
        { prepared: 'mkdir -m 700 /mnt/private' },
        ['run', '-v', '/mnt/private/x:/x', 'host:1', 'true'],
        /^tscr run: volume "\/mnt\/private\/x:\/x": "\/mnt\/private\/x" cannot be read: EACCES\n$/,
      ],
    ];
    for (const [what, host, args, message] of MORE) {
      it(`one line with the value where ${what}`, () => {
        const { status, stderr } = account('single').tscr(args, host);
        assert.equal(status, 125);
        assert.match(stderr, message);
      });
    }

    it('images need no namespace where they touch no layer', () => {
      const who = account('ranges');
      const host: Host = { without: ['unshare', 'newuidmap'], refusesFuse: true };
      who.succeed(['tag', 'host:1', 'host:2'], host);
      assert.match(who.succeed(['images'], host), /host +2/);
      assert.match(who.succeed(['history', 'host:2'], host), /from-host/);
      assert.lengthOf(JSON.parse(who.succeed(['inspect', 'host:2'], host)), 1);
      who.succeed(['save', '-o', who.path('saved.tar'), 'host:2'], host);
      who.succeed(['info'], host);
      who.succeed(['rmi', 'host:2']);
    });
  });

  describe('who the user is', () => {
    it('an unknown uid works where it may write', () => {
      const host: Host = {
        uid: 4_242_425,
        env: { HOME: '', TSCR_ROOT: '/mnt/store' },
        cwd: '/',
        prepared: 'mkdir -m 777 /mnt/store',
      };
      const script = `/mnt/project/dist/bin/tscr image from-host ${PROGRAMS} -t host:1 >/dev/null
        /mnt/project/dist/bin/tscr run --rm host:1 id -u`;
      const { status, stdout, stderr } = account('single').run(['sh', '-euc', script], host);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '0\n', stderr: '' });
    });

    it("another's XDG_RUNTIME_DIR, as su(1) leaves it, is not used", () => {
      output(account('single'), 'true', [], { env: { XDG_RUNTIME_DIR: '/run' } });
      assert.isFalse(existsSync('/run/tscr/x'));
    });

    it('root has one id as well if it wants', () => {
      const root = new Tscr(place.path('store-root'), place.path('run'));
      root.succeed(['image', 'from-host', PROGRAMS, '-t', 'host:1']);
      assert.equal(
        root.succeed(['run', '--rm', '--userns', 'single', 'host:1', 'sh', '-c', mapped]).trim(),
        '0          0          1',
      );
      const { stderr } = root.run(['run', '--userns', 'keep-id', 'host:1', 'true']);
      assert.equal(stderr, 'tscr run: --userns "keep-id" is for ordinary users only\n');
    });
  });

  describe('in the end', () => {
    it('with the images gone, nothing is left of the layers', () => {
      for (const kind of ['ranges', 'single'] as const) {
        const who = account(kind);
        who.succeed(['system', 'prune', '-af']);
        assert.deepEqual(readdirSync(who.path('.local/share/tscr/layers')), []);
        assert.notInclude(readFileSync('/proc/self/mounts', 'latin1'), who.home);
      }
    });
  });
});
