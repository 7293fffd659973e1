/**
 * fusermount3(1): mounts FUSE filesystems for ordinary users, visible to the whole machine.
 *
 * Rule: it opens /dev/fuse as the user, who must have permission to do so.
 */

import type { Host } from '../host/host.js';
import { installCommand } from '../host/packages.js';
import { findHelper, type HelperProgram } from '../host/programs.js';
import { asRoot, type Finding, ok, warning } from './finding.js';
import type { Identity } from './identity.js';
import { judgeHelper } from './set-user-id.js';

export interface FusermountFacts {
  readonly program: HelperProgram;
  /** /etc/fuse.conf has user_allow_other: ordinary users can mount with -o allow_other. */
  readonly allowOther: boolean;
  readonly install: string;
}

const CONFIGURATION = '/etc/fuse.conf';

export function probeFusermount(host: Host): FusermountFacts {
  return {
    program: findHelper(host, 'fusermount3'),
    allowOther: /^\s*user_allow_other\s*$/m.test(host.read(CONFIGURATION) ?? ''),
    install: installCommand(host, 'fusermount3'),
  };
}

export const fusermountWorks = ({ program }: FusermountFacts, { noNewPrivileges }: Identity): boolean =>
  program.privileged && !noNewPrivileges;

export function judgeFusermount(facts: FusermountFacts, identity: Identity): Finding[] {
  if (identity.admin) return [ok('fusermount.program', 'not needed; this user can call mount(2)')];
  const program = judgeHelper('fusermount.program', facts.program, facts.install);
  return program.status === 'ok' ? [program, judgeAllowOther(facts)] : [program];
}

function judgeAllowOther({ allowOther }: FusermountFacts): Finding {
  const id = 'fusermount.allow-other';
  if (allowOther) return ok(id, '-o allow_other is permitted for ordinary users');
  const detail = `${CONFIGURATION} lacks user_allow_other; only the user who mounts can access a mount`;
  return warning(id, detail, asRoot(`echo user_allow_other >> ${CONFIGURATION}`));
}
