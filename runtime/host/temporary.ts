/** Where temporary files go: TMPDIR if it can be used, else the system's directories (file-hierarchy(7)). */
import { accessSync, constants, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { HostError } from '../../fs/index.js';

const SYSTEM = ['/tmp', '/var/tmp'];

/** Throws `HostError` if there is none. */
export function temporaryDirectory(): string {
  const found = [tmpdir(), ...SYSTEM].find(isUsable);
  if (found !== undefined) return found;
  throw new HostError('no temporary directory can be written', 'set TMPDIR to a directory of your own');
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
