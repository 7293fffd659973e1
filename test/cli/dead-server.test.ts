/**
 * Protects users from servers that are dead or stopped: whatever the kernel still remembers of such a mount, `list` and
 * `inspect` say what is the matter, `umount` clears a dead one always, and no command waits for a server without end.
 */
import { lstatSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { assert } from 'chai';
import type { Client } from '../support/mount/client.js';
import { mountAt, type Outcome, type Union, usePlace } from '../support/mount/place.js';
import { isRunning, serverOf, waitUntil } from '../support/mount/processes.js';

const SUITE = 'cli/dead-server';
/** What a command may take that asks a server in vain, on a loaded machine. */
const IN_TIME_MS = 10_000;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let count = 0;
  const newUnion = (): Union => place.union(`union${count++}`, { lowers: [{ 'd/f': 'lower', f: 'lower' }] });

  function rowOf(union: Union): string {
    const lines = place.succeed(['list']).split('\n');
    return lines.find((line) => line.startsWith(`${union.mountpoint} `)) ?? '';
  }

  describe('a dead server', () => {
    /** What the kernel has in its caches, or whom it has inside. */
    const KNOWN: Record<string, (union: Union, client: Client) => unknown> = {
      nothing: () => {},
      'the attributes of the root': (union) => statSync(union.mountpoint),
      'names, attributes, a listing and data': (union) => {
        readdirSync(union.mountpoint);
        readFileSync(union.at('f'));
        lstatSync(union.at('d/f'));
      },
      'the absence of attributes': (union, client) =>
        client.run(`attempt(os.listxattr, path); attempt(os.getxattr, path, 'user.none')`, {
          path: union.mountpoint,
        }),
      'an open file and a working directory': (union, client) =>
        client.run(`os.chdir(path); file = open('f'); file.read()`, { path: union.mountpoint }),
    };
    for (const [what, warm] of Object.entries(KNOWN)) {
      it(`of whose mount the kernel knows ${what}: list and inspect say so, umount clears it`, async () => {
        const union = newUnion();
        const client = place.client();
        await warm(union, client);
        const pid = serverOf(union.mountpoint);
        process.kill(pid, 'SIGKILL');
        waitUntil('it is dead', () => !isRunning(pid));
        assert.match(rowOf(union), /the server has ended$/);
        const inspected = place.unionfs(['inspect', union.mountpoint]);
        assert.equal(inspected.status, 1);
        assert.equal(
          inspected.stderr,
          `unionfs inspect: the server of "${union.mountpoint}" has ended; unmount it with "unionfs umount"\n`,
        );
        const mounted = place.unionfs(union.command);
        assert.equal(mounted.status, 1);
        assert.match(
          mounted.stderr,
          /^unionfs mount: [^\n]* is a mount whose server is gone; run "unionfs umount [^\n]*\n$/,
        );
        place.succeed(['umount', union.mountpoint]);
        assert.isUndefined(mountAt(union.mountpoint));
        await client.end();
        union.mount();
        assert.equal(readFileSync(union.at('f'), 'latin1'), 'lower');
        union.umount();
      });
    }
  });

  it('a stopped server: no command waits for it, the others are listed, and --lazy detaches the mount', async () => {
    const [stopped, other] = [newUnion(), newUnion()];
    readdirSync(stopped.mountpoint);
    symlinkSync(stopped.mountpoint, place.path('link'));
    const pid = serverOf(stopped.mountpoint);
    process.kill(pid, 'SIGSTOP');
    const run = async (...args: readonly string[]): Promise<Outcome> => {
      const since = performance.now();
      const outcome = await place.unionfsAtOnce(args, place.directory);
      assert.isBelow(performance.now() - since, IN_TIME_MS, args.join(' '));
      return outcome;
    };
    try {
      const [list, json, ...refused] = await Promise.all([
        run('list'),
        run('list', '--json'),
        run('inspect', stopped.mountpoint),
        run('umount', stopped.mountpoint),
        run('umount', 'link'),
        run('diff', stopped.mountpoint),
        run('explain', stopped.at('f')),
        run('umount', stopped.at('d')),
      ]);
      const rows = list.stdout.split('\n');
      const row = (union: Union): string =>
        rows.find((line) => line.startsWith(`${union.mountpoint} `)) ?? '';
      assert.match(row(stopped), /the server does not answer$/);
      assert.include(row(other), other.upper);
      const states = JSON.parse(json.stdout) as { mountpoint: string; state: string }[];
      const stateOf = (union: Union): string | undefined =>
        states.find(({ mountpoint }) => mountpoint === union.mountpoint)?.state;
      assert.deepEqual([stateOf(stopped), stateOf(other)], ['silent', 'live']);
      for (const { status, stderr } of refused) {
        assert.equal(status, 1);
        assert.match(stderr, /^unionfs \w+: the server of "[^\n]*" does not answer; [^\n]*\n$/);
        assert.include(stderr, stopped.mountpoint);
      }
      assert.isDefined(mountAt(stopped.mountpoint));
      const lazy = await run('umount', '--lazy', 'link');
      assert.deepEqual({ status: lazy.status, stderr: lazy.stderr }, { status: 0, stderr: '' });
      assert.isUndefined(mountAt(stopped.mountpoint));
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    waitUntil('the server ends', () => !isRunning(pid));
    assert.match(dirname(other.mountpoint), /union\d+$/);
    other.umount();
  });
});
