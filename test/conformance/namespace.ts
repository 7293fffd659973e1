/**
 * Tests of this repository as somebody who is not root: in a user namespace with subordinate ids, or in none.
 *
 * Rules: in a namespace whoever runs them is its root (`podman unshare` does the same); without one he mounts through
 * fusermount3. The account's home holds layers and results, and goes with it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import type { Account } from '../support/rootless/account.js';

export const MODES = ['namespace', 'user'] as const;
/** With ranges of ids in a namespace of his own, or as he is. */
export type Mode = (typeof MODES)[number];

export const WHO: Readonly<Record<Mode, string>> = {
  namespace: 'root of a user namespace',
  user: 'an ordinary user',
};

export interface Told {
  /** The titles of suites and test, joined by blanks. */
  readonly fullTitle: string;
  /** Its file, from test/, without its endings. */
  readonly file: string;
  /** What went wrong, a skip included; undefined if the test passed. */
  readonly failure: string | undefined;
}

const TIMEOUT_MS = 60_000;
const SKIPPED = 'it was skipped';

/** What a namespace needs beside its ids; $@ goes on. The host's memory has no `security.` attributes of its root's. */
const ENTER = 'mount -t tmpfs -o mode=1777 none /dev/shm && exec "$@"';
const WAYS: Readonly<Record<Mode, readonly string[]>> = {
  namespace: [
    ...['unshare', '--user', '--map-root-user', '--map-auto', '--mount', '--propagation', 'private'],
    ...['sh', '-euc', ENTER, 'sh'],
  ],
  user: [],
};

interface Report {
  readonly tests: readonly {
    readonly fullTitle: string;
    readonly file: string;
    readonly err: { readonly message?: string };
  }[];
  readonly failures: Report['tests'];
  readonly pending: Report['tests'];
}

/**
 * Runs test files as the account.
 * @param files from test/, without their endings
 * @param env for the tests
 */
export function runTests(
  account: Account,
  mode: Mode,
  files: readonly string[],
  env: Readonly<Record<string, string>> = {},
  timeoutMs = TIMEOUT_MS,
): Told[] {
  const report = account.path('report.json');
  const mocha = ['node', 'node_modules/mocha/bin/mocha.js', '--no-config', '--timeout', String(TIMEOUT_MS)];
  const reporter = ['--reporter', 'json', '--reporter-option', `output=${report}`];
  const paths = files.map((file) => `dist/test/${file}.test.js`);
  const { stderr, stdout } = account.run([...WAYS[mode], ...mocha, ...reporter, ...paths], {
    cwd: '/mnt/project',
    timeoutMs,
    env: {
      CI: 'true',
      ...(mode === 'user' && { UNIONFS_TEST_AS: 'user' }),
      UNIONFS_TEST_CACHE: account.path('cache'),
      ...env,
    },
  });
  assert(existsSync(report), `no report: ${stderr}${stdout}`);
  return told(JSON.parse(readFileSync(report, 'utf8')) as Report);
}

/** Failures of hooks are no tests, but failures. */
function told({ tests, failures, pending }: Report): Told[] {
  const failed = new Map(failures.map(({ fullTitle, err }) => [fullTitle, err.message ?? 'it failed']));
  const skipped = new Map(pending.map(({ fullTitle }) => [fullTitle, SKIPPED]));
  const all = new Map([...failures, ...tests].map((test) => [test.fullTitle, test]));
  return [...all.values()].map(({ fullTitle, file }) => ({
    fullTitle,
    file: file.replace(/^.*\/dist\/test\/(.*)\.test\.js$/, '$1'),
    failure: failed.get(fullTitle) ?? skipped.get(fullTitle),
  }));
}
