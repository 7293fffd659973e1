/** The finding on a set-user-id program (`host/programs.ts`). */
import type { HelperProgram } from '../host/programs.js';
import { asRoot, type Finding, missing, ok } from './finding.js';

/** @param install the command that installs it */
export function judgeHelper(id: string, { name, path, privileged }: HelperProgram, install: string): Finding {
  if (path === undefined) return missing(id, `${name} is not installed`, asRoot(install));
  if (privileged) return ok(id, `${path} has the set-user-id bit or file capabilities`);
  const detail = `${path} has neither the set-user-id bit nor file capabilities`;
  return missing(id, detail, asRoot(`chown root ${path} && chmod u+s ${path}`));
}
