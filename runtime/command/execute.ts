/**
 * execute.js ARGUMENT...: executes the command whose arguments are given in base64, with the environment of
 * `carriedEnvironment`.
 *
 * Rules: bytes are not changed; a command without a slash is searched as by execvp(3); errors are reported with a shell's
 * exit codes.
 */
import { quoted } from '../../fs/input/shown.js';
import { E } from '../../fs/sys/errno.js';
import { toBytes, toText } from '../../fs/sys/path-bytes.js';
import { Execution, keepBelow, resetSignals } from '../../fs/sys/process.js';
import { callerEnvironment } from './call.js';

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const FIRST_OWN_FD = 3;
/** confstr(_CS_PATH) of glibc, if PATH is not set. */
const FALLBACK_PATH = '/bin:/usr/bin';
const ABSENT: readonly number[] = [E.ENOENT, E.ENOTDIR];

/** One character a byte. */
const words = process.argv.slice(2).map((word) => Buffer.from(word, 'base64').toString('latin1'));
const [command = ''] = words;
const environment = callerEnvironment();
const lines = Object.entries(environment).map(([name, value]) => toBytes(`${name}=${value}`));

function places(): string[] {
  if (command.includes('/')) return [command];
  const path = toBytes(environment['PATH'] ?? FALLBACK_PATH);
  return path.split(':').map((directory) => `${directory || '.'}/${command}`);
}

keepBelow(FIRST_OWN_FD);
resetSignals();
const execution = new Execution(words, lines);
const refusals = command === '' ? [] : places().map((place) => execution.run(place));
const isThere = refusals.some((code) => !ABSENT.includes(code));
process.stderr.write(`${quoted(toText(command))} ${isThere ? 'cannot be executed' : 'was not found'}\n`);
process.exitCode = isThere ? NOT_EXECUTABLE : NOT_FOUND;
