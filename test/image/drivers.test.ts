/**
 * Protects what becomes of a container's changes: whichever driver made its root, the layer that `commit` writes and
 * the archive that `export` writes are the same, byte for byte, and show what the container showed: links, data, holes,
 * deletions. `diff` says the same, too.
 *
 * Rule: one stack of layers is changed in the same way on our mount, on kernel overlayfs and in a plain copy; what the run
 * dated is dated alike afterwards. UNIONFS_PROVE=N tries N random sequences, UNIONFS_SEED=S draws them otherwise.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { assert } from 'chai';
import fc from 'fast-check';
import { fstat, utimensat } from '../../fs/sys/syscalls.js';
import { type ChangedStack, changes } from '../../fs/union/offline/difference.js';
import { flattenStack } from '../../fs/union/offline/flatten.js';
import type { ViewedStack } from '../../fs/union/offline/view.js';
import { packChanges, packTree } from '../../runtime/image/layer/pack.js';
import { unpackLayer } from '../../runtime/image/layer/unpack.js';
import { BUILD, PERFORM } from '../conformance/perform.js';
import { layer, operation } from '../conformance/scenario.js';
import { mountKernel, umountKernel } from '../support/acceptance/mount.js';
import { describeTree, diffTrees } from '../support/acceptance/tree.js';
import { collect } from '../support/image/scratch.js';
import type { Client } from '../support/mount/client.js';
import { type Place, usePlace } from '../support/mount/place.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { run } from '../support/run.js';

const SUITE = 'drivers: one image from all';
const IN_CI = 25;
const SEED_IN_CI = 12;
const TIMEOUT_MS_PER_RUN = 20_000;
const MOST_LAYERS = 3;
const MOST_OPERATIONS = 12;
const SYSTEMS = ['ours', 'kernel', 'copy'] as const;
type Systems<T> = Readonly<Record<(typeof SYSTEMS)[number], T>>;

/** Gives everything that was dated since `start` the same time, innermost first. */
const SETTLE = `
def settle(root, start):
    for at, directories, files in os.walk(root, topdown=False):
        for name in files + directories + ['.']:
            path = os.path.join(at, name)
            if os.lstat(path).st_mtime_ns >= start:
                os.utime(path, ns=(15 * 10**17, 15 * 10**17), follow_symlinks=False)
`;

/** Files with several names in the lower layer, in one directory and in several. */
const LINKED = `
set -e
echo old > a; ln a b; ln a c
mkdir one two; echo deep > one/x; ln one/x two/y; ln one/x z
ln -s nowhere s; ln s t
mkfifo p; ln p q
echo alone > alone
mkdir full; echo 1 > full/1; ln full/1 full/2; ln full/1 out
touch -hd @1000000000.5 a one/x s p alone full/1 one two full .
`;

/** What is done, and what each protects. */
const CHANGES: readonly (readonly [what: string, script: string])[] = [
  ['a write through one name', 'echo new > a'],
  ['a write through the second name', 'echo new > b'],
  ['an append through a name in another directory', 'echo more >> two/y'],
  ['a mode', 'chmod 600 c'],
  ['an owner of a symlink with two names', 'chown -h 7:8 t'],
  ['an attribute', 'setfattr -n user.x -v 1 b'],
  ['a time of a fifo with two names', 'touch -d @5 q'],
  ['nothing at all', 'true'],
  ['a change that is undone', 'chmod 600 alone; chmod 644 alone; mv a a2; mv a2 a'],
  ['a name that goes', 'rm a'],
  ['the written name goes, and others show what was written', 'echo new > a; rm a'],
  ['all names but one go', 'echo new > a; rm a c'],
  ['all names go', 'rm a b c'],
  ['a new name of a lower file', 'ln alone another'],
  ['a new name of a lower file with several', 'ln b one/d'],
  ['a new name that replaces another file', 'ln -f alone b'],
  ['a name that becomes a file of its own', 'cp -p a new; mv new a'],
  ['a name that becomes another file', 'echo new > new; mv new a'],
  ['the names that stay are not the first', 'cp -p a new; mv new b'],
  ['a name that moves', 'mv a moved'],
  ['a name that moves to another directory', 'mv z two/z; echo more >> two/z'],
  ['a directory of a name moves', 'mv one renamed'],
  ['a directory of a name moves, and the file is written', 'mv one renamed; echo new > z'],
  ['both directories of names move', 'mv one two/; mv two three; echo new > three/y'],
  ['a directory of names goes', 'rm -r full'],
  ['a directory of names is emptied and filled', 'echo new > out; rm -r full; mkdir full; ln out full/2'],
  ['a directory takes the place of a name', 'rm a; mkdir a; ln b a/b'],
  ["a directory takes another one's place", 'rm -r full; mv one full'],
  ['links of new files', 'echo n > n; ln n m; mkdir d; ln n d/l; rm n'],
  ['two files are swapped', 'mv a tmp; mv z a; mv tmp z'],
  ['links between what were two files', 'ln -f z b; ln -f alone two/y'],
];

/** One at a time, what is looked at differs: without the others there may be no index, or nothing in it. */
const { UNIONFS_ACCEPTANCE, UNIONFS_PROVE, UNIONFS_SEED } = process.env;
const ALONE = /^(true|mv one renamed|cp -p a new; mv new b|ln alone another)$/;
const EACH = CHANGES.filter(([, script]) => UNIONFS_ACCEPTANCE === 'full' || ALONE.test(script));

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let count = 0;

  before(function () {
    if (!IS_HOST_ROOT) this.skip();
  });

  async function changed(scripts: readonly string[]): Promise<void> {
    const scene = new Scene(place, `s${count++}`, 1);
    const each = (script: (at: number) => string): string =>
      scripts.map((_, at) => `mkdir -p ${at} && (cd ${at}\n${script(at)}\n)`).join('\n');
    try {
      run('bash', ['-ec', each(() => LINKED)], { cwd: scene.lowers[0] ?? '' });
      scene.open();
      const script = each((at) => scripts[at] ?? '');
      for (const system of SYSTEMS) run('bash', ['-ec', script], { cwd: scene.root[system] });
      await scene.check();
    } finally {
      scene.close();
    }
  }

  it('every change of files with several names, beside each other', async () => {
    await changed(CHANGES.map(([, script]) => script));
  });

  for (const [what, script] of EACH) it(what, async () => changed([script]));

  const numRuns = Number(UNIONFS_PROVE ?? IN_CI);
  const seed = Number(UNIONFS_SEED ?? SEED_IN_CI);
  it(`any layers and any changes: ${numRuns} sequences (seed ${seed})`, async function () {
    this.timeout(numRuns * TIMEOUT_MS_PER_RUN);
    const sequences = fc.record({
      layers: fc.array(layer, { minLength: 1, maxLength: MOST_LAYERS }),
      operations: fc.array(operation, { minLength: 1, maxLength: MOST_OPERATIONS, size: 'max' }),
    });
    const client = place.client();
    await client.run([BUILD, PERFORM]);
    const property = fc.asyncProperty(sequences, async ({ layers, operations }) => {
      place.watch();
      const scene = new Scene(place, `r${count++}`, layers.length);
      try {
        await build(client, scene.lowers, layers);
        scene.open();
        for (const system of SYSTEMS)
          await client.run('perform(at, operations, [])', { at: scene.root[system], operations });
        await scene.check();
      } finally {
        scene.close();
      }
    });
    try {
      await fc.assert(property, { seed, numRuns });
    } finally {
      await client.end();
    }
  });
});

async function build(
  client: Client,
  lowers: readonly string[],
  layers: readonly (readonly unknown[])[],
): Promise<void> {
  for (const [index, at] of [...lowers.entries()].reverse()) {
    run('rmdir', [at]);
    const below = lowers.slice(index + 1);
    await client.run('build(at, entries, False, below)', { at, entries: layers[index] ?? [], below });
  }
}

/** The same layers under all three drivers. */
class Scene {
  readonly lowers: readonly string[];
  readonly root: Systems<string>;
  readonly #place: Place;
  readonly #name: string;
  readonly #union: ReturnType<Place['layers']>;
  readonly #kernel: { upper: string; work: string; mountpoint: string };
  #start = 0n;
  #stacks: Systems<ChangedStack> | undefined;

  constructor(place: Place, name: string, layers: number) {
    this.#place = place;
    this.#name = name;
    this.#union = place.layers(name, { lowers: Array.from({ length: layers }, () => ({})) });
    const at = (part: string): string => place.path(name, part);
    for (const part of ['kernel-upper', 'kernel-work', 'kernel', 'copy', 'stamp'])
      place.make({ [join(name, part)]: {} });
    this.#kernel = { upper: at('kernel-upper'), work: at('kernel-work'), mountpoint: at('kernel') };
    this.lowers = this.#union.lowers;
    this.root = { ours: this.#union.mountpoint, kernel: at('kernel'), copy: at('copy') };
  }

  open(): void {
    const { lowers } = this;
    const top = lowers[0] ?? '';
    for (const root of [this.#union.upper, this.#kernel.upper, this.root.copy])
      run('bash', ['-c', `chmod --reference="$1" "$0"; touch -r "$1" "$0"`, root, top]);
    this.#copy();
    this.#union.mount();
    mountKernel({ ...this.#kernel, lower: lowers });
    this.#stacks = {
      ours: { upper: this.#union.upper, work: this.#union.work, lowers },
      kernel: { upper: this.#kernel.upper, work: this.#kernel.work, lowers },
      copy: { upper: this.root.copy, lowers, copied: this.#stamp() },
    };
    this.#start = BigInt(Date.now() - 20) * 1_000_000n;
  }

  #copy(): void {
    flattenStack({ lowers: this.lowers }, this.root.copy);
  }

  /** The time of a file that is touched now. */
  #stamp(): ChangedStack['copied'] {
    const fd = openSync(this.#place.path(this.#name, 'stamp'), 'r');
    utimensat(fd, '', 'now', 'now');
    const { ctime } = fstat(fd);
    closeSync(fd);
    return ctime;
  }

  async check(): Promise<void> {
    const stacks = this.#stacks ?? assert.fail('the scene is not open');
    for (const system of SYSTEMS)
      this.#place.python([SETTLE, 'settle(root, start)'], {
        root: this.root[system],
        start: Number(this.#start),
      });
    const shown = describeTree(this.root.copy);
    assert.deepEqual(diffTrees(describeTree(this.root.ours), describeTree(this.root.kernel)), [], 'shown');
    this.#umount();
    const layers = await this.#same('the layer', (system) => packChanges(stacks[system]));
    await this.#same('the export', (system) => this.#exported(stacks[system], system));
    const told = (system: keyof Systems<unknown>) => [...changes(stacks[system])];
    assert.deepEqual(told('ours'), told('copy'), 'diff');
    assert.deepEqual(told('kernel'), told('copy'), 'diff');
    const again = await this.#shownBy(layers);
    assert.deepEqual(diffTrees(again, shown), [], 'what the image shows');
  }

  /** What all drivers give. */
  async #same(what: string, archive: (system: keyof Systems<unknown>) => Readable): Promise<Buffer> {
    const archives: Buffer[] = [];
    for (const system of SYSTEMS) archives.push(await collect(archive(system)));
    const [first = Buffer.alloc(0)] = archives;
    for (const [at, other] of archives.entries()) {
      if (other.equals(first)) continue;
      assert.deepEqual(listed(other), listed(first), `${what}: ${SYSTEMS[at]} there, ours here`);
      assert.fail(`${what} of ${SYSTEMS[at]} and ours differ in bytes that tar does not list`);
    }
    return first;
  }

  #exported(stack: ChangedStack, system: string): Readable {
    if (stack.copied !== undefined) return packTree(stack.upper);
    return packTree(this.#flattened(stack, `${system}-export`));
  }

  #flattened(stack: ViewedStack, name: string): string {
    this.#place.make({ [join(this.#name, name)]: {} });
    const directory = this.#place.path(this.#name, name);
    flattenStack(stack, directory);
    return directory;
  }

  /** The tree of an image of the layers and one more. */
  async #shownBy(layer: Buffer): Promise<ReturnType<typeof describeTree>> {
    this.#place.make({ [join(this.#name, 'layer')]: {} });
    const directory = this.#place.path(this.#name, 'layer');
    await unpackLayer(Readable.from([layer], { objectMode: false }), directory);
    return describeTree(this.#flattened({ lowers: [directory, ...this.lowers] }, 'again'));
  }

  #umount(): void {
    if (this.#stacks === undefined) return;
    this.#stacks = undefined;
    this.#union.umount();
    umountKernel(this.#kernel.mountpoint);
  }

  close(): void {
    this.#umount();
    this.#place.detachBelow(this.#place.path(this.#name));
    run('rm', ['-rf', '--one-file-system', this.#place.path(this.#name)]);
  }
}

/** An archive's entries with all that GNU tar tells of them. */
function listed(tar: Buffer): string[] {
  const options = ['--xattrs', '--acls', '--numeric-owner', '--full-time', '-tvvf', '-'];
  return spawnSync('tar', options, { input: tar }).stdout.toString('latin1').trim().split('\n');
}
