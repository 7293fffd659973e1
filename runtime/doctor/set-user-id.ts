/**
 * Programs that do for users what only root may: found in PATH, and privileged by their set-user-id bit or by file
 * capabilities (newuidmap(1), fusermount3(1)).
 */
import { SYSTEM_PATH } from '../user/namespace.js';
import { asRoot, type Finding, missing, ok } from './finding.js';
import type { Host } from './host.js';

export interface HelperProgram {
  readonly name: string;
  /** Where it lies; undefined if it is not in PATH. */
  readonly path: string | undefined;
  readonly privileged: boolean;
}

const SET_USER_ID = 0o4000;
const ANY_EXECUTE = 0o111;

export function probeHelper(host: Host, name: string): HelperProgram {
  for (const directory of `${host.environment['PATH'] ?? ''}:${SYSTEM_PATH}`.split(':')) {
    const path = `${directory}/${name}`;
    const file = directory === '' ? undefined : host.stat(path);
    if (file?.kind !== 'file' || (file.mode & ANY_EXECUTE) === 0) continue;
    const setUserId = (file.mode & SET_USER_ID) !== 0 && file.uid === 0;
    return { name, path, privileged: setUserId || file.hasCapabilities };
  }
  return { name, path: undefined, privileged: false };
}

/** @param install the command that installs it */
export function judgeHelper(id: string, { name, path, privileged }: HelperProgram, install: string): Finding {
  if (path === undefined) return missing(id, `${name} is not installed`, asRoot(install));
  if (privileged) return ok(id, `${path} is privileged`);
  const detail = `${path} has neither the set-user-id bit nor file capabilities`;
  return missing(id, detail, asRoot(`chown root ${path} && chmod u+s ${path}`));
}
