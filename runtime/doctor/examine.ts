/**
 * `tscr doctor`: a host is probed, the facts are judged, and each command's mode follows from them.
 *
 *     Host -> probe (facts, one file per concern) -> judge (findings) and modesOf (modes)
 *
 * Rule: all facts are collected first, and a container is run last; the report is a pure function of the facts.
 */

import type { Host } from '../host/host.js';
import { modeFacts } from '../rootless/facts.js';
import type { RootlessMode } from '../rootless/mode.js';
import { judgeCgroups, probeCgroups } from './cgroups.js';
import { judgeEnvironment, probeEnvironment } from './environment.js';
import type { Facts } from './facts.js';
import type { Finding } from './finding.js';
import { judgeFuse, probeFuse } from './fuse.js';
import { judgeFusermount, probeFusermount } from './fusermount.js';
import { judgeIdRanges, probeIdRanges } from './id-ranges.js';
import { judgeIdentity, probeIdentity } from './identity.js';
import { judgeKernel, probeKernel } from './kernel.js';
import { type Mode, modesOf, REFUSED } from './modes.js';
import { judgeNetwork, probeNetwork } from './network.js';
import { judgeOverlay, probeOverlay } from './overlay.js';
import { judgeSeccomp, probeSeccomp } from './seccomp.js';
import { judgeStore, probeStore } from './store.js';
import { judgeTrial, probeTrial } from './trial.js';
import { judgeUserNamespaces, probeUserNamespaces } from './user-namespaces.js';

/** The result of `tscr doctor`; the keys are stable. */
export interface Report {
  /** Whether `tscr run` works. */
  readonly ready: boolean;
  readonly modes: readonly Mode[];
  readonly findings: readonly Finding[];
}

/** @param storePath the store's root, absolute; undefined for a user without a home directory */
export function probe(host: Host, storePath: string | undefined): Facts {
  const identity = probeIdentity(host);
  const facts = {
    identity,
    modeFacts: modeFacts(host),
    kernel: probeKernel(host),
    fuse: probeFuse(host, identity),
    fusermount: probeFusermount(host),
    userNamespaces: probeUserNamespaces(host),
    idRanges: probeIdRanges(host),
    overlay: probeOverlay(host, identity),
    seccomp: probeSeccomp(host),
    cgroups: probeCgroups(host),
    network: probeNetwork(host),
    store: probeStore(host, storePath),
    environment: probeEnvironment(host),
    trial: undefined,
  };
  const [run] = modesOf(facts);
  if (run === undefined || run.mode === REFUSED) return facts;
  return { ...facts, trial: probeTrial(host, facts.store.nearest, run.mode as RootlessMode) };
}

export function judge(facts: Facts): Report {
  const { identity, modeFacts: mode } = facts;
  const findings = [
    ...judgeIdentity(identity),
    ...judgeKernel(facts.kernel),
    ...judgeFuse(facts.fuse, identity, mode.userNamespaces),
    ...judgeFusermount(facts.fusermount, identity),
    ...judgeUserNamespaces(facts.userNamespaces, mode, identity),
    ...judgeIdRanges(facts.idRanges, mode, identity),
    ...judgeOverlay(facts.overlay, identity),
    ...judgeSeccomp(facts.seccomp),
    ...judgeCgroups(facts.cgroups, identity),
    ...judgeNetwork(facts.network),
    ...judgeStore(facts.store, identity),
    ...judgeEnvironment(facts.environment, identity, facts.store.elsewhere),
    ...(facts.trial === undefined ? [] : judgeTrial(facts.trial)),
  ];
  const modes = modesOf(facts);
  return { ready: modes[0]?.mode !== REFUSED, modes, findings };
}

export const examine = (host: Host, storePath: string | undefined): Report => judge(probe(host, storePath));
