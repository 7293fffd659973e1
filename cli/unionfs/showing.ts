/** Mount options that disable or require features, as in fuse-overlayfs(1). */
import { type LeftOut, type MountOptions, UsageError } from '../../fs/index.js';
import { alternatives } from '../../fs/input/shown.js';
import { SHOWING_SWITCHES } from './mount-words.js';

const LEAVES_OUT: Readonly<Record<(typeof SHOWING_SWITCHES)[number], LeftOut>> = {
  noxattrs: 'xattrs',
  noacl: 'acl',
  static_nlink: 'link-counts',
  ino32_t: 'wide-inodes',
};

type Given = ReadonlyMap<string, string | undefined>;

/** @throws UsageError for an invalid value */
export function showingOf(given: Given): Pick<MountOptions, 'without' | 'lastingInodes' | 'context'> {
  const without: LeftOut[] = SHOWING_SWITCHES.filter((name) => given.has(name)).map(
    (name) => LEAVES_OUT[name],
  );
  if (oneOf(given, 'redirect_dir', ['on', 'off']) === 'off') without.push('redirects');
  const lastingInodes = oneOf(given, 'xino', ['off', 'auto', 'on']) === 'on';
  const context = given.get('context');
  return {
    ...(without.length > 0 && { without }),
    ...(lastingInodes && { lastingInodes }),
    ...(context !== undefined && { context: unquoted(context) }),
  };
}

function oneOf(given: Given, name: string, values: readonly string[]): string | undefined {
  const value = given.get(name);
  if (value === undefined || values.includes(value)) return value;
  throw new UsageError(`invalid value "${value}" for option "-o ${name}": use ${alternatives(values)}`);
}

/** Removes the quotes of a context, which contains commas. */
function unquoted(context: string): string {
  const text = /^"(.*)"$/s.exec(context)?.[1] ?? context;
  if (!/["\\\0\n]/.test(text)) return text;
  throw new UsageError(`invalid security context "${context}" for option "-o context"`);
}
