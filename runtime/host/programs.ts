/**
 * Finds programs by name, and helper programs with privileges: a set-user-id bit or file capabilities (newuidmap(1),
 * fusermount3(1)).
 */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Host } from './host.js';

/** Directories of such programs, in addition to PATH. */
const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin';

const candidates = (name: string, path: string | undefined): string[] =>
  `${path ?? ''}:${SYSTEM_PATH}`
    .split(':')
    .flatMap((directory) => (directory === '' ? [] : join(directory, name)));

/** The path of a program; undefined if it is not installed. */
export const findProgram = (name: string): string | undefined =>
  candidates(name, process.env['PATH']).find(isExecutable);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface HelperProgram {
  readonly name: string;
  /** The path; undefined if it is not installed. */
  readonly path: string | undefined;
  readonly privileged: boolean;
}

const SET_USER_ID = 0o4000;

export function findHelper(host: Host, name: string): HelperProgram {
  for (const path of candidates(name, host.environment['PATH'])) {
    const file = host.stat(path);
    if (file?.kind !== 'file' || !file.executable) continue;
    const setUserId = (file.mode & SET_USER_ID) !== 0 && file.uid === 0;
    return { name, path, privileged: setUserId || file.hasCapabilities };
  }
  return { name, path: undefined, privileged: false };
}
