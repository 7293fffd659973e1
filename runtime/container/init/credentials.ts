/**
 * Sets ids, capabilities and limits of the command.
 *
 * Order, as in runc's finalizeNamespace: the bounding set comes first, while CAP_SETPCAP is present; capabilities are kept
 * during the change of ids and then set; ambient ones come last, since they must be permitted and inheritable.
 */
import { PR } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import {
  capset,
  clearAmbientCapabilities,
  dropBoundingCapability,
  getrlimit,
  type Limit,
  prctl,
  raiseAmbientCapability,
  setgid,
  setgroups,
  setrlimit,
  setuid,
} from '../../../fs/sys/process.js';
import { capabilityMask, capabilityNumber } from '../../host/capabilities.js';
import { RLIMITS } from '../spec/rlimits.js';
import type { CapabilitiesSpec, RlimitSpec, UserSpec } from '../spec/runtime-spec.js';
import { step } from './failure.js';

const MAX_CAPABILITIES = 64;
const RLIM_INFINITY = 2n ** 64n - 1n;

/** Drops every capability that is not in the bounding set, including unknown ones. */
export function limitCapabilities({ bounding }: CapabilitiesSpec): void {
  const kept = capabilityMask(bounding);
  for (let number = 0; number < MAX_CAPABILITIES; number++) {
    if ((kept & (1n << BigInt(number))) === 0n && !dropBoundingCapability(number)) return;
  }
}

/** Changes to the user's ids; capabilities are kept for `setCapabilities`. */
export function becomeUser({ uid, gid, additionalGids = [] }: UserSpec, setsGroups: boolean): void {
  step(`cannot become user ${uid}:${gid}`, () => {
    prctl(PR.SET_KEEPCAPS, 1);
    if (setsGroups) setgroups(additionalGids);
    setgid(gid);
    setuid(uid);
    prctl(PR.SET_KEEPCAPS, 0);
  });
}

export function setCapabilities(sets: CapabilitiesSpec, warn: (message: string) => void): void {
  step('cannot set capabilities', () => {
    capset({
      effective: capabilityMask(sets.effective),
      permitted: capabilityMask(sets.permitted),
      inheritable: capabilityMask(sets.inheritable),
    });
    clearAmbientCapabilities();
    const refused = (sets.ambient ?? []).filter(
      (name) => !raiseAmbientCapability(capabilityNumber(name) ?? MAX_CAPABILITIES),
    );
    if (refused.length > 0)
      warn(
        `ignoring ambient capabilities that are not both permitted and inheritable: ${refused.join(', ')}`,
      );
  });
}

/** JSON numbers are doubles: 2^64 - 1 arrives as 2^64. */
function limitValue(value: number): bigint {
  const wide = BigInt(value);
  return wide < RLIM_INFINITY ? wide : RLIM_INFINITY;
}

const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Sets the limits; those that this process may not raise are clamped to its own, with a warning. */
export function setLimits(limits: readonly RlimitSpec[], warn: (message: string) => void): void {
  for (const { type, soft, hard } of limits) {
    const resource = RLIMITS[type] ?? -1;
    const wanted: Limit = { soft: limitValue(soft), hard: limitValue(hard) };
    step(`cannot set ${type}`, () => {
      try {
        setrlimit(resource, wanted);
      } catch (error) {
        if (!(error instanceof Errno) || error.code !== E.EPERM) throw error;
        const { hard: most } = getrlimit(resource);
        setrlimit(resource, { soft: smaller(wanted.soft, most), hard: smaller(wanted.hard, most) });
        warn(`${type} is set to ${most}, the limit of this process`);
      }
    });
  }
}
