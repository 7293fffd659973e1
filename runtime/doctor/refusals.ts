/**
 * Findings as words of other commands: what keeps one from its way, or makes it go another, in one line with the fix.
 *
 * Rule: what the doctor would say about it is what is said.
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

/** No user namespace can be made. */
export function noUserNamespaces(host: Host): HostError {
  const { detail, fix } = whyNot(probeUserNamespaces(host), probeIdentity(host));
  return new HostError(`uid ${host.uid} may not make user namespaces: ${detail}`, fix && inWords(fix));
}

/** Throws `HostError` where /proc/PID would be somebody else: nothing can be started or found by it. */
export function requireOwnProc(host: Host): void {
  if (showsOwnProcesses(host)) return;
  const { detail, fix } = judgeProc(false);
  throw new HostError(detail, fix && inWords(fix));
}

/** Subordinate ids are kept where they cannot be asked for. */
export function sourceCannotBeAsked(host: Host): string {
  return withFix(judgeRange('subids.uids', probeIdRanges(host), subordinateIds(host), probeIdentity(host)));
}

/** Why the union cannot make a container's root. */
export function whyCopy(because: NonNullable<Storage['because']>, host: Host, store: string): string {
  if (because === 'store.xattrs')
    return `"${store}" is on a filesystem without extended attributes (name another store with --root)`;
  return withFix(judgeDevice(probeDevice(host), probeIdentity(host)));
}

const withFix = ({ detail, fix }: Finding): string =>
  fix === undefined ? detail : `${detail} (${inWords(fix)})`;
