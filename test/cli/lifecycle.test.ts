/**
 * Protects the life of a mount: `mount` returns when it is usable and lets go of its caller, every way to end it
 * leaves nothing behind, and a dead server can be cleared away.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import { CLI, list, mountAt, type Union, usePlace } from '../support/mount/place.js';
import { isRunning, processesNaming, serverOf, waitUntil } from '../support/mount/processes.js';

const SUITE = 'unionfs: the life of a mount';
const A_SECOND = 1000;
const REMOUNTS = 10;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  const LOWERS = [{ file: 'lower' }];

  /** Nothing is mounted there, and nobody serves it. */
  function assertGone({ mountpoint }: Union): void {
    assert.isUndefined(mountAt(mountpoint), 'the mount');
    assert.deepEqual(processesNaming(mountpoint), [], 'processes');
    assert.deepEqual(list(mountpoint), [], 'the directory below the mount');
  }

  describe('mount', () => {
    let union: Union;
    let server: number;

    it('exits with 0 when the mount is usable, and holds none of the streams of its caller open', async () => {
      union = place.layers('streams', { lowers: LOWERS });
      // Two more than the usual three: one at the number that the program uses for itself.
      const child = spawn(CLI, union.command, { stdio: Array(5).fill('pipe') });
      const printed: string[] = [];
      for (const stream of child.stdio) stream?.on('data', (data) => printed.push(String(data)));
      const closed = once(child, 'close'); // all streams have ended
      const [status] = (await once(child, 'exit')) as [number];
      assert.equal(readFileSync(union.at('file'), 'latin1'), 'lower', 'usable at once');
      assert.equal(status, 0);
      const patience = new Promise((resolve) => setTimeout(resolve, A_SECOND, 'still open'));
      assert.notEqual(await Promise.race([closed, patience]), 'still open');
      assert.deepEqual(printed, []);
      server = serverOf(union.mountpoint);
      assert.isTrue(isRunning(server), 'the server lives on');
    });

    it('lets a pipeline go on, as in "unionfs mount ... | cat"', () => {
      const piped = place.layers('piped', { lowers: LOWERS });
      const script = 'exec 9>&1; "$@" | cat; echo done';
      const output = place.run('bash', ['-c', script, 'bash', CLI, ...piped.command], 10_000);
      assert.equal(output, 'done\n');
      assert.isDefined(mountAt(piped.mountpoint));
    });

    it('its server runs at "/", in a session of its own, with no descriptor into the caller\'s directories', () => {
      assert.equal(readlinkSync(`/proc/${server}/cwd`), '/');
      const [, , , session] = readFileSync(`/proc/${server}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      assert.equal(Number(session), server);
      const open = descriptorsOf(server);
      assert.equal(readlinkSync(`/proc/${server}/fd/0`), '/dev/null');
      assert.equal(readlinkSync(`/proc/${server}/fd/1`), '/dev/null');
      assert.isFalse(
        open.some((target) => target.startsWith(process.cwd())),
        open.join('\n'),
      );
    });

    it('its server inherits no descriptor, whatever its number: a lock held around the mount ends with the caller', () => {
      const held = place.layers('held', { lowers: LOWERS });
      place.make({ 'held/file10': '', 'held/file200': '' });
      const script = 'exec 10<file10 200<file200; flock --nonblock 200; exec "$@"';
      const command = ['-c', script, 'bash', CLI, ...held.command];
      const { status } = spawnSync('bash', command, { cwd: place.path('held'), stdio: 'inherit' });
      assert.equal(status, 0);
      const open = descriptorsOf(serverOf(held.mountpoint)).filter((target) => /file\d+$/.test(target));
      assert.deepEqual(open, []);
      place.run('flock', ['--nonblock', place.path('held/file200'), 'true']);
    });
  });

  /** A server in the foreground, and how it ended. */
  async function foreground(union: Union): Promise<{ child: ChildProcess; ended: Promise<unknown[]> }> {
    const child = spawn(CLI, union.command, {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const ended = once(child, 'exit');
    await usable(union, child);
    return { child, ended };
  }

  async function usable(union: Union, child: ChildProcess): Promise<void> {
    const deadline = performance.now() + 10 * A_SECOND;
    while (mountAt(union.mountpoint) === undefined) {
      assert.isNull(child.exitCode, 'the server has ended');
      assert.isBelow(performance.now(), deadline, 'not mounted');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    statSync(union.mountpoint); // waits until the server answers
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`${signal} ends an idle server in the foreground: exit 0, no mount, every write in upper`, async () => {
      const union = place.layers(`idle-${signal}`, { lowers: LOWERS, args: ['-f'] });
      const { child, ended } = await foreground(union);
      writeFileSync(union.at('file'), 'written');
      child.kill(signal);
      assert.deepEqual(await ended, [0, null]);
      assertGone(union);
      assert.equal(readFileSync(join(union.upper, 'file'), 'latin1'), 'written');
    });

    it(`${signal} ends a server whose files are open: exit 0, no mount, what was written is in upper`, async () => {
      const union = place.layers(`busy-${signal}`, { lowers: LOWERS, args: ['--foreground'] });
      const { child, ended } = await foreground(union);
      const client = place.client();
      await client.run(
        `
        os.chdir(root)
        fd = os.open('file', os.O_RDWR)
        os.write(fd, b'written')
        `,
        { root: union.mountpoint },
      );
      child.kill(signal);
      assert.deepEqual(await ended, [0, null]);
      assertGone(union);
      assert.equal(readFileSync(join(union.upper, 'file'), 'latin1'), 'written');
      assert.oneOf(await client.run(`result = attempt(os.pwrite, fd, b'late', 0)`), [
        'ENOTCONN',
        'ECONNABORTED',
        'EIO',
      ]);
      await client.end();
    });
  }

  it('SIGTERM ends a server in the background', () => {
    const union = place.union('background', { lowers: LOWERS });
    process.kill(serverOf(union.mountpoint), 'SIGTERM');
    waitUntil('the server ends', () => processesNaming(union.mountpoint).length === 0);
    assertGone(union);
  });

  describe('umount', () => {
    it(`leaves no process, no mount and no lock: ${REMOUNTS} times, by every name of the mountpoint`, () => {
      const union = place.layers('again', { lowers: LOWERS });
      symlinkSync('merged', place.path('again/link'));
      const names = [union.mountpoint, 'merged', './merged/', 'link', '../again/merged'];
      for (let round = 0; round < REMOUNTS; round++) {
        union.mount();
        writeFileSync(union.at(`round${round}`), String(round));
        place.succeed(['umount', names[round % names.length] ?? ''], { cwd: place.path('again') });
        assertGone(union);
      }
      assert.lengthOf(list(union.upper), REMOUNTS);
    });

    it('refuses a busy mount in one line and leaves it as it is; --lazy detaches it', async () => {
      const union = place.union('busy', { lowers: LOWERS });
      const server = serverOf(union.mountpoint);
      const client = place.client();
      await client.run(`file = open(path)`, { path: union.at('file') });
      const { status, stderr } = place.unionfs(['umount', union.mountpoint]);
      assert.equal(status, 1);
      assert.equal(
        stderr,
        `unionfs umount: "${union.mountpoint}" is busy; stop the processes that use it, or detach it with --lazy\n`,
      );
      assert.equal(readFileSync(union.at('file'), 'latin1'), 'lower');

      place.succeed(['umount', '--lazy', union.mountpoint]);
      assert.isUndefined(mountAt(union.mountpoint));
      assert.equal(await client.run(`result = file.read()`), 'lower', 'who has a file open keeps it');
      assert.isTrue(isRunning(server));
      await client.end();
      waitUntil('the server ends with its last user', () => !isRunning(server));
    });
  });

  describe('a server that was killed', () => {
    let union: Union;

    before(() => {
      union = place.union('killed', { lowers: [{ file: 'lower', other: 'o' }] });
      writeFileSync(union.at('file'), 'written');
      process.kill(serverOf(union.mountpoint), 'SIGKILL');
      waitUntil('it is dead', () => processesNaming(union.mountpoint).length === 0);
    });

    it('leaves a mount that says so: ENOTCONN to users, "the server has ended" in list, one line from inspect', () => {
      assert.throws(() => lstatSync(union.at('file')), /ENOTCONN|ECONNABORTED/);
      const row = place
        .succeed(['list'])
        .split('\n')
        .find((line) => line.startsWith(`${union.mountpoint} `));
      assert.match(row ?? '', /the server has ended$/);
      const { status, stderr } = place.unionfs(['inspect', union.mountpoint]);
      assert.deepEqual(
        { status, stderr },
        {
          status: 1,
          stderr: `unionfs inspect: the server of "${union.mountpoint}" has ended; unmount it with "unionfs umount"\n`,
        },
      );
      assert.isArray(JSON.parse(place.succeed(['list', '--json'])));
    });

    it('is cleared away by umount', () => {
      place.succeed(['umount', union.mountpoint]);
      assertGone(union);
    });

    it('is followed by a mount that clears the work directory and shows all that was written', () => {
      // What interrupted operations leave: a half copy, a staged directory, a whiteout.
      place.python(
        `
        os.chdir(work)
        create('#17', b'half a copy')
        os.makedirs('#18/inner')
        create('#18/inner/file')
        os.mknod('#19', stat.S_IFCHR, 0)
        `,
        { work: join(union.work, 'work') },
      );
      union.mount();
      assert.deepEqual(list(join(union.work, 'work')), []);
      assert.deepEqual(list(union.mountpoint), ['file', 'other']);
      assert.equal(readFileSync(union.at('file'), 'latin1'), 'written');
      assert.deepEqual(list(union.upper), ['file']);
    });
  });

  describe('in the foreground', () => {
    it('--trace serves there and prints a line per request: its name, arguments and outcome', async () => {
      const union = place.layers('trace', { lowers: LOWERS, args: ['--trace'] });
      const child = spawn(CLI, union.command, { stdio: ['ignore', 'pipe', 'pipe'] });
      const ended = once(child, 'close');
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (data) => {
        stdout += String(data);
      });
      child.stderr.on('data', (data) => {
        stderr += String(data);
      });
      await usable(union, child);
      await place.client().run(`os.stat(path); os.mkdir(path + '-new'); attempt(os.stat, path + '-absent')`, {
        path: union.at('file'),
      });
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null]);
      assert.equal(stdout, '');
      assert.match(stderr, /^LOOKUP node=1 pid=\d+ \{"name":"file"\} = ok$/m);
      assert.match(stderr, /^MKDIR node=1 pid=\d+ \{"name":"file-new",.*\} = ok$/m);
      assert.match(stderr, /^LOOKUP node=1 pid=\d+ \{"name":"file-absent"\} = /m);
    });

    it('a trace that cannot be written, as on a full disk, fails no request', async () => {
      const union = place.layers('trace-full', { lowers: LOWERS, args: ['--trace'] });
      const full = openSync('/dev/full', 'w');
      const child = spawn(CLI, union.command, { stdio: ['ignore', 'inherit', full] });
      closeSync(full);
      const ended = once(child, 'exit');
      await usable(union, child);
      writeFileSync(union.at('file'), 'written');
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [0, null]);
      assertGone(union);
      assert.equal(readFileSync(join(union.upper, 'file'), 'latin1'), 'written');
    });

    it('-f ends with the mount, whoever unmounts it', async () => {
      const union = place.layers('foreground', { lowers: LOWERS, args: ['-f'] });
      const { ended } = await foreground(union);
      place.umount(union.mountpoint);
      assert.deepEqual(await ended, [0, null]);
      assertGone(union);
    });
  });

  it('the work directory is the only thing that a mount adds, and it is private', () => {
    const union = place.union('adds', { lowers: LOWERS });
    union.umount();
    assert.deepEqual(list(place.path('adds')), ['.upper.unionfs-work', 'lower0', 'merged', 'upper']);
    assert.equal(lstatSync(union.work).mode & 0o777, 0o700);
    assert.deepEqual(list(union.upper), []);
    assert.isTrue(existsSync(join(union.work, 'unionfs.json')));
    mkdirSync(union.at('usable-again'));
  });
});

/** What the descriptors of a process lead to. */
function descriptorsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}
