/**
 * Device rules in the format of control groups version 1: a default for all devices, and exceptions from it.
 *
 * Rules: an exception can be removed only by its exact numbers, so version 1 cannot express some lists; those are
 * undefined.
 * Compare security/device_cgroup.c and runc's cgroups/devices/devices_emulator.go.
 */
import { type DeviceRule, isEverything, lettersOf, type NodeType } from './device-rules.js';

export interface DeviceList {
  /** The default, for devices without an exception. */
  readonly allow: boolean;
  /** Lines for devices.allow, or for devices.deny if the default is to allow. */
  readonly exceptions: readonly string[];
}

interface Exception {
  readonly type: NodeType;
  readonly major: number | undefined;
  readonly minor: number | undefined;
  access: number;
}

const keyOf = ({ type, major, minor }: Exception): string => `${type} ${major ?? '*'}:${minor ?? '*'}`;

const overlap = (a: Exception, b: Exception): boolean =>
  a.type === b.type &&
  (a.major === undefined || b.major === undefined || a.major === b.major) &&
  (a.minor === undefined || b.minor === undefined || a.minor === b.minor);

/** Undefined if version 1 cannot express the rules. */
export function deviceList(rules: readonly DeviceRule[]): DeviceList | undefined {
  let allow = false;
  const exceptions = new Map<string, Exception>();
  for (const rule of rules) {
    if (isEverything(rule)) {
      allow = rule.allow;
      exceptions.clear();
      continue;
    }
    const types: readonly NodeType[] = rule.type === undefined ? ['b', 'c'] : [rule.type];
    for (const type of types) {
      const named = { type, major: rule.major, minor: rule.minor, access: rule.access };
      if (rule.allow !== allow) add(exceptions, named);
      else if (!takeBack(exceptions, named)) return undefined;
    }
  }
  const left = [...exceptions.values()].filter(({ access }) => access !== 0);
  return { allow, exceptions: left.map((one) => `${keyOf(one)} ${lettersOf(one.access)}`) };
}

function add(exceptions: Map<string, Exception>, named: Exception): void {
  const known = exceptions.get(keyOf(named));
  exceptions.set(keyOf(named), { ...named, access: named.access | (known?.access ?? 0) });
}

/** False if only a part of another exception would have to be removed. */
function takeBack(exceptions: Map<string, Exception>, named: Exception): boolean {
  const others = [...exceptions.values()].filter((one) => keyOf(one) !== keyOf(named));
  if (others.some((one) => overlap(one, named) && (one.access & named.access) !== 0)) return false;
  const known = exceptions.get(keyOf(named));
  if (known !== undefined) known.access &= ~named.access;
  return true;
}
