/** Protects CI: every test belongs to exactly one stage of `scripts/run-tests.sh`. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The folders below test/ that hold tests, at any depth. */
function foldersWithTests(): string[] {
  const paths = readdirSync(`${ROOT}/test`, { recursive: true, encoding: 'utf8' });
  const tests = paths.filter((path) => path.endsWith('.test.ts'));
  return [...new Set(tests.map((path) => path.split('/')[0] ?? ''))];
}

/** The folders that the stages of the script name. */
function foldersOfStages(): string[] {
  const script = readFileSync(`${ROOT}/scripts/run-tests.sh`, 'utf8');
  const stages = [...script.matchAll(/^ {4}[a-z]+\) echo ([a-z ]+) ;;$/gm)];
  return stages.flatMap(([, folders = '']) => folders.split(' '));
}

describe('stages of the tests', () => {
  for (const folder of foldersWithTests()) {
    it(`test/${folder} is in one`, () => {
      assert.deepEqual(
        foldersOfStages().filter((name) => name === folder),
        [folder],
      );
    });
  }
});
