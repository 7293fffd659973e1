/**
 * Protects the copy that `commit` makes of a running container: what writes in it stands still meanwhile, and goes on
 * afterwards, however the commit ends. Once with signals, once with each version of the cgroup freezer.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { assert } from 'chai';
import { processesOf } from '../../runtime/host/pid-namespace.js';
import { type Running, Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';
import { run } from '../support/run.js';

const SUITE = 'tscr commit of a running container';
/** Counts in two files, between which a large one is copied. Every step starts programs. */
const WRITER = `head -c 40000000 /dev/zero >/m; echo ready; i=0
  while :; do i=$((i+1)); echo $i >/a.new; mv /a.new /a; echo $i >/z.new; mv /z.new /z; done`;
const POLL_MS = 10;
const POLLS = 1000;

describe(SUITE, function () {
  this.timeout(60_000);
  const place = usePlace(SUITE);
  let tscr: Tscr;
  let writer: Running;
  let first: number;

  before(() => {
    tscr = new Tscr(place.path('store'), place.path('run'));
    tscr.succeed(['image', 'from-host', 'sh,cat,head,mv', '-t', 'host:1']);
  });
  beforeEach(async () => {
    writer = tscr.start(['run', '--rm', '--name', 'writer', 'host:1', 'sh', '-c', WRITER]);
    await writer.says('ready');
    const [state = ''] = readdirSync(place.path('run')).filter((name) => name.endsWith('.json'));
    first = (JSON.parse(readFileSync(place.path('run', state), 'utf8')) as { pid: number }).pid;
    await progress();
  });
  afterEach(async () => {
    tscr.succeed(['rm', '-f', 'writer']);
    await writer.ended;
    await eventually(
      'no guardian',
      () => !commandLines().some((line) => line.includes('while read -r what')),
    );
    assert.deepEqual(tscr.leftovers(), []);
  });

  const states = (): string =>
    processesOf(first)
      .map(({ state }) => state)
      .join('');
  /** Beside them who waits in vfork(2) for one that is stopped, and the dead that one of them is to wait for. */
  const stands = (): boolean => /^[DTZ]*T[DTZ]*$/.test(states());

  /** The counter as it is in the container's upper layer. */
  function count(): number {
    const [id = ''] = readdirSync(place.path('store', 'containers')).filter((name) => !name.startsWith('.'));
    try {
      return Number(readFileSync(place.path('store', 'containers', id, 'diff', 'z'), 'utf8'));
    } catch {
      return 0;
    }
  }

  async function progress(): Promise<void> {
    const before = count();
    await eventually('the writer goes on', () => count() > before);
  }

  /** Starts a commit and waits until the container stands still. */
  async function committing(isStill: () => boolean): Promise<Running> {
    const commit = tscr.start(['commit', 'writer', 'copy:1']);
    let samples = 0; // one could be seen between two steps
    await eventually('the writer stands still', () => {
      samples = isStill() ? samples + 1 : 0;
      return samples > 5;
    });
    const before = count();
    await setTimeout(5 * POLL_MS);
    assert.equal(count(), before, 'nothing is written meanwhile');
    assert.isTrue(isStill());
    return commit;
  }

  it('is a copy of one moment, and the container goes on', async () => {
    tscr.succeed(['commit', 'writer', 'copy:1']);
    assert.notInclude(states(), 'T');
    await progress();
    const [a, z] = tscr.succeed(['run', '--rm', 'copy:1', 'cat', '/a', '/z']).split('\n').map(Number);
    assert.include([0, 1], (a ?? 0) - (z ?? 0));
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    it(`${signal} to the commit lets the container go on`, async () => {
      const commit = await committing(stands);
      commit.signal(signal);
      assert.isNull(await commit.ended);
      await progress();
    });
  }

  it('what was stopped before stays so', async () => {
    process.kill(first, 'SIGSTOP');
    tscr.succeed(['commit', 'writer', 'copy:1']);
    assert.equal(processesOf(first)[0]?.state, 'T');
    process.kill(first, 'SIGCONT');
    await progress();
  });

  it('--pause=false leaves it alone', async () => {
    const commit = tscr.start(['commit', '--pause=false', 'writer', 'copy:1']);
    let ended = false;
    commit.ended.then(() => {
      ended = true;
    });
    await eventually('the commit ends, the writer does not stand still', () => {
      assert.notInclude(states(), 'T');
      return ended;
    });
  });

  const FREEZERS = [
    ['version 1', ['-t', 'cgroup', '-o', 'freezer'], 'freezer.state', 'FROZEN', 'THAWED'],
    ['version 2', ['-t', 'cgroup2'], 'cgroup.events', 'populated 1\nfrozen 1', 'populated 1\nfrozen 0'],
  ] as const;
  for (const [version, options, file, frozen, thawed] of FREEZERS) {
    it(`the cgroup freezer is used where there is one, ${version}`, async () => {
      const mountpoint = place.path(`cgroup-${version.at(-1)}`);
      mkdirSync(mountpoint);
      run('mount', [...options, 'none', mountpoint]);
      const group = join(mountpoint, `unionfs-test-${process.pid}`);
      mkdirSync(group);
      try {
        await eventually('all of it is in the group', () => {
          for (const { pid } of processesOf(first)) move(pid, group);
          const inside = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').map(Number);
          return processesOf(first).every(({ pid }) => inside.includes(pid));
        });
        const state = (): string => readFileSync(join(group, file), 'utf8').trim();
        assert.equal(state(), thawed);
        for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
          const commit = await committing(() => state() === frozen);
          assert.notInclude(states(), 'T', 'no signal was sent');
          commit.signal(signal);
          assert.isNull(await commit.ended);
          await progress();
          assert.equal(state(), thawed);
        }
      } finally {
        for (const { pid } of processesOf(first)) move(pid, mountpoint);
        await eventually('the group is empty', () => emptied(group));
        run('umount', [mountpoint]);
      }
    });
  }
});

/** One that has ended meanwhile needs no place. */
function move(pid: number, group: string): void {
  try {
    writeFileSync(join(group, 'cgroup.procs'), String(pid));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function emptied(group: string): boolean {
  try {
    rmdirSync(group);
    return true;
  } catch {
    for (const pid of readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean))
      move(Number(pid), join(group, '..'));
    return false;
  }
}

const commandLines = (): string[] =>
  readdirSync('/proc').flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, 'latin1') : [];
    } catch {
      return [];
    }
  });

async function eventually(what: string, isSo: () => boolean): Promise<void> {
  for (let polls = 0; polls < POLLS; polls++) {
    if (isSo()) return;
    await setTimeout(POLL_MS);
  }
  assert.fail(what);
}
