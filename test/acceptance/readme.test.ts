/**
 * Protects the README: its examples run as they stand, and print what they say.
 *
 * Rule: each block of shell is one script, in an empty directory, ended by the first failure. A comment `# -> TEXT` is
 * what the line prints, with white space folded.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TIMEOUT_MS = 60_000;
const MARK = '@@line';

interface Line {
  readonly command: string;
  /** What it prints; undefined where the README does not say. */
  readonly output: string | undefined;
}

/** The blocks marked "sh", line by line. */
function blocks(): Line[][] {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) =>
    block
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [command = '', output] = line.split(/\s+# -> /);
        return { command, output };
      }),
  );
}

/** What each line of a script writes to its standard output. */
function outputs(script: readonly Line[], directory: string): string[] {
  const programs = ['unionfs', 'tscr'].map((name) => `${name}() { "${ROOT}/dist/bin/${name}" "$@"; }`);
  const lines = script.flatMap(({ command }) => [command, `echo ${MARK}`]);
  const { status, stdout, stderr } = spawnSync('sh', ['-euc', [...programs, ...lines].join('\n')], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, TSCR_ROOT: join(directory, 'store') },
    timeout: TIMEOUT_MS,
  });
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, stdout);
  return stdout.split(`${MARK}\n`).map((text) => text.trim().replaceAll(/\s+/g, ' '));
}

describe('acceptance: the examples of the README', () => {
  const all = blocks();
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'readme-'));
  });
  afterEach(() => {
    spawnSync('umount', ['-l', join(directory, 'm')]); // after a failure
    rmSync(directory, { recursive: true, force: true });
  });

  it('are found', () => {
    assert.lengthOf(all, 3);
    assert.isAbove(all.flat().filter(({ output }) => output !== undefined).length, 8);
  });

  for (const [at, script] of all.entries()) {
    it(`example ${at + 1}: ${script[0]?.command}`, function () {
      this.timeout(TIMEOUT_MS);
      const printed = outputs(script, directory);
      const said = script.map(({ output }, line) => output ?? printed[line]);
      assert.deepEqual(printed.slice(0, said.length), said);
    });
  }
});
