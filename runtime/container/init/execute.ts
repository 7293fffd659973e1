/**
 * The last step: execve(2) of the command.
 *
 * Rules: the environment is exactly the specification's; of duplicate names the last is used, and HOME comes from the
 * container's /etc/passwd if it is not set. A command without a slash is searched in the PATH of that environment as by
 * execvp(3): a file without execute permission is reported only if no executable one follows.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { E, errnoName } from '../../../fs/sys/errno.js';
import { Execution } from '../../../fs/sys/process.js';
import type { ProcessSpec } from '../spec/runtime-spec.js';
import { bytes, Failure } from './failure.js';
import { EXIT } from './job.js';

const FALLBACK_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PASSWD = '/etc/passwd';
const UID_FIELD = 2;
const HOME_FIELD = 5;

/** The environment that a process of the container gets. Reads the container's /etc/passwd. */
export function environmentOf({ env = [], user }: ProcessSpec): string[] {
  const byName = new Map<string, string>();
  for (const entry of env) {
    const name = entry.slice(0, entry.indexOf('='));
    byName.delete(name);
    byName.set(name, entry);
  }
  if ((byName.get('HOME') ?? 'HOME=') === 'HOME=') byName.set('HOME', `HOME=${homeOf(user.uid)}`);
  return [...byName.values()];
}

/** Home directory of a user in the container's passwd(5); "/" without an entry. */
function homeOf(uid: number): string {
  const fields = readPasswd()
    .split('\n')
    .map((line) => line.split(':'))
    .find((line) => line[UID_FIELD] === String(uid));
  return fields?.[HOME_FIELD] || '/';
}

/** The content of /etc/passwd; empty if it is not a regular file (the image may contain anything). */
function readPasswd(): string {
  try {
    const fd = openSync(PASSWD, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return fstatSync(fd).isFile() ? readFileSync(fd, 'utf8') : '';
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}

function candidates(command: string, environment: readonly string[]): string[] {
  if (command.includes('/')) return [command];
  const path = environment.find((entry) => entry.startsWith('PATH='))?.slice('PATH='.length) ?? FALLBACK_PATH;
  return path.split(':').map((directory) => `${directory || '.'}/${command}`);
}

/** Executes the command; never returns. Throws `Failure` with docker's exit code 126 or 127. */
export function execute(args: readonly string[], environment: readonly string[]): never {
  const [command = ''] = args;
  const execution = new Execution(args.map(bytes), environment.map(bytes));
  let denied: number | undefined;
  for (const path of candidates(command, environment)) {
    const code = execution.run(bytes(path));
    if (code === E.ENOENT && command.includes('/')) throw notFound(command);
    if (code !== E.ENOENT && code !== E.ENOTDIR) denied ??= code;
  }
  if (denied === undefined) throw notFound(command);
  throw new Failure(`cannot execute "${command}": ${reason(denied)}`, EXIT.NOT_EXECUTABLE);
}

function notFound(command: string): Failure {
  return new Failure(`"${command}" was not found in the container`, EXIT.NOT_FOUND);
}

function reason(code: number): string {
  if (code === E.EACCES) return 'permission denied';
  if (code === E.ENOEXEC) return 'exec format error: not a program for this machine';
  return errnoName(code);
}
