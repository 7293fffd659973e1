/**
 * Protects what programs see of a mount whose filesystem fails a system call: success and the change, or an error and
 * none; at once, through all that the kernel remembers of names, attributes and listings, later, and after a remount.
 * strace(1) lets the server's calls fail. All calls of all plans are tried without a mount (../union/commit-point.test.ts).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { assert } from 'chai';
import { describeTree, diffTrees, maskTimesSince, type Tree } from '../support/acceptance/tree.js';
import { type Union, usePlace } from '../support/mount/place.js';
import { serverOf, waitUntil } from '../support/mount/processes.js';

const SUITE = 'mount/commit-point';
const NS_PER_S = 1_000_000_000n;
const OLD = 10n ** 18n;

const LOWER = { file: 'old old old', deleted: 'x', directory: { entry: 'x' }, gone: { entry: 'x' } };

/** What is done, which call of the server fails, the first or a later one, and what comes of it. */
interface Case {
  readonly what: string;
  readonly code: string;
  readonly call: string;
  readonly when: number;
  readonly result: 'ok' | 'EIO';
}

const CASES: readonly Case[] = [
  {
    what: 'a write that copies up',
    code: `write(at + '/file', 'new')`,
    call: 'utimensat',
    when: 2,
    result: 'ok',
  },
  { what: 'a truncation', code: `os.truncate(at + '/file', 3)`, call: 'renameat2', when: 1, result: 'EIO' },
  { what: 'a removal', code: `os.rmdir(at + '/gone')`, call: 'unlinkat', when: 1, result: 'ok' },
  { what: 'a removal', code: `os.rmdir(at + '/gone')`, call: 'renameat2', when: 1, result: 'EIO' },
  {
    what: 'a rename of a directory',
    code: `os.rename(at + '/directory', at + '/moved')`,
    call: 'renameat2',
    when: 2,
    result: 'EIO',
  },
  {
    what: 'a directory over a whiteout',
    code: `os.mkdir(at + '/deleted')`,
    call: 'unlinkat',
    when: 1,
    result: 'ok',
  },
];

describe(SUITE, () => {
  const place = usePlace(SUITE, ['strace']);

  /** Runs code while one system call of the server fails. */
  async function injecting(union: Union, { call, when }: Case, code: () => Promise<string>): Promise<string> {
    const server = serverOf(union.mountpoint);
    const inject = `inject=${call}:error=EIO:when=${when}`;
    const options = [
      '-f',
      '-qq',
      '-e',
      'signal=none',
      '-e',
      `trace=${call}`,
      '-e',
      inject,
      '-o',
      '/dev/null',
    ];
    const tracer = spawn('strace', [...options, '-p', `${server}`]);
    const ended = once(tracer, 'exit');
    waitUntil('strace follows the server', () =>
      /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${server}/status`, 'utf8')),
    );
    try {
      return await code();
    } finally {
      tracer.kill('SIGINT');
      await ended;
    }
  }

  for (const [index, tried] of CASES.entries()) {
    const { what, code, call, when, result } = tried;
    it(`${what}, ${call}(2) number ${when} fails: ${result}`, async () => {
      const union = place.union(`case${index}`, { lowers: [LOWER] });
      const client = place.client();
      const args = { at: union.mountpoint };
      await client.run(
        `
          def write(path, text):
              with open(path, 'r+') as file:
                  file.write(text)
          os.unlink(at + '/gone/entry')
          os.unlink(at + '/deleted')
          os.utime(at, ns=(10**18, 10**18))
        `,
        args,
      );
      const change = `result = attempt(lambda: ${code})`;
      const before = describeTree(union.mountpoint);
      const said = await injecting(union, tried, () => client.run<string>(change, args));
      const at = describeTree(union.mountpoint);
      assert.equal(said, result);
      assert.equal(
        diffTrees(masked(before), masked(at)).length === 0,
        result !== 'ok',
        'whether anything has changed',
      );
      if (result !== 'ok') assert.equal(await client.run<string>(change, args), 'ok', 'without a fault');
      const later = describeTree(union.mountpoint);
      await client.end();
      union.remount();
      assert.deepEqual(diffTrees(later, describeTree(union.mountpoint)), [], 'after a remount');
      const complaint =
        result === 'ok' ? /^unionfs: .* failed: .*EIO; the operation itself is complete/ : /^$/;
      assert.match(place.takeLog(union), complaint);
    });
  }
});

/** Times of the change are as good as others. */
const masked = (tree: Tree): Tree => maskTimesSince(tree, OLD + NS_PER_S);
