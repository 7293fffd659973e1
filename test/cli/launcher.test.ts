/**
 * Protects how the program is installed: as a shell script, since a second Node is most of what a mount costs. It must
 * not be told from the program that it starts: no word is lost, no server is left behind when it is killed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { assert } from 'chai';
import { CLI, list, mountAt, type Union, usePlace } from '../support/mount/place.js';
import { processesNaming, serverOf, waitUntil } from '../support/mount/processes.js';

const SUITE = 'cli: the launcher';
const EXECUTABLE = 0o755;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  const LOWERS = [{ file: 'lower' }];

  /** Puts a `node` of the test's own first in PATH. "$real" is Node, "$log" a file. */
  function withNode(script: string): NodeJS.ProcessEnv {
    const path = place.path('bin/node');
    place.make({ bin: {} });
    writeFileSync(path, `#!/bin/sh\nreal='${process.execPath}' log='${place.path('log')}'\n${script}\n`);
    chmodSync(path, EXECUTABLE);
    return { ...process.env, PATH: `${dirname(path)}:${process.env['PATH']}` };
  }

  /** The programs that Node is started with by a command line, which must succeed. */
  function started(program: string, args: readonly string[]): string[] {
    place.make({ log: '' });
    const env = withNode('echo "$2" >>"$log"; exec "$real" "$@"');
    place.run('env', [`PATH=${env['PATH']}`, program, ...args]);
    return readFileSync(place.path('log'), 'latin1')
      .trimEnd()
      .split('\n')
      .map((path) => basename(path));
  }

  it('starts one Node for a mount in the background, and one for everything else', () => {
    const union = place.layers('one', { lowers: LOWERS });
    symlinkSync(CLI, place.path('unionfs-overlay'));
    assert.deepEqual(started(CLI, union.command), ['server.js']);
    assert.deepEqual(started(CLI, ['umount', union.mountpoint]), ['unionfs.js']);
    const options = `lowerdir=${union.lowers[0]},upperdir=${union.upper},workdir=${union.work}`;
    assert.deepEqual(started(place.path('unionfs-overlay'), ['-o', options, union.mountpoint]), [
      'server.js',
    ]);
    assert.deepEqual(started(CLI, ['umount', union.mountpoint]), ['unionfs.js']);
    assert.deepEqual(started(place.path('unionfs-overlay'), ['--version']), ['unionfs.js']);
  });

  it('gives the words to the program as they are', () => {
    const name = '*\n"$(echo x)" \'; -n \\ ';
    place.make({ words: { [name]: { file: 'odd' }, merged: {} } });
    place.succeed(['mount', '--lower', name.replaceAll('\\', '\\\\'), 'merged'], {
      cwd: place.path('words'),
    });
    assert.equal(readFileSync(place.path('words/merged/file'), 'latin1'), 'odd');
    place.umount(place.path('words/merged'));
    const { status, stderr } = place.unionfs(['mount', '--lower', '-f  *', 'm']);
    assert.deepEqual(
      { status, stderr },
      { status: 1, stderr: `unionfs mount: "${place.path('-f  *')}" does not exist\n` },
    );
  });

  it('hands on warnings of a mount that is made, and says when the server ends without a word', () => {
    const union = place.layers('warned', { lowers: LOWERS });
    const overlay = place.path('mount.fuse.unionfs');
    symlinkSync(CLI, overlay);
    const made = place.outcome(overlay, [
      'none',
      union.mountpoint,
      '-o',
      `lowerdir=${union.lowers[0]},frob,x=%s`,
    ]);
    const warnings =
      'unionfs mount: ignoring unknown option "-o frob"\nunionfs mount: ignoring unknown option "-o x=%s"\n';
    assert.deepEqual(made, { status: 0, stdout: '', stderr: warnings });
    place.umount(union.mountpoint);
    const { PATH = '' } = withNode('exit 3');
    const silent = place.outcome('env', [`PATH=${PATH}`, CLI, ...union.command]);
    assert.deepEqual(silent, {
      status: 1,
      stdout: '',
      stderr: 'unionfs mount: the server exited without reporting an error\n',
    });
  });

  /** Starts the command; its server, a Node that has loaded nothing yet, is held until `go`. */
  function held(union: Union): { child: ChildProcess; ended: Promise<unknown[]>; go: () => void } {
    const [go, here] = [place.path('go'), place.path('here')];
    rmSync(go, { force: true });
    rmSync(here, { force: true });
    const hold = `const { existsSync, writeFileSync } = require('fs');
      writeFileSync('${here}', '');
      const pause = new Int32Array(new SharedArrayBuffer(4));
      while (!existsSync('${go}')) Atomics.wait(pause, 0, 0, 10);`;
    place.make({ 'hold.cjs': hold });
    const env = withNode(`exec "$real" --require '${place.path('hold.cjs')}' "$@"`);
    const child = spawn(CLI, union.command, { env, stdio: 'ignore', detached: true });
    const ended = once(child, 'exit');
    waitUntil('the server has started', () => existsSync(here));
    return { child, ended, go: () => writeFileSync(go, '') };
  }

  function assertNothing({ mountpoint, upper }: Union): void {
    waitUntil('every process has ended', () => processesNaming(mountpoint).length === 0);
    assert.isUndefined(mountAt(mountpoint));
    assert.deepEqual(list(upper), []);
  }

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGHUP'] as const) {
    it(`${signal} half way ends it, and leaves neither server nor mount`, async () => {
      const union = place.layers(signal, { lowers: LOWERS });
      const { child, ended, go } = held(union);
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      go();
      assertNothing(union);
    });
  }

  it('an interrupt from the terminal half way ends it with its server', async () => {
    const union = place.layers('interrupted', { lowers: LOWERS });
    const { child, ended } = held(union);
    process.kill(-(child.pid ?? 0), 'SIGINT');
    assert.deepEqual(await ended, [null, 'SIGINT']);
    assertNothing(union);
  });

  it('an interrupt that comes too late for the server is none: the mount is made', async () => {
    const union = place.layers('late', { lowers: LOWERS });
    const { child, ended, go } = held(union);
    child.kill('SIGINT');
    go();
    assert.deepEqual(await ended, [0, null]);
    assert.equal(readFileSync(union.at('file'), 'latin1'), 'lower');
    union.umount();
  });

  it('keeps certificates and the channel of a caller that is Node from its server', async () => {
    const union = place.layers('environment', { lowers: LOWERS });
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: '/nonexistent' };
    const child = spawn(CLI, union.command, { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const disconnected = once(child, 'disconnect'); // nobody holds the other end any more
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    await disconnected;
    const environment = readFileSync(`/proc/${serverOf(union.mountpoint)}/environ`, 'latin1');
    assert.notMatch(environment, /(^|\0)NODE_EXTRA_CA_CERTS|NODE_CHANNEL_FD/);
    union.umount();
  });

  it('leaves the command of "unionfs exec" its environment', () => {
    const [lower = ''] = place.layers('executed', { lowers: LOWERS }).lowers;
    const words = ['exec', '--lower', lower, '--', 'printenv', 'NODE_EXTRA_CA_CERTS'];
    const { stdout } = place.outcome('env', ['NODE_EXTRA_CA_CERTS=/nonexistent', CLI, ...words]);
    assert.equal(stdout, '/nonexistent\n');
  });
});
