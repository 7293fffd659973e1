/**
 * Protects fsync(2) on slow disks: it holds up nobody but who asked, and tells the disk's errors whichever thread did
 * it. strace(1) makes the disk slow, or broken.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { type Union, usePlace } from '../support/mount/place.js';
import { serverOf, waitUntil } from '../support/mount/processes.js';

const SUITE = 'durability';

/** Opens a file of its own and flushes it: from the first slow one on there is a thread for that. */
const PREPARE = `
  import time
  fd = os.open(path, os.O_CREAT | os.O_RDWR)
  os.write(fd, b'x')
  flush(fd)
`;
/** A thread that waits has nothing to do for so many looks in a row. */
const LOOKS = 10;

const threadsOf = (pid: number): string[] => readdirSync(`/proc/${pid}/task`);

/** Waits until a thread that was not there before is there and waits for work. */
function waitForFlusher(server: number, before: readonly string[]): void {
  const isWaiting = (thread: string): boolean =>
    readFileSync(`/proc/${server}/task/${thread}/wchan`, 'latin1').startsWith('futex');
  let looks = 0;
  waitUntil('the thread that flushes waits for work', () => {
    const started = threadsOf(server).filter((thread) => !before.includes(thread));
    looks = started.length > 0 && started.every(isWaiting) ? looks + 1 : 0;
    return looks > LOOKS;
  });
}

describe(SUITE, () => {
  const place = usePlace(SUITE, ['strace']);

  /**
   * Does something while the server's fsync(2) and fdatasync(2) are tampered with; gives what was called, by thread.
   * @param action `prepared` waits for the thread that the first slow call starts
   */
  async function tampering(
    { mountpoint }: Union,
    how: string,
    action: (prepared: () => void) => Promise<void>,
  ): Promise<{ thread: string; call: string }[]> {
    const log = place.path(`${how.replace(/\W/g, '-')}.strace`);
    const server = serverOf(mountpoint);
    const before = threadsOf(server);
    const calls = 'fsync,fdatasync';
    const options = [
      '-f',
      '-qq',
      '-e',
      'signal=none',
      '-e',
      `trace=${calls}`,
      '-e',
      `inject=${calls}:${how}`,
    ];
    const tracer = spawn('strace', [...options, '-o', log, '-p', `${server}`]);
    const ended = once(tracer, 'exit');
    waitUntil('strace follows the server', () =>
      /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${server}/status`, 'utf8')),
    );
    try {
      await action(() => waitForFlusher(server, before));
    } finally {
      tracer.kill('SIGINT');
      await ended;
    }
    const lines = existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [];
    return lines.flatMap((line) => {
      const [, thread = '', call = ''] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
      return call === '' ? [] : [{ thread, call }];
    });
  }

  for (const call of ['fsync', 'fdatasync']) {
    it(`others go on while ${call} waits for the disk`, async () => {
      const union = place.union(`slow-${call}`, { lowers: [{}] });
      const calls = await tampering(union, 'delay_enter=700000', async (prepared) => {
        const writer = place.client();
        const other = place.client();
        await writer.run(['flush = getattr(os, call)', PREPARE], { call, path: union.at('data') });
        prepared();
        const flushed = writer.run<[number, number]>(`
          os.write(fd, b'x')
          start = time.monotonic()
          flush(fd)
          result = [start, time.monotonic()]
        `);
        const made = await other.run<number[]>(
          `
          import time
          result = []
          until = time.monotonic() + 1
          while time.monotonic() < until:
              create(f'{directory}/{len(result)}')
              result.append(time.monotonic())
              time.sleep(0.02)
        `,
          { directory: union.mountpoint },
        );
        const [start, end] = await flushed;
        await Promise.all([writer.end(), other.end()]);
        assert.isAbove(end - start, 0.6);
        assert.isAbove(made.filter((time) => time > start + 0.1 && time < end - 0.1).length, 2);
      });
      assert.deepEqual([...new Set(calls.map((each) => each.call))], [call]);
      assert.lengthOf(new Set(calls.map(({ thread }) => thread)), 2);
      union.umount();
    });
  }

  it('the error of the disk arrives, whoever asked it', async () => {
    const union = place.union('broken', { lowers: [{}] });
    const calls = await tampering(union, 'error=EIO:delay_enter=200000', async (prepared) => {
      const client = place.client();
      const flush = 'flush = lambda fd: attempt(os.fsync, fd)';
      const first = await client.run<string>([flush, PREPARE, 'result = attempt(os.fsync, fd)'], {
        path: union.at('data'),
      });
      prepared();
      const later = await client.run<string>("os.write(fd, b'x'); result = flush(fd)");
      await client.end();
      assert.deepEqual([first, later], ['EIO', 'EIO']);
    });
    assert.lengthOf(new Set(calls.map(({ thread }) => thread)), 2);
    union.umount();
  });

  it('a directory is flushed as well, and what is flushed may be gone meanwhile', async () => {
    const union = place.union('gone', { lowers: [{}] });
    const calls = await tampering(union, 'delay_enter=100000', async (prepared) => {
      const client = place.client();
      await client.run(['flush = os.fsync', PREPARE], { path: union.at('data') });
      prepared();
      await client.run(
        `
          os.unlink(path)
          flush(fd)
          os.close(fd)
          directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
          flush(directory)
          os.close(directory)
        `,
        { path: union.at('data') },
      );
      await client.end();
    });
    assert.lengthOf(calls, 3);
    assert.lengthOf(new Set(calls.map(({ thread }) => thread)), 2);
    union.umount();
    assert.deepEqual(
      union.lowers.concat(union.upper).map((path) => existsSync(`${path}/data`)),
      [false, false],
    );
  });
});
