/**
 * Commands whose arguments or variables are not UTF-8. Node's spawn() would replace those bytes, so `execute.ts` gets them
 * in base64 and executes the command.
 */
import { holdsRawBytes, toBytes } from '../../fs/sys/path-bytes.js';
import { packageFile } from '../host/package.js';
import { carriedEnvironment, type Environment } from './call.js';

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Environment;
}

/** The same command in a form that spawn() accepts. */
export function startable({ command, args, env }: Command): Command {
  const words = [command, ...args];
  if (![...words, ...Object.keys(env), ...Object.values(env)].some(holdsRawBytes))
    return { command, args, env };
  const carried = words.map((word) => Buffer.from(toBytes(word), 'latin1').toString('base64'));
  return {
    command: process.execPath,
    args: ['--', packageFile('dist/bin/execute.js'), ...carried],
    env: carriedEnvironment(env),
  };
}
