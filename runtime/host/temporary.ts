/** The directory for temporary files: TMPDIR if it is writable, else /tmp or /var/tmp (file-hierarchy(7)). */
import { accessSync, constants, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { HostError } from '../../fs/index.js';

const SYSTEM = ['/tmp', '/var/tmp'];

/** Throws `HostError` if there is none. */
export function temporaryDirectory(): string {
  const found = [tmpdir(), ...SYSTEM].find(isUsable);
  if (found !== undefined) return found;
  throw new HostError('no temporary directory is writable', 'set TMPDIR to a directory of your own');
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
