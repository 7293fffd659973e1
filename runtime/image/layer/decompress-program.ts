/**
 * Decompression by a program of the host: xz(1) and bzip2(1), as docker does for xz.
 *
 * Rules: the program gets only the data on its standard input, no options and no file names. Its memory is bounded, it is
 * killed when reading stops, and its message about damaged data becomes the error.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { HostError } from '../../../fs/index.js';
import { installCommand } from '../../host/packages.js';
import { realHost } from '../../host/real-host.js';

export type ProgramFormat = 'xz' | 'bzip2';

/** xz's largest preset takes 65 MiB; a stream may ask for gigabytes. bzip2 takes 4 MiB at most. */
const ARGUMENTS: Readonly<Record<ProgramFormat, readonly string[]>> = {
  xz: ['--decompress', '--stdout', '--quiet', '--memlimit-decompress=256MiB'],
  bzip2: ['--decompress', '--stdout'],
};

type Program = ChildProcessByStdio<Writable, Readable, Readable>;

/** Passes a stream through the program; fails with the program's message, or `HostError` if it is not installed. */
export async function* decompressWith(format: ProgramFormat, source: Readable): AsyncGenerator<Buffer> {
  const { PATH } = process.env;
  const program = spawn(format, ARGUMENTS[format], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH, LC_ALL: 'C' },
  });
  const ended = endOf(format, program);
  program.stdin.on('error', () => {}); // the program stopped reading; its exit tells why
  source.once('error', () => program.stdin.destroy());
  source.pipe(program.stdin);
  try {
    yield* program.stdout as AsyncIterable<Buffer>;
    await ended;
  } catch (error) {
    await ended; // its own message is better than that of a broken pipe
    throw error;
  } finally {
    program.kill('SIGKILL');
    source.destroy();
  }
}

/** Settles when the program has ended. */
function endOf(format: ProgramFormat, program: Program): Promise<void> {
  let said = '';
  program.stderr.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
  const ended = new Promise<void>((resolve, reject) => {
    program.once('error', (error: NodeJS.ErrnoException) => reject(cannotStart(format, error)));
    program.once('close', (status, signal) => {
      if (status === 0) resolve();
      else reject(new Error(complaintOf(said) || `${format} ended with ${signal ?? status}`));
    });
  });
  ended.catch(() => {}); // the reader gets the error
  return ended;
}

const cannotStart = (format: ProgramFormat, { code }: NodeJS.ErrnoException): HostError =>
  new HostError(
    code === 'ENOENT'
      ? `cannot decompress it: the program "${format}" is not installed`
      : `cannot decompress it: the program "${format}" cannot be started: ${code}`,
    installCommand(realHost(), format),
  );

/** The first line, without the program's name and the name of its input. */
const complaintOf = (said: string): string =>
  (said.split('\n').find((line) => line.trim() !== '') ?? '')
    .replace(/^(?:xz|bzip2): (?:\(stdin\): )?/, '')
    .replace(/[^\x20-\x7e]/g, '?')
    .replace(/[.;]$/, '');
