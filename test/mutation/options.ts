/** The command line of `npm run mutate`. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';

export interface Options {
  /** Prefixes of the sources that are mutated. */
  readonly sources: readonly string[];
  /** Parts of the paths of the test files that judge; empty: all that reach the sources. */
  readonly tests: readonly string[];
  /** How many mutants are tried, drawn by `seed`; 0 tries all. */
  readonly sample: number;
  readonly seed: number;
  /** Trials at once. */
  readonly jobs: number;
  /** Where what the tests reach is kept between runs of the same commit; by default nowhere. */
  readonly cache: string | undefined;
}

export const USAGE = `Usage: npm run mutate -- [options]

  --sources LIST  prefixes of the sources to mutate (fs/union,runtime/image)
  --tests LIST    judge only by test files with one of these in their path, as "union/rules,image/" (all)
  --sample N      mutants to try, drawn at random; 0: all (300)
  --seed N        of the draw (today's date)
  --jobs N        trials at once (${availableParallelism()})
  --cache FILE    keeps which test reaches which mutant, for the next run of the same sources and tests
`;

/** Throws `Error` for what it does not know. */
export function parseOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      sources: { type: 'string', default: 'fs/union,runtime/image' },
      tests: { type: 'string', default: '' },
      sample: { type: 'string', default: '300' },
      seed: { type: 'string', default: new Date().toISOString().slice(0, 10).replaceAll('-', '') },
      jobs: { type: 'string', default: String(availableParallelism()) },
      cache: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  return {
    sources: values.sources.split(','),
    tests: values.tests.split(',').filter((text) => text !== ''),
    sample: whole('sample', values.sample, 0),
    seed: whole('seed', values.seed, 0),
    jobs: whole('jobs', values.jobs, 1),
    cache: values.cache,
  };
}

function whole(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < least)
    throw new Error(`--${option} takes an integer from ${least} on, not "${text}"`);
  return value;
}
