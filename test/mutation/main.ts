/**
 * `npm run mutate`: how many deliberate bugs do the tests notice?
 *
 * Rules: a mutant counts as killed if a test file that reaches it fails, or does not end in three times its usual time.
 * A mutant that no test reaches counts as survived. The score is the part of the mutants tried that were killed.
 * Exit code 1 if a test file fails without any mutant.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ACTIVE, instrument, type Mutant, REACHED } from './instrument.js';
import { type Options, parseOptions, USAGE } from './options.js';
import { attempt, openDirectory } from './trial.js';

/** Test folders that reach the sources; the others take minutes a file, or are about the tests themselves. */
const FOLDERS = ['unit', 'union', 'image', 'sys', 'mount', 'crash', 'container', 'hostile', 'cli'];
const FIRST_TIMEOUT_MS = 300_000;
const SLACK_MS = 15_000;
const SLOWER = 3;

/** What one test file reaches, and how long it takes. */
interface Reach {
  readonly file: string;
  readonly milliseconds: number;
  readonly mutants: readonly string[];
}

interface Verdict {
  readonly mutant: Mutant;
  /** The test file that noticed; `undefined` if none did. */
  readonly killer: string | undefined;
  readonly reached: boolean;
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  const copy = openDirectory('unionfs-mutants-');
  try {
    await mutate(options, copy);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

async function mutate(options: Options, copy: string): Promise<void> {
  const mutants = await instrument(process.cwd(), copy, options.sources);
  say(`${mutants.length} mutants in ${options.sources.join(', ')}`);
  const reach = await reachOf(copy, options);
  const chosen = options.sample === 0 ? mutants : draw(mutants, options.sample, options.seed);
  const verdicts: Verdict[] = [];
  await inTurn(chosen, options.jobs, async (mutant) => {
    const verdict = await judge(copy, mutant, reach);
    verdicts.push(verdict);
    if (verdict.killer === undefined) say(describe(verdict));
    if (verdicts.length % PROGRESS === 0) say(`... ${verdicts.length} of ${chosen.length}`);
  });
  report(verdicts, options);
}

const PROGRESS = 25;

async function reachOf(copy: string, { cache, jobs, tests }: Options): Promise<readonly Reach[]> {
  if (cache !== undefined && existsSync(cache)) return JSON.parse(readFileSync(cache, 'utf8')) as Reach[];
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(copy, 'dist/test', folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.js'))
      .map((name) => `dist/test/${folder}/${name}`)
      .filter((file) => tests.length === 0 || tests.some((part) => file.includes(part))),
  );
  const found: Reach[] = [];
  await inTurn(files, jobs, async (file) => {
    const list = join(copy, `reached-${file.replaceAll('/', '-')}`);
    writeFileSync(list, '', { mode: 0o666 });
    const { passed, milliseconds, output } = await attempt(copy, file, { [REACHED]: list }, FIRST_TIMEOUT_MS);
    if (!passed) {
      say(`${file} fails without a mutant, and is left out:\n${output.slice(-1500)}`);
      process.exitCode = 1;
      return;
    }
    found.push({ file, milliseconds, mutants: [...new Set(readFileSync(list, 'utf8').split('\n'))] });
  });
  found.sort((a, b) => a.milliseconds - b.milliseconds);
  if (cache !== undefined) writeFileSync(cache, JSON.stringify(found));
  return found;
}

async function judge(copy: string, mutant: Mutant, reach: readonly Reach[]): Promise<Verdict> {
  const able = reach.filter(({ mutants }) => mutants.includes(mutant.id));
  for (const { file, milliseconds } of able) {
    const { passed } = await attempt(copy, file, { [ACTIVE]: mutant.id }, milliseconds * SLOWER + SLACK_MS);
    if (!passed) return { mutant, killer: file, reached: true };
  }
  return { mutant, killer: undefined, reached: able.length > 0 };
}

/** Mulberry32, and a partial Fisher-Yates shuffle. */
function draw<T>(from: readonly T[], count: number, seed: number): T[] {
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const rest = [...from];
  return Array.from({ length: Math.min(count, rest.length) }, () => {
    const [taken] = rest.splice(Math.floor(random() * rest.length), 1);
    return taken as T;
  });
}

async function inTurn<T>(items: readonly T[], jobs: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  const worker = async (): Promise<void> => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: jobs }, worker));
}

function describe({ mutant, reached }: Verdict): string {
  const short = (text: string): string => JSON.stringify(text.length > 90 ? `${text.slice(0, 87)}...` : text);
  const why = reached ? 'survived' : 'not reached';
  return `${why}  ${mutant.file}:${mutant.line}  ${mutant.mutator}  ${short(mutant.original)} -> ${short(mutant.replacement)}`;
}

function report(verdicts: readonly Verdict[], { sample, seed }: Options): void {
  const files = [...new Set(verdicts.map(({ mutant }) => mutant.file))].sort();
  for (const file of files) say(`${score(verdicts.filter(({ mutant }) => mutant.file === file))}  ${file}`);
  say(`${score(verdicts)}  all${sample === 0 ? '' : `, a sample drawn with seed ${seed}`}`);
}

function score(verdicts: readonly Verdict[]): string {
  const killed = verdicts.filter(({ killer }) => killer !== undefined).length;
  return `${((100 * killed) / verdicts.length).toFixed(0).padStart(3)} %  ${killed} of ${verdicts.length}`;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

await main();
