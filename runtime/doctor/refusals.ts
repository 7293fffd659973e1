/**
 * Findings as errors and warnings of other commands, in one line with the fix.
 *
 * Rule: the text and the fix are those of `tscr doctor`.
 */
import { HostError } from '../../fs/index.js';
import type { Host } from '../host/host.js';
import type { Storage } from '../rootless/mode.js';
import { subordinateIds } from '../rootless/subordinate-ids.js';
import { type Finding, inWords } from './finding.js';
import { judgeDevice, probeDevice } from './fuse.js';
import { judgeRange, probeIdRanges } from './id-ranges.js';
import { probeIdentity } from './identity.js';
import { judgeProc, showsOwnProcesses } from './kernel.js';
import { probeUserNamespaces, whyNot } from './user-namespaces.js';

/** The error if no user namespace can be created. */
export function noUserNamespaces(host: Host): HostError {
  const { detail, fix } = whyNot(probeUserNamespaces(host), probeIdentity(host));
  return new HostError(`uid ${host.uid} may not create user namespaces: ${detail}`, fix && inWords(fix));
}

/** Throws `HostError` if /proc shows another pid namespace, so that /proc/PID is another process. */
export function requireOwnProc(host: Host): void {
  if (showsOwnProcesses(host)) return;
  const { detail, fix } = judgeProc(false);
  throw new HostError(detail, fix && inWords(fix));
}

/** Why the source of subordinate ids cannot be read, with the fix. */
export function sourceCannotBeAsked(host: Host): string {
  return withFix(judgeRange('subids.uids', probeIdRanges(host), subordinateIds(host), probeIdentity(host)));
}

/** Why the union cannot be used for a container's root, with the fix. */
export function whyCopy(because: NonNullable<Storage['because']>, host: Host, store: string): string {
  if (because === 'store.xattrs')
    return `"${store}" is on a filesystem without extended attributes (use another store with --root)`;
  return withFix(judgeDevice(probeDevice(host), probeIdentity(host)));
}

const withFix = ({ detail, fix }: Finding): string =>
  fix === undefined ? detail : `${detail} (${inWords(fix)})`;
