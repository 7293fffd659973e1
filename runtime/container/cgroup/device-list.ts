/**
 * Device rules as version 1 of control groups takes them: a verdict for all devices, and exceptions from it.
 *
 * Rules: an exception is taken back only by its own numbers, so some lists cannot be said; those are undefined.
 * Compare security/device_cgroup.c and runc's cgroups/devices/devices_emulator.go.
 */
import { type DeviceRule, isEverything, lettersOf, type NodeType } from './device-rules.js';

export interface DeviceList {
  /** Of what no exception names. */
  readonly allow: boolean;
  /** Lines for devices.allow, or for devices.deny if all else is allowed. */
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

/** Undefined if version 1 cannot say it. */
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

/** False if part of another exception would have to be taken back. */
function takeBack(exceptions: Map<string, Exception>, named: Exception): boolean {
  const others = [...exceptions.values()].filter((one) => keyOf(one) !== keyOf(named));
  if (others.some((one) => overlap(one, named) && (one.access & named.access) !== 0)) return false;
  const known = exceptions.get(keyOf(named));
  if (known !== undefined) known.access &= ~named.access;
  return true;
}
