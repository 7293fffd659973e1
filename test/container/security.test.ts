/**
 * Protects the isolation of `tscr run`: what a container can reach is no more than with Podman's defaults, and
 * docs/security.md tells it as it is measured, beside runc.
 *
 * Rule: one program asks in each container (`reach.ts`); a yes of ours that is not Podman's fails.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { DEFAULT_CAPABILITIES } from '../../runtime/container/spec/default-spec.js';
import { capabilityMask } from '../../runtime/host/capabilities.js';
import { type Bundle, outcome, runc, useBundles } from '../support/container/bundles.js';
import { REACH } from '../support/container/reach.js';
import { Tscr } from '../support/container/tscr.js';

const DOCUMENT = new URL('../../../docs/security.md', import.meta.url);
const SOCKET = `tscr-security-${process.pid}`;
const PROGRAM = ['/bin/reach', SOCKET];
/** As a container in which the tests run may set them. */
const LIMITS = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];

const COLUMNS = [
  'tscr run',
  'tscr run --network none',
  'podman run --network none',
  'runc spec',
  "runc, Docker's capabilities",
] as const;
type Column = (typeof COLUMNS)[number];
const [OURS, OURS_ALONE, PODMAN, RUNC, RUNC_DOCKER] = COLUMNS;

/** Podman leaves out three of Docker's capabilities; the device rules take the use of CAP_MKNOD away. */
const NOT_PODMANS = ['CAP_MKNOD', 'CAP_NET_RAW', 'CAP_AUDIT_WRITE'];
const MORE_THAN_PODMAN = ['call:socket (raw)'];

type Answers = ReadonlyMap<string, string>;

const HEADINGS: Readonly<Record<string, string>> = {
  status: '/proc/self/status',
  namespace: "the host's namespace",
  device: 'opens',
  made: 'made by mknod(2), opens',
  call: 'system call',
  read: 'reads',
  write: 'writes',
  network: 'connects to',
};

/** A namespace that is the host's is a thing that is reached. */
function answersOf(stdout: string): Answers {
  return new Map(
    stdout
      .trim()
      .split('\n')
      .map((line): [string, string] => {
        const [, key = '', value = ''] = /^(\w+:[^\t]*?):?\t(.*)$/.exec(line) ?? assert.fail(line);
        const [kind, name] = key.split(':');
        if (kind !== 'namespace') return [key, value];
        return [key, readlinkSync(`/proc/self/ns/${name}`) === value ? 'yes' : 'no'];
      }),
  );
}

/** Markdown, columns padded. */
function table(measured: ReadonlyMap<Column, Answers>): string {
  const keys = [...(measured.get(OURS)?.keys() ?? [])];
  const rows = keys.map((key) => {
    const [kind = '', ...name] = key.split(':');
    return [
      `${HEADINGS[kind]}: ${name.join(':')}`,
      ...COLUMNS.map((column) => measured.get(column)?.get(key) ?? ''),
    ];
  });
  const header = ['', ...COLUMNS];
  const lines = [header, header.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`.replace('|  |', '| |')).join('\n');
}

const capabilitiesIn = (answers: Answers, set: string): bigint => BigInt(`0x${answers.get(`status:${set}`)}`);

describe('container: what it can reach', function () {
  this.timeout(60_000);
  const bundles = useBundles();
  const measured = new Map<Column, Answers>();

  before(async () => {
    const bundle = bundles.bundle();
    bundles.compile(REACH, bundle.inRoot('bin/reach'), ['-static']);
    const listener = spawn(bundle.inRoot('bin/reach'), ['--listen', SOCKET], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await new Promise((resolve) => listener.stdout?.once('data', resolve));
      const root = bundle.inRoot('/');
      const tscr = new Tscr(bundle.at('store'), bundle.at('run'));
      const ours = (...options: readonly string[]): string =>
        tscr.succeed(['run', '--rm', ...options, '--rootfs', root, ...PROGRAM]);
      measured.set(OURS, answersOf(ours()));
      measured.set(OURS_ALONE, answersOf(ours('--network', 'none')));
      measured.set(PODMAN, answersOf(podman(bundle, root)));
      measured.set(RUNC, answersOf(bare(bundle, (spec) => spec)));
      const capabilities = { ...each(['bounding', 'effective', 'permitted'], DEFAULT_CAPABILITIES) };
      measured.set(RUNC_DOCKER, answersOf(bare(bundle, (process) => ({ ...process, capabilities }))));
    } finally {
      listener.kill('SIGKILL');
    }
    if (process.env['TSCR_SECURITY_TABLE'] !== undefined)
      writeFileSync(process.env['TSCR_SECURITY_TABLE'], table(measured));
  });

  const of = (column: Column): Answers => measured.get(column) ?? assert.fail(column);

  it('every question is answered everywhere, and some with yes', () => {
    for (const column of COLUMNS) {
      assert.deepEqual([...of(column).keys()], [...of(OURS).keys()], column);
      assert.equal(of(column).get('device:/dev/null'), 'yes', column);
      assert.equal(of(column).get('call:ptrace'), 'yes', column);
    }
  });

  it("is no more than with Podman's defaults, but for Docker's CAP_NET_RAW", () => {
    const more = [...of(OURS_ALONE)]
      .filter(([key, value]) => value === 'yes' && of(PODMAN).get(key) !== 'yes')
      .map(([key]) => key);
    assert.deepEqual(more, MORE_THAN_PODMAN);
    const allowed = capabilitiesIn(of(PODMAN), 'CapBnd') | capabilityMask(NOT_PODMANS);
    assert.equal(capabilitiesIn(of(OURS), 'CapBnd') & ~allowed, 0n);
  });

  it("is more on the host's network by that alone", () => {
    const more = [...of(OURS)]
      .filter(([key, value]) => value !== of(OURS_ALONE).get(key))
      .map(([key]) => key);
    assert.deepEqual(more, ['namespace:net', 'network:an abstract socket of the host']);
  });

  it("has Docker's capabilities, no new privileges and a filter", () => {
    for (const set of ['CapEff', 'CapBnd'])
      assert.equal(capabilitiesIn(of(OURS), set), capabilitiesIn(of(RUNC_DOCKER), set));
    assert.equal(of(OURS).get('status:NoNewPrivs'), '1');
    assert.equal(of(OURS).get('status:Seccomp'), '2');
  });

  it('docs/security.md tells it', () => {
    assert.include(readFileSync(DOCUMENT, 'utf8'), table(measured));
  });
});

const each = <T>(names: readonly string[], value: T): Record<string, T> =>
  Object.fromEntries(names.map((name) => [name, value]));

function podman(bundle: Bundle, root: string): string {
  const place = [
    '--root',
    bundle.at('podman'),
    '--runroot',
    bundle.at('podman-run'),
    '--storage-driver',
    'vfs',
  ];
  const options = ['--runtime', 'runc', 'run', '--rm', '--network', 'none', ...LIMITS, '--rootfs', root];
  const { status, stdout, stderr } = outcome('podman', [...place, ...options, ...PROGRAM]);
  assert.equal(status, 0, stderr);
  return stdout;
}

/** runc with the specification that it writes itself, on a root that can be written. */
function bare(bundle: Bundle, change: (process: object) => object): string {
  const directory = bundle.at(`runc-${process.hrtime.bigint()}`);
  mkdirSync(directory);
  assert.equal(outcome('runc', ['spec', '--bundle', directory]).status, 0);
  const spec = JSON.parse(readFileSync(`${directory}/config.json`, 'utf8'));
  const process_ = change({ ...spec.process, terminal: false, args: PROGRAM });
  const root = { path: bundle.inRoot('/'), readonly: false };
  writeFileSync(`${directory}/config.json`, JSON.stringify({ ...spec, process: process_, root }));
  const { status, stdout, stderr } = runc(directory);
  assert.equal(status, 0, stderr);
  return stdout;
}
