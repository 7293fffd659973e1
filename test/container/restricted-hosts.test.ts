/**
 * Protects the promise of "tscr doctor" on hosts that allow little: where it is green, a container runs; where it is not,
 * `tscr run` is refused in one line. Neither ever waits without end.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { missingForMounts, requireConditions } from '../support/acceptance/conditions.js';
import { PACKAGE } from '../support/container/tscr.js';

const SUITE = 'doctor: restricted hosts';
const TIMEOUT_MS = 60_000;
const USER = 4343;
const AS_USER = [
  ...['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'],
  ...['env', '-u', 'XDG_RUNTIME_DIR', 'HOME=/'],
];
const BWRAP = ['bwrap', '--bind', '/', '/', '--proc', '/proc', '--unshare-all'];
/** What Podman leaves root beside CAP_SYS_ADMIN: not all that Docker gives. */
const BOUNDED =
  'chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,sys_chroot,setfcap,sys_admin';

/** A classic BPF program that refuses one system call with EPERM (seccomp(2)). */
function refusing(call: number): Buffer {
  const instructions: readonly (readonly [code: number, yes: number, no: number, value: number])[] = [
    [0x20, 0, 0, 0], // the call's number
    [0x15, 0, 1, call],
    [0x06, 0, 0, 0x00050001], // SECCOMP_RET_ERRNO, EPERM
    [0x06, 0, 0, 0x7fff0000], // SECCOMP_RET_ALLOW
  ];
  return Buffer.concat(
    instructions.map(([code, yes, no, value]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeUInt16LE(code, 0);
      bytes.writeUInt8(yes, 2);
      bytes.writeUInt8(no, 3);
      bytes.writeUInt32LE(value, 4);
      return bytes;
    }),
  );
}

const SETHOSTNAME = process.arch === 'arm64' ? 161 : 170;

interface Restricted {
  readonly what: string;
  /** Before the command. */
  readonly within: readonly string[];
  /** Whether a container runs; else what `run` says. */
  readonly works: true | RegExp;
}

/** DIRECTORY is the test's own. */
const HOSTS: readonly Restricted[] = [
  { what: 'nothing is restricted', within: [], works: true },
  { what: 'root of a user namespace with one id', within: ['unshare', '-Ur'], works: true },
  { what: 'the same with mounts of its own', within: ['unshare', '-Urm'], works: true },
  {
    what: 'the same with a pid namespace, and the /proc of another',
    within: ['unshare', '-Urmpf'],
    works: /^tscr run: \/proc belongs to another pid namespace; as root, run "mount -t proc proc \/proc"$/,
  },
  { what: 'the same with a /proc of its own', within: ['unshare', '-Urmpf', '--mount-proc'], works: true },
  { what: 'bubblewrap around a user', within: [...AS_USER, ...BWRAP, '--dev', '/dev'], works: true },
  {
    what: 'bubblewrap around root, which covers parts of /proc',
    within: [...BWRAP, '--dev', '/dev'],
    works: /^tscr run: .*the outer container masks parts of \/proc/,
  },
  {
    what: 'a filter that refuses sethostname(2)',
    within: [
      'sh',
      '-c',
      'exec "$@" 9<"DIRECTORY/refused.bpf"',
      'sh',
      ...AS_USER,
      ...BWRAP,
      '--dev',
      '/dev',
      '--seccomp',
      '9',
    ],
    works: true,
  },
  {
    what: 'few capabilities',
    within: ['setpriv', `--bounding-set=-all,+${BOUNDED.replaceAll(',', ',+')}`],
    works: true,
  },
  {
    what: 'no capabilities',
    within: ['setpriv', '--bounding-set=-all', '--inh-caps=-all'],
    works: /^tscr run: .*EPERM/,
  },
  { what: 'a TMPDIR that does not exist', within: ['env', 'TMPDIR=/nonexistent'], works: true },
  {
    what: 'twenty open files',
    within: ['sh', '-c', 'ulimit -n 20; exec "$@"', 'sh'],
    works: /^tscr run: the limit of open files is 20, and at least \d+ are needed; run "ulimit -n 1024"$/,
  },
  {
    what: 'no /dev/fuse',
    within: ['unshare', '-m', 'sh', '-c', 'mount --bind /dev/null /dev/fuse; exec "$@"', 'sh'],
    works: true,
  },
];

describe(SUITE, function () {
  this.timeout(2 * TIMEOUT_MS);
  let directory: string;

  before(function () {
    requireConditions(this, SUITE, missingForMounts(['bwrap', 'setpriv', 'unshare']));
    directory = mkdtempSync(join(tmpdir(), 'tscr-restricted-'));
    chmodSync(directory, 0o755);
    mkdirSync(join(directory, 'program'));
    writeFileSync(join(directory, 'refused.bpf'), refusing(SETHOSTNAME), { mode: 0o644 });
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  /** Runs a script on the host, as its user sees the program. */
  function on({ within }: Restricted, name: string, script: string) {
    const words = within.map((word) => word.replace('DIRECTORY', directory));
    const { status, stdout, stderr, error } = spawnSync(
      'unshare',
      [
        '-m',
        'sh',
        '-euc',
        'mount --bind "$1" "$2"; shift 2; exec "$@"',
        'sh',
        PACKAGE,
        join(directory, 'program'),
        ...words,
        'sh',
        '-c',
        script,
      ],
      {
        encoding: 'utf8',
        timeout: TIMEOUT_MS,
        killSignal: 'SIGKILL',
        env: {
          ...process.env,
          tscr: join(directory, 'program/dist/bin/tscr'),
          unionfs: join(directory, 'program/dist/bin/unionfs'),
          TSCR_ROOT: join(directory, name, 'store'),
          TSCR_RUN: join(directory, name, 'run'),
        },
      },
    );
    assert.isUndefined(error, `it ends in ${TIMEOUT_MS} ms`);
    return { status, stdout, stderr };
  }

  for (const [at, host] of HOSTS.entries()) {
    it(host.what, () => {
      const name = `host${at}`;
      mkdirSync(join(directory, name));
      chmodSync(join(directory, name), 0o777);
      const doctor = on(host, name, '"$tscr" doctor');
      const run = on(
        host,
        name,
        '"$tscr" image from-host cat -t host:1 >/dev/null; "$tscr" run --rm host:1 cat /etc/hostname >/dev/null',
      );
      if (host.works === true) {
        assert.deepEqual([doctor.status, run.status], [0, 0], `${doctor.stdout}${run.stderr}`);
      } else {
        assert.notEqual(doctor.status, 0, doctor.stdout);
        assert.equal(run.status, 125, run.stderr);
        assert.match(run.stderr.trimEnd().split('\n').at(-1) ?? '', host.works);
      }
    });
  }

  it('unionfs exec without a usable TMPDIR takes another directory', () => {
    const host = { what: '', within: ['env', 'TMPDIR=/nonexistent'], works: true } as const;
    mkdirSync(join(directory, 'exec'));
    assert.equal(on(host, 'exec', '"$unionfs" exec --lower /etc -- test -e hostname').status, 0);
  });
});
