/**
 * Which devices a container can create, read and write: "linux.resources.devices" of the specification, and the defaults
 * of every container.
 *
 * Rules: initially nothing is allowed; for each access, the last matching rule decides. The defaults follow the rules of
 * a specification: any node can be created, few can be opened. They are runc's without the host's console and tunnels. Compare config-linux.md, "Allowed Device list", runc's specconv.AllowedDevices.
 */
import type { DeviceRuleSpec } from '../spec/runtime-spec.js';

/** BPF_DEVCG_ACC_* */
export const ACCESS = { m: 1, r: 2, w: 4 } as const;
export const ALL_ACCESS = ACCESS.m | ACCESS.r | ACCESS.w;

export type NodeType = 'b' | 'c';

export interface DeviceRule {
  readonly allow: boolean;
  /** undefined means both types. */
  readonly type?: NodeType | undefined;
  /** undefined means any number. */
  readonly major?: number | undefined;
  readonly minor?: number | undefined;
  /** ACCESS bits. */
  readonly access: number;
}

export interface DeviceNumber {
  readonly type: NodeType;
  readonly major: number;
  readonly minor: number;
}

export const accessOf = (letters: string): number =>
  Object.entries(ACCESS).reduce((bits, [letter, bit]) => (letters.includes(letter) ? bits | bit : bits), 0);

export const lettersOf = (access: number): string =>
  (['r', 'w', 'm'] as const).filter((letter) => (access & ACCESS[letter]) !== 0).join('');

const allow = (type: NodeType, major?: number, minor?: number, access: number = ALL_ACCESS): DeviceRule => ({
  allow: true,
  type,
  major,
  minor,
  access,
});

/** Numbers from the kernel's devices.txt. */
export const DEFAULT_RULES: readonly DeviceRule[] = [
  allow('c', undefined, undefined, ACCESS.m),
  allow('b', undefined, undefined, ACCESS.m),
  allow('c', 1, 3), // null
  allow('c', 1, 5), // zero
  allow('c', 1, 7), // full
  allow('c', 1, 8), // random
  allow('c', 1, 9), // urandom
  allow('c', 5, 0), // tty
  allow('c', 5, 2), // ptmx
  allow('c', 136), // pts
];

/** The rules of a container. */
export const rulesOf = (given: readonly DeviceRuleSpec[] = []): DeviceRule[] => [
  ...given.map(ruleOf),
  ...DEFAULT_RULES,
];

/** -1 means any, as runc reads it. */
const number = (value: number | undefined): number | undefined =>
  value === undefined || value < 0 ? undefined : value;

function ruleOf({ allow, type, major, minor, access }: DeviceRuleSpec): DeviceRule {
  return {
    allow,
    type: type === 'b' ? 'b' : type === 'c' || type === 'u' ? 'c' : undefined,
    major: number(major),
    minor: number(minor),
    access: access === undefined || access === '' ? ALL_ACCESS : accessOf(access),
  };
}

const matches = (rule: DeviceRule, { type, major, minor }: DeviceNumber): boolean =>
  (rule.type ?? type) === type && (rule.major ?? major) === major && (rule.minor ?? minor) === minor;

/** Whether the rules allow every access in the mask `access` to a device. */
export function isAllowed(rules: readonly DeviceRule[], device: DeviceNumber, access: number): boolean {
  let undecided = access;
  for (const rule of [...rules].reverse()) {
    if (!matches(rule, device)) continue;
    if (!rule.allow && (undecided & rule.access) !== 0) return false;
    if (rule.allow) undecided &= ~rule.access;
    if (undecided === 0) return true;
  }
  return undecided === 0;
}

export const isEverything = ({ type, major, minor, access }: DeviceRule): boolean =>
  type === undefined && major === undefined && minor === undefined && access === ALL_ACCESS;
