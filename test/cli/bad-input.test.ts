/**
 * Protects users from their mistakes: one clear line on standard error, exit code 1, and nothing changed, not even
 * for a moment (the times of directories are compared as well).
 *
 * Every mistake is made in a directory of its own, so that they can be made at the same time.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { assert } from 'chai';
import { assertSameTree } from '../support/acceptance/stage.js';
import { describeTree, type Tree as Listing } from '../support/acceptance/tree.js';
import { CLI, type Outcome, type Union, usePlace } from '../support/mount/place.js';
import { processesNaming, serverOf, waitUntil } from '../support/mount/processes.js';
import { run } from '../support/run.js';

const SUITE = 'unionfs: bad input';
const NOBODY = 65534;
const FOREGROUND_MISTAKES = 5;

interface Mistake {
  readonly what: string;
  readonly args: readonly string[];
  /** What the line says after "COMMAND: "; `@` stands for the test's own directory, `%` for the shared one. */
  readonly says: string | RegExp;
  /** The command that speaks; "mount" by default. */
  readonly speaker?: string;
}

const UPPER = ['--upper', 'u'];
const GOOD = ['--lower', 'l', ...UPPER];

const MISTAKES: readonly Mistake[] = [
  {
    what: 'a missing lower layer',
    args: ['--lower', 'l:nope', ...UPPER, 'm'],
    says: '"@/nope" does not exist',
  },
  {
    what: 'a lower layer that is a file',
    args: ['--lower', 'l:file', ...UPPER, 'm'],
    says: '"@/file" is not a directory',
  },
  { what: 'a lower layer below a file', args: ['--lower', 'file/x', 'm'], says: /^"@\/file\/x" / },
  { what: 'an empty layer', args: ['--lower', 'l::l2', 'm'], says: '"" does not exist' },
  { what: 'a lower layer that leads to itself', args: ['--lower', 'loop', 'm'], says: /"@\/loop"/ },
  {
    what: 'a lower layer with a path that is too long',
    args: ['--lower', 'x'.repeat(300), 'm'],
    says: /"@\/x{300}"/,
  },
  { what: 'no lower layer', args: [...UPPER, 'm'], says: 'missing lower layer; name one with --lower' },
  {
    what: 'a missing upper',
    args: ['--lower', 'l', '--upper', 'nope', 'm'],
    says: '"@/nope" does not exist',
  },
  {
    what: 'an upper that is a file',
    args: ['--lower', 'l', '--upper', 'file', 'm'],
    says: '"@/file" is not a directory',
  },
  { what: 'a missing mountpoint', args: [...GOOD, 'nope'], says: '"@/nope" does not exist' },
  { what: 'a mountpoint that is a file', args: [...GOOD, 'file'], says: '"@/file" is not a directory' },
  { what: 'no mountpoint', args: GOOD, says: 'missing required argument "mountpoint"' },
  { what: 'two mountpoints', args: [...GOOD, 'm', 'm2'], says: 'unexpected argument "m2"' },
  {
    what: 'a work directory on another filesystem',
    args: [...GOOD, '--workdir', '../shared/tmpfs/w', 'm'],
    says: /^workdir "%\/tmpfs\/w" is not on the filesystem .*of upper "@\/u"; choose one with --workdir$/,
  },
  {
    what: 'a mounted filesystem as work directory',
    args: [...GOOD, '--workdir', '../shared/tmpfs', 'm'],
    says: /^workdir "%\/tmpfs" is not on the filesystem .*of upper "@\/u"; choose one with --workdir$/,
  },
  {
    what: 'a work directory without a parent',
    args: [...GOOD, '--workdir', 'no/w', 'm'],
    says: '"@/no" does not exist',
  },
  {
    what: 'a work directory that is a file',
    args: [...GOOD, '--workdir', 'file', 'm'],
    says: '"@/file" is not a directory',
  },
  {
    what: 'a work directory inside upper',
    args: [...GOOD, '--workdir', 'u/w', 'm'],
    says: 'upper "@/u" and workdir "@/u/w" must not contain each other',
  },
  {
    what: 'a work directory that holds something else',
    args: [...GOOD, '--workdir', 'l2', 'm'],
    says: 'workdir "@/l2" contains "inside", which does not belong to a work directory; choose an empty directory',
  },
  {
    what: 'an upper inside the work directory',
    args: ['--lower', 'l', '--upper', 'l2/inside', '--workdir', 'l2', 'm'],
    says: 'upper "@/l2/inside" and workdir "@/l2" must not contain each other',
  },
  {
    what: 'a work directory without upper',
    args: ['--lower', 'l', '--workdir', 'w', 'm'],
    says: 'workdir "@/w" needs an upper layer; name one with --upper',
  },
  {
    what: 'an upper on a filesystem that is read-only',
    args: ['--lower', 'l', '--upper', '../shared/read-only/u', 'm'],
    says: /"%\/read-only/,
  },
  {
    what: 'a lower layer inside the mountpoint',
    args: ['--lower', 'm/inside', 'm'],
    says: 'the layer "@/m/inside" lies inside the mountpoint "@/m"',
  },
  {
    what: 'an upper inside the mountpoint',
    args: ['--lower', 'l', '--upper', 'm/inside', '--workdir', 'w', 'm'],
    says: 'the layer "@/m/inside" lies inside the mountpoint "@/m"',
  },
  {
    what: 'a mountpoint inside the work directory, by way of a symlink',
    args: ['--lower', 'l', '--upper', 'u', '--workdir', 'l2', 'link-to-inside'],
    says: 'the mountpoint "@/l2/inside" lies inside the layer "@/l2"',
  },
  {
    what: 'a lower layer inside upper',
    args: ['--lower', 'l2/inside', '--upper', 'l2', 'm'],
    says: 'the lower layer "@/l2/inside" lies inside "@/l2"',
  },
  {
    what: 'upper as a lower layer',
    args: ['--lower', 'l:u', ...UPPER, 'm'],
    says: 'the lower layer "@/u" lies inside "@/u"',
  },
  {
    what: 'an upper in use by a live mount',
    args: ['--lower', 'l', '--upper', '../shared/live/upper', '--workdir', 'w', 'm'],
    says: '"%/live/upper" is in use by another mount',
  },
  {
    what: 'a work directory in use by a live mount',
    args: [...GOOD, '--workdir', '../shared/live/.upper.unionfs-work', 'm'],
    says: '"%/live/.upper.unionfs-work" is in use by another mount',
  },
  {
    what: 'the work directory of another upper',
    args: [...GOOD, '--workdir', '../shared/idle/.upper.unionfs-work', 'm'],
    says: 'workdir "%/idle/.upper.unionfs-work" belongs to another upper; choose a new work directory with --workdir',
  },
  {
    what: 'an unknown option',
    args: ['--lowr', 'l', 'm'],
    says: 'unknown option "--lowr"; did you mean "--lower"?',
  },
  {
    what: 'an unknown -o option',
    args: [...GOOD, '-o', 'ro,nosuit', 'm'],
    says: 'unknown option "-o nosuit"; did you mean "nosuid"?',
  },
  {
    what: 'an -o option without its value',
    args: ['-o', 'lowerdir', 'm'],
    says: 'option "-o lowerdir" needs a value',
  },
  {
    what: 'a bad --layer-changes',
    args: [...GOOD, '--layer-changes', 'sometimes', 'm'],
    says: 'invalid value "sometimes" for option "--layer-changes": use "watch", "ttl=SECONDS" or "never"',
  },
  {
    what: 'a time-out that is no number',
    args: [...GOOD, '--layer-changes', 'ttl=soon', 'm'],
    says: 'invalid value "ttl=soon" for option "--layer-changes": use "watch", "ttl=SECONDS" or "never"',
  },
  {
    what: 'umount of what is no union',
    args: ['../shared/tmpfs'],
    speaker: 'umount',
    says: '"../shared/tmpfs" is not a unionfs mountpoint',
  },
  {
    what: 'umount of what does not exist',
    args: ['nope'],
    speaker: 'umount',
    says: '"nope" is not a unionfs mountpoint',
  },
  {
    what: 'inspect of what is no union',
    args: ['l'],
    speaker: 'inspect',
    says: '"l" is not a unionfs mountpoint',
  },
  {
    what: 'diff of a directory that was never a layer',
    args: ['l'],
    speaker: 'diff',
    says: '"l" is neither a unionfs mountpoint nor the upper or work directory of one',
  },
  { what: 'diff of what does not exist', args: ['nope'], speaker: 'diff', says: '"nope" does not exist' },
  {
    what: 'diff of nothing',
    args: [],
    speaker: 'diff',
    says: 'missing mountpoint; name one, or layers with --lower and --upper',
  },
  { what: 'diff of a damaged record', args: ['damaged'], speaker: 'diff', says: /"@\/damaged/ },
  {
    what: 'explain outside of every union',
    args: ['l/file'],
    speaker: 'explain',
    says: '"l/file" is not inside a unionfs mount; name its layers with --lower and --upper',
  },
  {
    what: 'explain of an unknown operation',
    args: ['../shared/live/merged/f', '--op', 'remove'],
    speaker: 'explain',
    says: /^unknown operation "remove"; use "read", "write", .* or "mv"$/,
  },
  {
    what: 'a dead mount as lower layer',
    args: ['--lower', '../shared/dead/merged', 'm'],
    says: /"%\/dead\/merged"/,
  },
  {
    what: 'a dead mount as upper',
    args: ['--lower', 'l', '--upper', '../shared/dead/merged', 'm'],
    says: /"%\/dead\/merged"/,
  },
  {
    what: 'a dead mount as mountpoint',
    args: ['--lower', 'l', '../shared/dead/merged'],
    says: /"%\/dead\/merged"/,
  },
  {
    what: 'explain of a move to nowhere',
    args: ['../shared/live/merged/f', '--op', 'mv'],
    speaker: 'explain',
    says: '--op mv needs the new name; add --to',
  },
];

/** A mistake that was made. */
interface Made extends Outcome {
  readonly directory: string;
  readonly before: Listing;
  readonly after: Listing;
}

const AT_ONCE = 3;
const TIMEOUT_MS = 60_000;

describe(SUITE, function () {
  this.timeout(TIMEOUT_MS);
  const place = usePlace(SUITE);
  const made = new Map<Mistake, Made>();
  let shared: string;
  let sharedBefore: Listing;

  before(async () => {
    shared = place.path('shared');
    place.make({ shared: { tmpfs: {}, 'read-only': {} } });
    run('mount', ['-t', 'tmpfs', 'tmpfs', join(shared, 'tmpfs')]);
    run('mount', ['-t', 'tmpfs', 'tmpfs', join(shared, 'read-only')]);
    mkdirSync(join(shared, 'read-only/u'));
    run('mount', ['-o', 'remount,ro', join(shared, 'read-only')]);
    const union = (name: string): Union => place.union(`shared/${name}`, { lowers: [{ f: 'f' }] });
    union('live');
    const idle = union('idle');
    writeFileSync(idle.at('f'), 'changed');
    idle.umount();
    const dead = union('dead');
    process.kill(serverOf(dead.mountpoint), 'SIGKILL');
    waitUntil('it is dead', () => processesNaming(dead.mountpoint).length === 0);
    sharedBefore = describeShared();
    const queue = MISTAKES.entries();
    await Promise.all(Array.from({ length: AT_ONCE }, () => makeAll(queue)));
  });

  const SHARED = ['live/upper', 'live/.upper.unionfs-work', 'idle', 'dead/upper', 'read-only', 'tmpfs'];

  /** The layers of the unions that mistakes share; a dead mount cannot be listed. */
  const describeShared = (): Listing =>
    new Map(
      SHARED.flatMap((name) =>
        [...describeTree(join(shared, name))].map(([path, entry]) => [`${name}/${path}`, entry] as const),
      ),
    );

  async function makeAll(queue: Iterable<[number, Mistake]>): Promise<void> {
    for (const [index, mistake] of queue) made.set(mistake, await make(`mistake${index}`, mistake));
  }

  async function make(name: string, { args, speaker = 'mount' }: Mistake): Promise<Made> {
    const directory = prepare(name);
    const before = describeTree(directory);
    const outcome = await place.unionfsAtOnce([speaker, ...args], directory);
    place.detachBelow(directory); // what should not have been mounted
    return { ...outcome, directory, before, after: describeTree(directory) };
  }

  /** What mistakes are made with. */
  function prepare(name: string): string {
    const directory = place.path(name);
    const damaged = { 'unionfs.json': '{ "version": 1, "low' };
    place.make({
      [name]: { l: { f: 'f' }, l2: { inside: {} }, u: {}, m: { inside: {} }, m2: {}, file: 'x', damaged },
    });
    symlinkSync('loop', join(directory, 'loop'));
    symlinkSync('l2/inside', join(directory, 'link-to-inside'));
    return directory;
  }

  /** One line and exit code 1; the line. */
  function refusal({ status, stdout, stderr }: Outcome): string {
    assert.match(stderr, /^[^\n]+\n$/, 'exactly one line on standard error');
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
    return stderr.trimEnd();
  }

  const escapePattern = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

  for (const mistake of MISTAKES) {
    const { what, says, speaker = 'mount' } = mistake;

    it(`${what}: one line says what is wrong`, () => {
      const outcome = made.get(mistake) ?? assert.fail('was not made');
      const places = (text: string, as = (path: string): string => path): string =>
        text.replaceAll('@', as(outcome.directory)).replaceAll('%', as(shared));
      const line = refusal(outcome);
      const prefix = `unionfs ${speaker}: `;
      assert.isTrue(line.startsWith(prefix), line);
      const message = line.slice(prefix.length);
      if (typeof says === 'string') assert.equal(message, places(says));
      else assert.match(message, new RegExp(places(says.source, escapePattern)));
    });

    it(`${what}: nothing is changed`, () => {
      const { before, after } = made.get(mistake) ?? assert.fail('was not made');
      assertSameTree(after, before, 'the directories after and before');
    });
  }

  it('a mistake in the foreground waits for the thread that has begun to load, which would abort the process', () => {
    const cwd = prepare('foreground');
    for (let count = 0; count < FOREGROUND_MISTAKES; count++) {
      const outcome = place.unionfs(['mount', '-f', '--lower', 'nope', 'm'], { cwd });
      assert.equal(refusal({ ...outcome }), `unionfs mount: "${join(cwd, 'nope')}" does not exist`);
    }
  });

  it('nothing is changed in the layers of other unions, their records included', () => {
    assertSameTree(describeShared(), sharedBefore, 'the layers after and before');
    assert.equal(place.succeed(['diff', 'idle/upper'], { cwd: shared }), 'C /f\n');
    assert.equal(readFileSync(join(shared, 'live/merged/f'), 'latin1'), 'f');
  });

  it('an unknown command is named, with the nearest known one', () => {
    const line = refusal(place.unionfs(['mont', 'm']));
    assert.equal(line, 'unionfs: unknown command "mont"; did you mean "mount"?');
  });

  describe('a user without right to the mountpoint', () => {
    let outcome: Made;

    before(() => {
      const directory = prepare('nobody');
      run('chown', ['-R', `${NOBODY}:${NOBODY}`, directory]); // a work directory could be made
      run('chown', ['0:0', join(directory, 'm')]);
      const before = describeTree(directory);
      // The program is bound to a place that everybody can reach.
      place.make({ program: {} });
      const root = join(CLI, '../../..');
      const script = 'mount --bind "$1" "$2" && cd "$3" && shift 3 && exec setpriv "$@"';
      const result = place.outcome('unshare', [
        ...['--mount', 'sh', '-c', script, 'sh', root, place.path('program'), directory],
        ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
        ...[join(place.path('program'), relative(root, CLI)), 'mount', ...GOOD, 'm'],
      ]);
      outcome = { ...result, directory, before, after: describeTree(directory) };
    });

    it('is told so in one line', () => {
      const message = `"${join(outcome.directory, 'm')}" is not writable by uid ${NOBODY}; choose a mountpoint that is`;
      assert.equal(refusal(outcome), `unionfs mount: ${message}`);
    });

    it('has changed nothing', () => {
      assertSameTree(outcome.after, outcome.before, 'the directories after and before');
    });
  });
});
