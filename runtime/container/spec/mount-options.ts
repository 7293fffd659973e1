/**
 * Mount options of the specification, sorted by the kernel interface that takes them.
 *
 * Rule: options of every mount become mount attributes; propagation and bind are separate; all others are passed to the
 * filesystem, which refuses unknown ones. Compare with runc's specconv.parseMountOptions.
 */
import { MOUNT_ATTR, MS } from '../../../fs/sys/constants.js';
import type { FilesystemOption } from '../../../fs/sys/mount-api.js';

export interface MountOptions {
  /** A bind mount, and whether it includes the mounts below its source. */
  readonly bind: boolean;
  readonly recursive: boolean;
  /** MOUNT_ATTR bits; the `Below` ones are for all mounts of the tree. */
  readonly set: number;
  readonly clear: number;
  readonly setBelow: number;
  readonly clearBelow: number;
  /** MS.PRIVATE ...; 0 if not given. */
  readonly propagation: number;
  readonly propagationBelow: boolean;
  readonly data: readonly FilesystemOption[];
}

type Change = readonly [set: number, clear: number];

/** Pairs of options; the second cancels the first. */
const SWITCHES: readonly [on: string, off: string, attribute: number][] = [
  ['ro', 'rw', MOUNT_ATTR.RDONLY],
  ['nosuid', 'suid', MOUNT_ATTR.NOSUID],
  ['nodev', 'dev', MOUNT_ATTR.NODEV],
  ['noexec', 'exec', MOUNT_ATTR.NOEXEC],
  ['nodiratime', 'diratime', MOUNT_ATTR.NODIRATIME],
  ['nosymfollow', 'symfollow', MOUNT_ATTR.NOSYMFOLLOW],
];

/** Access time modes, of which one is set; "relatime" is 0. */
const ACCESS_TIMES: Readonly<Record<string, number>> = {
  noatime: MOUNT_ATTR.NOATIME,
  strictatime: MOUNT_ATTR.STRICTATIME,
  relatime: 0,
  atime: 0,
  norelatime: 0,
  nostrictatime: 0,
};

const ATTRIBUTES = new Map<string, Change>([
  ...SWITCHES.flatMap(([on, off, attribute]): [string, Change][] => [
    [on, [attribute, 0]],
    [off, [0, attribute]],
  ]),
  ...Object.entries(ACCESS_TIMES).map(([name, value]): [string, Change] => [name, [value, MOUNT_ATTR.ATIME]]),
]);

const PROPAGATIONS: Readonly<Record<string, number>> = {
  private: MS.PRIVATE,
  slave: MS.SLAVE,
  shared: MS.SHARED,
  unbindable: MS.UNBINDABLE,
};

/** Options that request the default behaviour. */
const NEUTRAL = new Set(['defaults', 'silent', 'loud', 'remount']);

/** The table's entry for an option, or for the option after the prefix "r" (recursive). */
function lookup<T>(
  get: (word: string) => T | undefined,
  word: string,
): { found: T; below: boolean } | undefined {
  const plain = get(word);
  if (plain !== undefined) return { found: plain, below: false };
  const found = word.startsWith('r') ? get(word.slice(1)) : undefined;
  return found === undefined ? undefined : { found, below: true };
}

export function parseMountOptions(type: string | undefined, options: readonly string[]): MountOptions {
  let [bind, recursive] = [type === 'bind', false];
  const attributes = { set: 0, clear: 0 };
  const attributesBelow = { set: 0, clear: 0 };
  let [propagation, propagationBelow] = [0, false];
  const data: FilesystemOption[] = [];
  for (const word of options) {
    const attribute = lookup((name) => ATTRIBUTES.get(name), word);
    const spread = lookup((name) => PROPAGATIONS[name], word);
    if (word === 'bind' || word === 'rbind') {
      bind = true;
      recursive ||= word === 'rbind';
    } else if (attribute !== undefined) {
      const [set, clear] = attribute.found;
      const into = attribute.below ? attributesBelow : attributes;
      into.set = (into.set & ~clear) | set;
      into.clear = (into.clear | clear) & ~(set & ~MOUNT_ATTR.ATIME);
    } else if (spread !== undefined) {
      [propagation, propagationBelow] = [spread.found, spread.below];
    } else if (!NEUTRAL.has(word)) {
      const [name = '', value] = splitOnce(word);
      data.push(value === undefined ? [name] : [name, value]);
    }
  }
  const below = { setBelow: attributesBelow.set, clearBelow: attributesBelow.clear };
  return { bind, recursive, ...attributes, ...below, propagation, propagationBelow, data };
}

function splitOnce(word: string): [string, string?] {
  const at = word.indexOf('=');
  return at < 0 ? [word] : [word.slice(0, at), word.slice(at + 1)];
}
