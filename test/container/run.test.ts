/**
 * Protects the life of a container: its exit code, signals, standard streams, and that nothing outlives it, even if
 * the supervisor is killed.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { assert } from 'chai';
import { defaultSpec } from '../../runtime/container/spec/default-spec.js';
import { type Bundle, type BundleOptions, shell, useBundles } from '../support/container/bundles.js';
import { isRunning, processesNaming, sleep, waitUntil } from '../support/mount/processes.js';

const SECONDS = 1000;
const AT_ONCE = 20;
const ROUNDS = 2;
const GUARDIAN = /read -r line/;
/** After this time a guardian is there. */
const GUARDIAN_MS = 300;

/** Host pids of everything in the pid namespace of a process. */
function inNamespaceOf(pid: number): number[] {
  const namespaceOf = (process: number | string): string => {
    try {
      return readlinkSync(`/proc/${process}/ns/pid`);
    } catch {
      return ''; // it ended meanwhile
    }
  };
  const namespace = namespaceOf(pid);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && namespaceOf(name) === namespace)
    .map(Number);
}

const exitOf = (child: { exitCode: number | null; once: (event: 'exit', then: () => void) => unknown }) =>
  new Promise<number | null>((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    else child.once('exit', () => resolve(child.exitCode));
  });

describe('container: run', () => {
  const bundles = useBundles();
  let bundle: Bundle;
  before(() => {
    bundle = bundles.bundle({
      tree: {
        'bin/not-executable': '#!/bin/sh\n',
        'bin/bad-interpreter': '#!/nowhere\n',
        'bin/no-program': '\x7fELF',
      },
    });
    for (const name of ['bad-interpreter', 'no-program']) bundles.execute(bundle.inRoot(`bin/${name}`));
  });

  /** Sets what the command is and how it starts; everything else is the default again. */
  const change = (process: BundleOptions['process']): void =>
    bundle.change((spec) => ({ ...spec, process: { ...defaultSpec().process, ...process } }));

  describe('the exit code is', () => {
    const CODES: readonly [what: string, args: readonly string[], code: number, message: RegExp][] = [
      ['the command’s own: 0', ['true'], 0, /^$/],
      ['the command’s own: 3', shell('exit 3'), 3, /^$/],
      [
        '128 and the signal of a command that was killed',
        shell('sh -c "kill -15 \\$\\$"; exit $?'),
        143,
        /^/,
      ],
      [
        '127 for a name that is not in PATH',
        ['nothing'],
        127,
        /^tscr run: "nothing" was not found in the container\n$/,
      ],
      ['127 for a path that is not there', ['/no/thing'], 127, /^tscr run: "\/no\/thing" was not found/],
      [
        '127 for a missing interpreter',
        ['bad-interpreter'],
        127,
        /^tscr run: "bad-interpreter" was not found/,
      ],
      [
        '126 for a file without permission',
        ['not-executable'],
        126,
        /^tscr run: .*"not-executable".*permission denied.*\n$/,
      ],
      ['126 for a directory', ['/bin'], 126, /^tscr run: .*"\/bin"/],
      ['126 for a file that is no program', ['no-program'], 126, /^tscr run: .*"no-program".*not a program/],
    ];
    for (const [what, args, code, message] of CODES) {
      it(what, () => {
        change({ args });
        const { status, stdout, stderr } = bundle.run();
        assert.deepEqual({ status, stdout }, { status: code, stdout: '' });
        assert.match(stderr, message);
      });
    }
  });

  it('finds commands in the PATH of the container’s environment', () => {
    bundles.execute(bundle.inRoot('bin/busybox'), bundle.inRoot('opt/echo'));
    change({ args: ['echo', 'x'], env: ['PATH=/nowhere:/etc/passwd:/opt'] });
    assert.deepEqual(bundle.run(), { status: 0, stdout: 'x\n', stderr: '' });
  });

  it('passes standard input on, or nothing', () => {
    change({ args: ['cat'] });
    assert.equal(bundle.run({}, { input: 'in\n' }).stdout, 'in\n');
    assert.equal(bundle.run({ stdin: 'ignore' }, { input: 'in\n' }).stdout, '');
  });

  it('takes the standard streams’ null device from the container', () => {
    change({});
    const output = bundle.exec('stat -L -c %d /proc/self/fd/0 /dev/null', { stdin: 'ignore' }).stdout;
    const [stream, device] = output.split('\n');
    assert.equal(stream, device);
  });

  it('lets a user reopen the standard streams', () => {
    change({
      user: { uid: 1000, gid: 1000 },
      args: shell('echo out >/dev/stdout; echo more >/proc/self/fd/1'),
    });
    assert.equal(bundle.pipeline('| cat').stdout, 'out\nmore\n');
  });

  it('forwards signals to the command', async () => {
    for (const signal of ['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'WINCH', 'ALRM'] as const) {
      change({ args: shell(`trap 'exit 42' ${signal}; echo ready; while :; do sleep 0.01; done`) });
      const { supervisor } = bundle.start();
      await new Promise<void>((resolve) => supervisor.stdout?.once('data', () => resolve()));
      supervisor.kill(`SIG${signal}`);
      assert.equal(await exitOf(supervisor), 42, signal);
    }
  });

  it('ends with 137 when the command is killed from outside', async () => {
    change({ args: ['sleep', '60'] });
    const { supervisor, pid } = bundle.start();
    process.kill(pid, 'SIGKILL');
    assert.equal(await exitOf(supervisor), 137);
  });

  it('ends what the command left behind', () => {
    change({});
    const { status } = bundle.exec('sleep 61 & sleep 62 & (sleep 63 &); exit 5');
    assert.equal(status, 5);
    assert.isEmpty(commandsLike(/^sleep.6[123]/));
  });

  const COMMANDS = {
    'a plain command': ['sleep', '64'],
    'a command that has changed its ids': [
      'setpriv',
      '--reuid=1000',
      '--regid=1000',
      '--clear-groups',
      'sleep',
      '64',
    ],
  };
  for (const [what, args] of Object.entries(COMMANDS)) {
    it(`leaves nothing when the supervisor is killed: ${what}`, async () => {
      bundles.addHostProgram(bundle, 'setpriv');
      bundles.addHostProgram(bundle, 'sleep');
      change({ args });
      const { supervisor, pid } = bundle.start();
      waitUntil('the command runs', () => commandsLike(/^sleep.64/).length === 1);
      sleep(GUARDIAN_MS);
      const inside = inNamespaceOf(pid);
      assert.include(inside, pid);
      supervisor.kill('SIGKILL');
      await exitOf(supervisor);
      waitUntil('the container has ended', () => !inside.some(isRunning), SECONDS);
      waitUntil('the guardian has ended', () => commandsLike(GUARDIAN).length === 0, SECONDS);
      assert.isEmpty(mountsBelow(bundles.directory));
    });
  }

  it('leaves nothing when the supervisor is killed while the container starts', async () => {
    change({ args: ['sleep', '65'] });
    for (let delay = 40; delay <= 400; delay += 40) {
      const supervisor = bundle.spawn();
      sleep(delay);
      supervisor.kill('SIGKILL');
      await exitOf(supervisor);
    }
    waitUntil('everything has ended', () => commandsLike(/init\.cjs|^sleep.65/).length === 0, SECONDS);
    assert.isEmpty(mountsBelow(bundles.directory));
  });

  it(`leaves nothing after ${ROUNDS} rounds of ${AT_ONCE} at once`, async () => {
    const all = Array.from({ length: AT_ONCE }, () => bundles.bundle());
    for (const one of all)
      one.change((spec) => ({ ...spec, process: { ...spec.process, args: shell('sleep 0.12321; exit 7') } }));
    const guardians = commandsLike(GUARDIAN);
    for (let round = 0; round < ROUNDS; round++) {
      const started = all.map((one) => one.spawn());
      assert.deepEqual(await Promise.all(started.map(exitOf)), Array(AT_ONCE).fill(7));
    }
    assert.isEmpty(commandsLike(/^sleep.0\.12321/));
    assert.isEmpty(processesNaming(bundles.directory));
    assert.isEmpty(mountsBelow(bundles.directory));
    assert.deepEqual(commandsLike(GUARDIAN), guardians);
  });
});

const mountsBelow = (directory: string): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(directory));

/** Command lines, NULs as spaces, of processes that match. */
function commandsLike(pattern: RegExp): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
      } catch {
        return '';
      }
    })
    .filter((line) => pattern.test(line));
}
