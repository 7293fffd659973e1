/**
 * Protects the union for those who are not root: the tests of the union and its mount, which run as root, run once more
 * as root of a user namespace and as an ordinary user. What fails is what exceptions.ts lists, no more and no less; a
 * skip is a failure.
 *
 * CI runs those that meet privileges most; UNIONFS_ROOTLESS=full runs all, which takes some 5 minutes.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { usePlace } from '../support/mount/place.js';
import { Account } from '../support/rootless/account.js';
import { EXCEPTIONS, table } from './exceptions.js';
import { MODES, type Mode, runTests, type Told, WHO } from './namespace.js';

const SUITE = 'rootless: the tests of the union';
const TOOLS = ['useradd', 'userdel', 'newuidmap', 'setpriv', 'fusermount3'];
const FULL = process.env['UNIONFS_ROOTLESS'] === 'full';
const TIMEOUT_MS = FULL ? 3_600_000 : 900_000;
const TESTS = new URL('..', import.meta.url);
const CONFORMANCE = new URL('../../docs/conformance.md', TESTS);

const filesOf = (directory: string): string[] =>
  readdirSync(new URL(directory, TESTS))
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => `${directory}/${name.replace('.test.js', '')}`)
    .sort();

/** They become ordinary users themselves. */
const OF_HOST_ROOT = ['mount/readonly-modes', 'mount/limits', 'mount/prepared-work', 'mount/unwatched'];

const inMount = (name: string): string => `mount/${name}`;
const ALL: Readonly<Record<Mode, readonly string[]>> = {
  namespace: [
    ...['union', 'mount', 'cli', 'hostile'].flatMap(filesOf).filter((file) => !OF_HOST_ROOT.includes(file)),
    ...['crash/mount-commit-point', 'crash/union-durability-order', 'conformance/differential'],
    ...['acceptance/tree', 'acceptance/busybox'],
  ],
  // The others change owners, become other users, mount within the union.
  user: [
    ...['data', 'experiments', 'fuse-native', 'names', 'release', 'rename', 'thousand', 'whiteouts'].map(
      inMount,
    ),
    ...['diff-explain', 'lifecycle', 'options', 'overlay'].map((name) => `cli/${name}`),
  ],
};
/** Left to the full run: what takes long and meets little privilege, or meets it in the other mode. */
const LONG: Readonly<Record<Mode, readonly string[]>> = {
  namespace: [
    ...['fuse-native', 'invalidation', 'names', 'release', 'rename', 'thousand'].map(inMount),
    ...['cli/lifecycle', 'cli/options', 'cli/overlay', 'hostile/hostile'],
  ],
  user: ['mount/fuse-native', 'mount/names', 'cli/diff-explain', 'cli/lifecycle', 'cli/overlay'],
};
/** How many scenarios of the differential test. */
const SCENARIOS = { UNIONFS_PROVE: FULL ? '300' : '25', UNIONFS_SEED: '5' };

describe(SUITE, function () {
  this.timeout(TIMEOUT_MS);
  const place = usePlace(SUITE, TOOLS);
  let account: Account;

  before(() => {
    place.unwatch();
    account = new Account(`unionfs-suite-${process.pid}`, true);
  });
  after(() => account?.remove());

  for (const mode of MODES) {
    const files = ALL[mode].filter((file) => FULL || !LONG[mode].includes(file));
    it(`as ${WHO[mode]}`, () => hold(mode, runTests(account, mode, files, SCENARIOS, TIMEOUT_MS)));
  }

  it('docs/conformance.md lists the exceptions', () => {
    assert.include(readFileSync(CONFORMANCE, 'utf8'), table(EXCEPTIONS));
  });
});

/** Compares what failed with the list. */
function hold(mode: Mode, told: readonly Told[]): void {
  const failed = told.filter(({ failure }) => failure !== undefined);
  console.log(`      ${told.length} tests, ${failed.length} failed`);
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
