/**
 * Runs a small container in every rootless mode that the other findings predict, so that "ok" has been seen to work.
 *
 * Rules: the image is this host's true(1), in a temporary store beside the real one. Nothing is run if another finding
 * prevents `tscr run` already. The container is run by this program, started as a user starts it.
 */
import type { Host } from '../host/host.js';
import { packageFile } from '../host/package.js';
import type { RootlessMode } from '../rootless/mode.js';
import { type Finding, missing, ok } from './finding.js';

export interface TrialFacts {
  /** By the value of `--userns`: the error message of the container, undefined if it ran. */
  readonly outcomes: Readonly<Record<string, string | undefined>>;
}

const SHELL = '/bin/sh';
/** $0 the program, $1 the directory, $2 the value of --userns. */
const SCRIPT = `own=$(mktemp -d "$1/.tscr-doctor-XXXXXX") || exit 125
trap 'rm -rf "$own"' EXIT
export TSCR_ROOT="$own/store" TSCR_RUN="$own/run"
"$0" image from-host true -t doctor:1 >/dev/null && "$0" run --rm --userns "$2" doctor:1 true`;
const PATIENCE_MS = 60_000;

/** Values of `--userns` to try, by rootless mode; a user with ranges can also use a single id. */
const TRIED: Readonly<Record<RootlessMode, readonly string[]>> = {
  root: ['auto'],
  ranges: ['auto', 'single'],
  'one-id': ['auto'],
};

/** @param nearest the store, or its nearest parent that exists */
export function probeTrial(host: Host, nearest: string, rootlessMode: RootlessMode): TrialFacts {
  const program = packageFile('dist/bin/tscr');
  const outcomes = TRIED[rootlessMode].map((userns) => {
    const outcome = host.run(SHELL, ['-c', SCRIPT, program, nearest, userns], PATIENCE_MS);
    const lines = outcome?.stderr.trim().split('\n') ?? [];
    const complaint =
      outcome === undefined || outcome.status === 0
        ? undefined
        : (lines.findLast((line) => line.startsWith('tscr run: ')) ??
          lines.at(-1) ??
          'no reason was reported');
    return [userns, complaint === '' ? 'it did not exit in time' : complaint] as const;
  });
  return { outcomes: Object.fromEntries(outcomes) };
}

export function judgeTrial({ outcomes }: TrialFacts): Finding[] {
  return Object.entries(outcomes).map(([userns, complaint]) => {
    const id = userns === 'auto' ? 'run.trial' : `run.trial-${userns}`;
    const what = `a container with --userns ${userns}`;
    return complaint === undefined
      ? ok(id, `${what} ran`)
      : missing(id, `${what} failed: ${complaint.replace(/^tscr run: |; run "tscr doctor"$/g, '')}`);
  });
}
