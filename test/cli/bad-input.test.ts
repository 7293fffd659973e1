/**
 * Protects users from their mistakes: one clear line on standard error, exit code 1, and nothing changed, not even
 * for a moment (the times of directories are compared as well).
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { assert } from 'chai';
import { run } from '../acceptance/run.js';
import { assertSameTree } from '../acceptance/stage.js';
import { describeTree } from '../acceptance/tree.js';
import { CLI, mountLines, type Outcome, type Union, usePlace } from '../mount/place.js';
import { serverOf, waitUntil } from '../mount/processes.js';

const SUITE = 'unionfs: bad input';
const NOBODY = 65534;

interface Mistake {
  readonly what: string;
  readonly args: readonly string[];
  /** What the line says after "COMMAND: "; `@` stands for the directory of the test. */
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
  { what: 'a lower layer below a file', args: ['--lower', 'file/x', 'm'], says: '"@/file/x" does not exist' },
  { what: 'an empty layer', args: ['--lower', 'l::l2', 'm'], says: '"" does not exist' },
  { what: 'a lower layer that leads to itself', args: ['--lower', 'loop', 'm'], says: /"@\/loop"/ },
  {
    what: 'a lower layer with a path that is too long',
    args: ['--lower', 'x'.repeat(300), 'm'],
    says: /"@\/x{300}"/,
  },
  { what: 'no lower layer', args: [...UPPER, 'm'], says: 'no lower layer is given; name one with --lower' },
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
  { what: 'two mountpoints', args: [...GOOD, 'm', 'm2'], says: /^too many arguments/ },
  {
    what: 'a work directory on another filesystem',
    args: [...GOOD, '--workdir', 'tmpfs/w', 'm'],
    says: 'workdir "@/tmpfs/w" is not on the filesystem of upper "@/u"; choose one with --workdir',
  },
  {
    what: 'a mounted filesystem as work directory',
    args: [...GOOD, '--workdir', 'tmpfs', 'm'],
    says: 'workdir "@/tmpfs" is not on the filesystem of upper "@/u"; choose one with --workdir',
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
    what: 'an upper inside the work directory',
    args: ['--lower', 'l', '--upper', 'l2/inside', '--workdir', 'l2', 'm'],
    says: 'upper "@/l2/inside" and workdir "@/l2" must not contain each other',
  },
  {
    what: 'a work directory without upper',
    args: ['--lower', 'l', '--workdir', 'w', 'm'],
    says: 'workdir "@/w" is of no use without --upper',
  },
  {
    what: 'an upper on a filesystem that is read-only',
    args: ['--lower', 'l', '--upper', 'read-only/u', 'm'],
    says: /"@\/read-only/,
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
    what: 'a mountpoint inside a lower layer',
    args: ['--lower', 'l2', 'l2/inside'],
    says: 'the mountpoint "@/l2/inside" lies inside the layer "@/l2"',
  },
  {
    what: 'a mountpoint inside upper, by way of a symlink',
    args: ['--lower', 'l', '--upper', 'l2', 'link-to-inside'],
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
    args: ['--lower', 'l', '--upper', 'live/upper', '--workdir', 'w', 'm'],
    says: '"@/live/upper" is in use by another mount',
  },
  {
    what: 'a work directory in use by a live mount',
    args: [...GOOD, '--workdir', 'live/.upper.unionfs-work', 'm'],
    says: '"@/live/.upper.unionfs-work" is in use by another mount',
  },
  {
    what: 'the work directory of another upper',
    args: [...GOOD, '--workdir', 'idle/.upper.unionfs-work', 'm'],
    says: 'workdir "@/idle/.upper.unionfs-work" belongs to another upper; choose a new one with --workdir',
  },
  {
    what: 'an unknown option',
    args: ['--lowr', 'l', 'm'],
    says: 'unknown option "--lowr"; the nearest known one is "--lower"',
  },
  {
    what: 'an unknown -o option',
    args: [...GOOD, '-o', 'ro,nosuit', 'm'],
    says: 'unknown option "-o nosuit"; the nearest known one is "nosuid"',
  },
  {
    what: 'an -o option without its value',
    args: ['-o', 'lowerdir', 'm'],
    says: 'the option "-o lowerdir" needs a value',
  },
  {
    what: 'a bad --layer-changes',
    args: [...GOOD, '--layer-changes', 'sometimes', 'm'],
    says: '--layer-changes "sometimes" is none of "watch", "ttl=SECONDS", "never"',
  },
  {
    what: 'a time-out that is no number',
    args: [...GOOD, '--layer-changes', 'ttl=soon', 'm'],
    says: '--layer-changes "ttl=soon" is none of "watch", "ttl=SECONDS", "never"',
  },
  {
    what: 'umount of what is no union',
    args: ['tmpfs'],
    speaker: 'umount',
    says: '"tmpfs" is not a unionfs mountpoint',
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
    says: 'name a mountpoint, or layers with --lower and --upper',
  },
  { what: 'diff of a damaged record', args: ['damaged'], speaker: 'diff', says: /"@\/damaged/ },
  {
    what: 'explain outside of every union',
    args: ['l/file'],
    speaker: 'explain',
    says: '"l/file" is not inside a unionfs mount; name layers with --lower and --upper',
  },
  {
    what: 'explain of an unknown operation',
    args: ['live/merged/f', '--op', 'remove'],
    speaker: 'explain',
    says: /^unknown operation "remove"; the nearest known one is "\w+"$/,
  },
  {
    what: 'explain of a move to nowhere',
    args: ['live/merged/f', '--op', 'mv'],
    speaker: 'explain',
    says: '--op mv needs the new name; give it with --to',
  },
];

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let bad: string;

  before(() => {
    bad = place.path('bad');
    place.make({
      bad: {
        l: { f: 'f' },
        l2: { inside: {} },
        u: {},
        m: { inside: {} },
        m2: {},
        file: 'x',
        tmpfs: {},
        'read-only': {},
      },
      'bad/damaged': { 'unionfs.json': '{ "version": 1, "low' },
    });
    place.python(`os.symlink('loop', 'loop'); os.symlink('l2/inside', 'link-to-inside')`, {}, { cwd: bad });
    run('mount', ['-t', 'tmpfs', 'tmpfs', join(bad, 'tmpfs')]);
    run('mount', ['-t', 'tmpfs', 'tmpfs', join(bad, 'read-only')]);
    mkdirSync(join(bad, 'read-only/u'));
    run('mount', ['-o', 'remount,ro', join(bad, 'read-only')]);
    place.union('bad/live', { lowers: [{ f: 'f' }] });
    const idle = place.union('bad/idle', { lowers: [{ f: 'f' }] });
    writeFileSync(idle.at('f'), 'changed');
    idle.umount();
  });

  /** Runs the program, which must fail with one line and change nothing. */
  function assertRefused(args: readonly string[], start?: (args: readonly string[]) => Outcome): string {
    const program = start ?? (() => place.unionfs(args, { cwd: bad }));
    const before = { tree: describeTree(bad), mounts: mountLines() };
    const { status, stdout, stderr } = program(args);
    assert.match(stderr, /^[^\n]+\n$/, 'exactly one line on standard error');
    assert.deepEqual({ status, stdout }, { status: 1, stdout: '' });
    assert.deepEqual(mountLines(), before.mounts);
    assertSameTree(describeTree(bad), before.tree, 'the directories after and before');
    return stderr.trimEnd();
  }

  const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');

  for (const { what, args, says, speaker = 'mount' } of MISTAKES) {
    it(`${what} is named in one line, and nothing is changed`, () => {
      const line = assertRefused([speaker, ...args]);
      const prefix = `${speaker}: `;
      assert.isTrue(line.startsWith(prefix), line);
      const message = line.slice(prefix.length);
      if (typeof says === 'string') assert.equal(message, says.replaceAll('@', bad));
      else assert.match(message, new RegExp(says.source.replaceAll('@', escaped(bad))));
    });
  }

  it('an unknown command is named, with the nearest known one', () => {
    assert.equal(assertRefused(['mont', 'm']), 'unknown command "mont"; the nearest known one is "mount"');
  });

  it('a failed mount does not spoil what is recorded of an earlier one', () => {
    const record = join(bad, 'idle/.upper.unionfs-work/unionfs.json');
    const before = readFileSync(record, 'utf8');
    place.unionfs(['mount', ...GOOD, '--workdir', 'idle/.upper.unionfs-work', 'm'], { cwd: bad });
    assert.equal(readFileSync(record, 'utf8'), before);
    assert.equal(place.succeed(['diff', 'idle/upper'], { cwd: bad }), 'C /f\n');
  });

  describe('a dead mount', () => {
    let dead: Union;

    before(() => {
      dead = place.union('dead', { lowers: [{ f: 'f' }] });
      const server = serverOf(dead.mountpoint);
      process.kill(server, 'SIGKILL');
      waitUntil('it is dead', () => !mountAnswers(dead));
    });

    for (const [what, args] of [
      ['lower layer', (path: string) => ['--lower', path, 'm']],
      ['upper', (path: string) => ['--lower', 'l', '--upper', path, 'm']],
      ['mountpoint', (path: string) => ['--lower', 'l', path]],
    ] as const) {
      it(`as ${what} is named in one line, and nothing is changed`, () => {
        const line = assertRefused(['mount', ...args(dead.mountpoint)]);
        assert.include(line, `"${dead.mountpoint}"`);
      });
    }
  });

  function mountAnswers({ mountpoint }: Union): boolean {
    return place.python(`result = attempt(os.stat, path)`, { path: mountpoint }) === 'ok';
  }

  it('a user without right to /dev/fuse is told so, and nothing is changed', () => {
    // The program is bound to a place that everybody can reach; an own work directory could be made.
    place.make({ bad: { nobody: { l: {}, u: {}, m: {} } }, program: {} });
    run('chown', ['-R', `${NOBODY}:${NOBODY}`, join(bad, 'nobody')]);
    const root = join(CLI, '../../..');
    const script =
      'mount --bind "$1" "$2" && cd "$3" && shift 3 && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"';
    const cli = join(place.path('program'), relative(root, CLI));
    const line = assertRefused(['mount', '--lower', 'l', '--upper', 'u', 'm'], (args) =>
      place.outcome('unshare', [
        ...['--mount', 'sh', '-c', script, 'sh', root, place.path('program'), join(bad, 'nobody')],
        ...[process.execPath, cli, ...args],
      ]),
    );
    assert.equal(line, `mount: /dev/fuse is not readable by uid ${NOBODY}; run as root`);
  });
});
