/**
 * Protects the union for those who are not root: the tests of the union and its mount, which run as root, run once more
 * as an ordinary user. What fails is what test/rootless/exceptions.ts lists, no more and no less; a skip is a failure.
 *
 * UNIONFS_ROOTLESS=full runs all of them (some 10 minutes), CI those that meet privileges most.
 */
import { readdirSync } from 'node:fs';
import { assert } from 'chai';
import { usePlace } from '../mount/place.js';
import { Account } from './account.js';
import { EXCEPTIONS } from './exceptions.js';
import { type Mode, runTests, type Told } from './namespace.js';

const SUITE = 'rootless: the tests of the union';
const TOOLS = ['useradd', 'userdel', 'newuidmap', 'setpriv'];
const FULL = process.env['UNIONFS_ROOTLESS'] === 'full';
const TIMEOUT_MS = FULL ? 1_800_000 : 400_000;
const TESTS = new URL('..', import.meta.url);

const filesOf = (directory: string): string[] =>
  readdirSync(new URL(directory, TESTS))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => `${directory}/${name.replace('.test.js', '')}`)
    .sort();

const ALL: Readonly<Record<Mode, readonly string[]>> = {
  namespace: [...['union', 'mount', 'cli', 'hostile', 'differential'].flatMap(filesOf), 'acceptance/tree'],
  user: [...filesOf('mount'), ...filesOf('cli')],
};

describe(SUITE, function () {
  this.timeout(TIMEOUT_MS);
  const place = usePlace(SUITE, TOOLS);
  let account: Account;

  before(() => {
    place.unwatch();
    account = new Account(`unionfs-suite-${process.pid}`, true);
  });
  after(() => account?.remove());

  it('as root of a user namespace', () => {
    hold('namespace', runTests(account, 'namespace', ALL.namespace, {}, TIMEOUT_MS));
  });
});

/** Compares what failed with the list. */
function hold(mode: Mode, told: readonly Told[]): void {
  console.log(
    `      ${told.length} tests, ${told.filter(({ failure }) => failure !== undefined).length} failed`,
  );
  const files = new Set(told.map(({ file }) => file));
  const listed = EXCEPTIONS.filter(({ modes }) => modes.includes(mode)).flatMap(({ tests }) =>
    Object.entries(tests).flatMap(([file, titles]) => titles.map((title) => ({ file, title }))),
  );
  const isListed = (test: Told): boolean => listed.some((exception) => covers(exception, test));
  const wrong = told.flatMap((test) => {
    if (test.failure === undefined) return isListed(test) ? [`is listed, but passes: ${name(test)}`] : [];
    return isListed(test) ? [] : [`fails: ${name(test)}: ${test.failure}`];
  });
  const stale = listed
    .filter((exception) => files.has(exception.file) && !told.some((test) => covers(exception, test)))
    .map(({ file, title }) => `is listed, but is not there: ${file}: ${title}`);
  assert.deepEqual([...wrong, ...stale], []);
}

const name = ({ file, fullTitle }: Told): string => `${file}: ${fullTitle}`;

const covers = (exception: { file: string; title: string }, { file, fullTitle }: Told): boolean =>
  exception.file === file && (fullTitle === exception.title || fullTitle.startsWith(`${exception.title} `));
