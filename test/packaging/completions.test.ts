/**
 * Protects what is made from the definitions behind `--help`: completions as the shells ask for them, manual pages
 * without a complaint of mandoc's, and reference pages that are those of this commit.
 */
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { referencePage } from '../../scripts/reference/markdown.js';
import { roff } from '../../scripts/reference/roff.js';
import { type CommandEntry, programs, withAllBelow } from '../../scripts/reference/tree.js';
import { requireConditions } from '../support/acceptance/conditions.js';
import { usePlace } from '../support/mount/place.js';
import { run } from '../support/run.js';

const SUITE = 'packaging: completions and pages';
const PROJECT = fileURLToPath(new URL('../../..', import.meta.url));
const SHARE = join(PROJECT, 'dist/share');
const EXECUTABLE = 0o755;

/** What bash does for a line whose last word is being completed. */
const ASK_BASH = `
source "$1"
COMP_LINE=$2 COMP_POINT=\${#2}
compopt() { :; }
_"\${2%% *}"
printf '%s\\n' "\${COMPREPLY[@]}"
`;

/** A tscr that knows two images and two containers, and says which store it was asked for. */
const TSCR = `#!/bin/sh
case "$*" in
  "--root /s images "*) echo other:1 ;;
  "images "*) printf '%s\\n' debian:12 debian:13 host:1 ;;
  "ps -a") printf '%s\\n' 'CONTAINER ID  NAMES' '0123  work' '4567  web' ;;
esac
`;

describe(SUITE, () => {
  const place = usePlace(SUITE);
  let all: readonly CommandEntry[];

  before(async function () {
    const missing = ['bash', 'zsh', 'fish', 'mandoc'].filter((name) => !isInstalled(name));
    requireConditions(
      this,
      SUITE,
      missing.map((name) => `"${name}" is not installed`),
    );
    all = await programs();
    place.make({ bin: { tscr: TSCR }, home: {}, files: { 'one.tar': '', directory: {} } });
    chmodSync(place.path('bin/tscr'), EXECUTABLE);
  });

  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    HOME: place.path('home'),
    PATH: `${place.path('bin')}:${process.env['PATH']}`,
  });

  function bash(line: string): string[] {
    const script = join(SHARE, 'bash-completion/completions', line.split(' ')[0] ?? '');
    const args = ['--norc', '-c', ASK_BASH, 'bash', script, line];
    return lines(run('bash', args, { env: env(), cwd: place.path('files') }));
  }

  function fish(line: string): string[] {
    const script = join(SHARE, 'fish/vendor_completions.d', `${line.split(' ')[0]}.fish`);
    const args = ['--no-config', '-c', `source ${script}; complete -C '${line}'`];
    return lines(run('fish', args, { env: env(), cwd: place.path('files') })).map(
      (found) => found.split('\t')[0] ?? '',
    );
  }

  const CASES: readonly [line: string, expected: readonly string[]][] = [
    ['tscr ima', ['image', 'images']],
    ['tscr image ', ['from-host', 'history', 'import', 'load', 'ls', 'rm', 'save', 'tag']],
    ['tscr --root /x image from', ['from-host']],
    ['tscr run --user', ['--user', '--userns']],
    ['tscr run --userns ', ['auto', 'host', 'keep-id', 'single']],
    ['tscr run --rm h', ['host:1']],
    ['tscr rmi ', ['debian:12', 'debian:13', 'host:1']],
    ['tscr rmi host:1 d', ['debian:12', 'debian:13']],
    ['tscr rm ', ['web', 'work']],
    ['tscr commit w', ['web', 'work']],
    ['tscr inspect w', ['web', 'work']],
    ['unionfs mo', ['mount']],
    ['unionfs mount --tr', ['--trace', '--transport']],
    ['unionfs mount --transport ', ['fuse-native', 'kernel']],
  ];

  for (const [line, expected] of CASES) {
    it(`bash completes "${line}"`, () => assert.sameMembers(bash(line), [...expected]));
    it(`fish completes "${line}"`, () => assert.sameMembers(fish(line), [...expected]));
  }

  it('bash completes what it has split into several words', () => {
    assert.sameMembers(bash('tscr run --userns=s'), ['single']);
    assert.sameMembers(bash('tscr run --rm debian:'), ['12', '13']);
  });

  it('bash asks the store that the line names, and leaves words of the command alone', () => {
    assert.deepEqual(bash('tscr --root /s rmi '), ['other:1']);
    assert.notInclude(bash('tscr run host:1 --us'), '--userns');
  });

  it('bash offers files and directories where they are meant', () => {
    assert.sameMembers(bash('tscr load '), ['directory', 'one.tar']);
    assert.deepEqual(bash('unionfs mount --upper '), ['directory']);
  });

  it('hidden options are in none of it', () => {
    const options = all.flatMap(withAllBelow).flatMap(({ options }) => options.map(({ long }) => long));
    assert.include(options, '--workdir');
    assert.notInclude(options, '--work');
    for (const path of files(SHARE)) assert.notMatch(readFileSync(path, 'utf8'), /--work(?![a-z])/, path);
  });

  it('zsh takes its completions, and knows each command', () => {
    for (const program of all) {
      const script = join(SHARE, 'zsh/site-functions', `_${program.name}`);
      run('zsh', ['-n', script]);
      const functions = withAllBelow(program).map(({ path }) => `_${path.replaceAll(/[ -]/g, '_')}`);
      const load = `autoload -U compinit; compinit -D -u; source ${script}; whence -w ${functions.join(' ')}; echo $_comps[${program.name}]`;
      const told = lines(run('zsh', ['-f', '-c', load], { env: env() }));
      assert.deepEqual(told, [...functions.map((name) => `${name}: function`), `_${program.name}`]);
    }
  });

  it('mandoc has nothing to say of the manual pages', () => {
    const pages = files(join(SHARE, 'man')).filter((path) => !path.endsWith('.8'));
    assert.isAbove(pages.length, 2);
    assert.equal(run('mandoc', ['-T', 'lint', '-W', 'warning', ...pages]), '');
  });

  it('what roff would read as its own stays text', () => {
    assert.equal(roff('.so "a\\b" --x\n\'quoted\''), '\\&.so \\(dqa\\eb\\(dq \\-\\-x\n\\(aqquoted\\(aq');
  });

  for (const name of ['unionfs', 'tscr']) {
    it(`docs/${name}.md is what "npm run reference" writes`, () => {
      const program = all.find((one) => one.name === name) ?? assert.fail();
      assert.equal(readFileSync(join(PROJECT, 'docs', `${name}.md`), 'utf8'), referencePage(program));
    });
  }
});

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

function isInstalled(name: string): boolean {
  try {
    run('sh', ['-c', `command -v ${name}`]);
    return true;
  } catch {
    return false;
  }
}

function files(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    return entry.isDirectory() ? files(path) : [path];
  });
}
