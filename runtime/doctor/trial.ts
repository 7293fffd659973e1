/**
 * One tiny container, run for real by every rung that the other findings promise: what is green has been seen to work.
 *
 * Rules: it is made of this host's true(1), in a store of its own beside the real one, which is removed. Nothing is tried
 * where another finding refuses `tscr run` already. The trial is this program, started anew as a user starts it.
 */
import type { Host } from '../host/host.js';
import { packageFile } from '../host/package.js';
import type { Rung } from '../rootless/mode.js';
import { type Finding, missing, ok } from './finding.js';

export interface TrialFacts {
  /** By the value of `--userns`: what the container complained of before it failed, or undefined if it ran. */
  readonly outcomes: Readonly<Record<string, string | undefined>>;
}

const SHELL = '/bin/sh';
/** $0 the program, $1 the directory, $2 the value of --userns. */
const SCRIPT = `own=$(mktemp -d "$1/.tscr-doctor-XXXXXX") || exit 125
trap 'rm -rf "$own"' EXIT
export TSCR_ROOT="$own/store" TSCR_RUN="$own/run"
"$0" image from-host true -t doctor:1 >/dev/null && "$0" run --rm --userns "$2" doctor:1 true`;
const PATIENCE_MS = 60_000;

/** Values of `--userns` by the rung that is chosen by itself; a user with ranges can do with one id as well. */
const TRIED: Readonly<Record<Rung, readonly string[]>> = {
  root: ['auto'],
  ranges: ['auto', 'single'],
  'one-id': ['auto'],
};

/** @param nearest the directory that the store is or will be made in */
export function probeTrial(host: Host, nearest: string, rung: Rung): TrialFacts {
  const program = packageFile('dist/bin/tscr');
  const outcomes = TRIED[rung].map((userns) => {
    const outcome = host.run(SHELL, ['-c', SCRIPT, program, nearest, userns], PATIENCE_MS);
    const lines = outcome?.stderr.trim().split('\n') ?? [];
    const complaint =
      outcome === undefined || outcome.status === 0
        ? undefined
        : (lines.findLast((line) => line.startsWith('run: ')) ?? lines.at(-1) ?? 'it gave no reason');
    return [userns, complaint === '' ? 'it did not end in time' : complaint] as const;
  });
  return { outcomes: Object.fromEntries(outcomes) };
}

export function judgeTrial({ outcomes }: TrialFacts): Finding[] {
  return Object.entries(outcomes).map(([userns, complaint]) => {
    const id = userns === 'auto' ? 'run.trial' : `run.trial-${userns}`;
    const what = `a container with --userns ${userns}`;
    return complaint === undefined
      ? ok(id, `${what} ran`)
      : missing(id, `${what} failed: ${complaint.replace(/^run: |; run "tscr doctor"$/g, '')}`);
  });
}
