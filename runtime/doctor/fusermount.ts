/**
 * fusermount3(1): mounts FUSE filesystems for ordinary users, visible to the whole machine.
 *
 * Rule: it opens /dev/fuse as the user, so the device must be theirs to open.
 */

import type { Host } from '../host/host.js';
import { findHelper, type HelperProgram } from '../host/programs.js';
import { asRoot, type Finding, ok, warning } from './finding.js';
import type { Identity } from './identity.js';
import { installCommand } from './packages.js';
import { judgeHelper } from './set-user-id.js';

export interface FusermountFacts {
  readonly program: HelperProgram;
  /** user_allow_other in /etc/fuse.conf: users may show their mounts to others. */
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
  if (identity.admin) return [ok('fusermount.program', 'not needed: this user may call mount(2)')];
  const program = judgeHelper('fusermount.program', facts.program, facts.install);
  return program.status === 'ok' ? [program, judgeAllowOther(facts)] : [program];
}

function judgeAllowOther({ allowOther }: FusermountFacts): Finding {
  const id = 'fusermount.allow-other';
  if (allowOther) return ok(id, 'mounts may be shown to other users');
  const detail = `${CONFIGURATION} lacks user_allow_other: mounts are seen by their own user only`;
  return warning(id, detail, asRoot(`echo user_allow_other >> ${CONFIGURATION}`));
}
