/**
 * Protects servers from their own log: on a full disk, or a filesystem that fails, a line that cannot be written or synced
 * must neither fail an operation nor end a server, nor keep its process, and so its mount, from ending.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { assert } from 'chai';

const SYS = new URL('../../fs/sys/', import.meta.url).href;
const PATIENCE_MS = 20_000;
const O_PATH = 0o10000000;

/** How a program of ours ends, and what it prints, with this file as standard error. */
function ending(statements: string, path: string, flags: number): string {
  const stderr = openSync(path, flags);
  try {
    const { status, signal, stdout } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', `import '${SYS}native.js'; ${statements}`],
      { stdio: ['ignore', 'pipe', stderr], encoding: 'utf8', timeout: PATIENCE_MS, killSignal: 'SIGKILL' },
    );
    return signal ?? `${status} ${stdout.trim()}`.trim();
  } finally {
    closeSync(stderr);
  }
}

const REPORT = `
  const { report } = await import('${SYS}report.js');
  report('a line');
  console.log('went on');
`;

describe('sys/report: standard error that cannot be written', () => {
  for (const [what, path, flags] of [
    ['a full disk (ENOSPC)', '/dev/full', constants.O_WRONLY],
    ['a descriptor that cannot be written (EBADF)', '/', O_PATH],
  ] as const) {
    it(`is no failure of who reports: ${what}`, () => assert.equal(ending(REPORT, path, flags), '0 went on'));
  }
});

describe('sys/native: standard error that cannot be synced', () => {
  for (const [how, statements, status] of [
    ['the end of the program', '', '0'],
    ['process.exitCode', 'process.exitCode = 3', '3'],
    ['process.exit', 'process.exit(125)', '125'],
    ['an error that nobody catches', 'throw new Error("a bug")', '1'],
    ['an error in a callback', 'setTimeout(() => { throw new Error("a bug"); })', '1'],
  ] as const) {
    it(`does not keep a process from ending, with its status: ${how}`, () =>
      assert.equal(ending(statements, '/', O_PATH), status));
  }
});
