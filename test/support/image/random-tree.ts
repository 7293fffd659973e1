/** Trees of files drawn at random, with whatever a file can have: bytes for names, binary attributes, odd times. */
import fc from 'fast-check';
import { AT, O, S } from '../../../fs/sys/constants.js';
import type { Time } from '../../../fs/sys/stat.js';
import {
  close,
  fchmodat,
  fchownat,
  ftruncate,
  linkat,
  mkdirat,
  mknodat,
  openat,
  pwrite,
  setxattrat,
  symlinkat,
  utimensat,
} from '../../../fs/sys/syscalls.js';
import type { Entry, Tree } from '../acceptance/tree.js';

interface Common {
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Time;
  readonly xattrs: readonly (readonly [string, Buffer])[];
}

export type Plan = Common &
  (
    | { readonly type: 'file'; readonly data: Buffer; readonly hole: number; readonly alsoNamed?: string }
    | { readonly type: 'directory'; readonly inside: readonly Plan[] }
    | { readonly type: 'symlink'; readonly target: string }
    | { readonly type: 'device'; readonly kind: number; readonly major: number; readonly minor: number }
  );

/** Any bytes but "/" and NUL; not what the layer format gives a meaning. */
const name = fc
  .oneof(
    { weight: 3, arbitrary: fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 8 }) },
    { weight: 2, arbitrary: fc.uint8Array({ min: 1, max: 255, minLength: 1, maxLength: 20 }).map(latin1) },
    { weight: 1, arbitrary: fc.uint8Array({ min: 1, max: 255, minLength: 120, maxLength: 240 }).map(latin1) },
  )
  .map((text) => text.replaceAll('/', '_'))
  .filter((text) => text !== '.' && text !== '..' && !text.startsWith('.wh.'));

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

const id = fc.oneof(fc.nat(70_000), fc.constantFrom(0, 2_097_151, 2_097_152, 4_294_967_294));
/** What ext4 holds: from 1901 to 2446. */
const mtime = fc.record({
  seconds: fc.oneof(fc.integer({ min: -(2 ** 31), max: 2 ** 33 }), fc.constantFrom(0, -1, 1)),
  nanoseconds: fc.oneof(fc.constantFrom(0, 1, 999_999_999, 500_000_000), fc.nat(999_999_999)),
});
const attribute = fc.tuple(
  fc.constantFrom('user.a', 'user.b=c%d', 'trusted.t', 'user.overlay.opaque', 'trusted.overlay.redirect'),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);
/** Version 2, effective, cap_net_raw: bytes beyond 0x7f included. */
const CAPABILITY: readonly [string, Buffer] = [
  'security.capability',
  Buffer.from('0100000200ff0000fe00000080000000ff000000', 'hex'),
];
const xattrs = fc.uniqueArray(attribute, { maxLength: 3, selector: ([key]) => key });

const common = { name, mode: fc.nat(0o7777), uid: id, gid: id, mtime };
const file = fc.record(
  {
    ...common,
    type: fc.constant('file' as const),
    xattrs: fc.tuple(xattrs, fc.boolean()).map(([own, capable]) => (capable ? [...own, CAPABILITY] : own)),
    data: fc
      .oneof(
        fc.uint8Array({ maxLength: 700 }),
        fc.nat(200_000).map((length) => new Uint8Array(length).fill(7)),
      )
      .map((bytes) => Buffer.from(bytes)),
    hole: fc.oneof(fc.constant(0), fc.nat(300_000)),
    alsoNamed: name,
  },
  { requiredKeys: ['name', 'mode', 'uid', 'gid', 'mtime', 'type', 'xattrs', 'data', 'hole'] },
);
const symlink = fc.record({
  ...common,
  type: fc.constant('symlink' as const),
  xattrs: fc.constant([]),
  target: fc.uint8Array({ min: 1, max: 255, minLength: 1, maxLength: 200 }).map(latin1),
});
const device = fc.record({
  ...common,
  type: fc.constant('device' as const),
  xattrs: fc.constant([]),
  kind: fc.constantFrom(S.IFCHR, S.IFBLK, S.IFIFO),
  major: fc.integer({ min: 1, max: 0xfff }),
  minor: fc.nat(0xfffff),
});

const names = { selector: (plan: Plan) => plan.name };
export const plans: fc.Arbitrary<readonly Plan[]> = fc.letrec<{ plan: Plan; level: Plan[] }>((tie) => ({
  plan: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    file as fc.Arbitrary<Plan>,
    symlink as fc.Arbitrary<Plan>,
    device as fc.Arbitrary<Plan>,
    fc.record({
      ...common,
      type: fc.constant('directory' as const),
      xattrs,
      inside: tie('level'),
    }) as fc.Arbitrary<Plan>,
  ),
  level: fc.uniqueArray(tie('plan'), { maxLength: 5, ...names }),
})).level;

/** Makes the files below an existing directory. */
export function grow(directory: string, inside: readonly Plan[]): void {
  const fd = openat(AT.FDCWD, directory, O.RDONLY | O.DIRECTORY);
  try {
    growIn(fd, inside);
    fchmodat(fd, '', 0o755);
    utimensat(fd, '', { seconds: 1, nanoseconds: 2 }, { seconds: 1, nanoseconds: 2 });
  } finally {
    close(fd);
  }
}

function growIn(dirfd: number, inside: readonly Plan[]): void {
  const taken = new Set(inside.map((plan) => plan.name));
  for (const plan of inside) {
    make(dirfd, plan, taken);
    fchownat(dirfd, plan.name, plan.uid, plan.gid);
    if (plan.type !== 'symlink') fchmodat(dirfd, plan.name, plan.mode);
    for (const [key, value] of plan.xattrs) setxattrat(dirfd, plan.name, key, value);
    utimensat(dirfd, plan.name, plan.mtime, plan.mtime);
  }
}

function make(dirfd: number, plan: Plan, taken: Set<string>): void {
  if (plan.type === 'symlink') symlinkat(plan.target, dirfd, plan.name);
  else if (plan.type === 'device') mknodat(dirfd, plan.name, plan.kind | 0o600, plan.major, plan.minor);
  else if (plan.type === 'directory') {
    mkdirat(dirfd, plan.name, 0o700);
    const fd = openat(dirfd, plan.name, O.RDONLY | O.DIRECTORY);
    growIn(fd, plan.inside);
    close(fd);
  } else {
    const fd = openat(dirfd, plan.name, O.WRONLY | O.CREAT | O.EXCL, 0o600);
    if (plan.data.length > 0) pwrite(fd, plan.data, plan.data.length, plan.hole);
    ftruncate(fd, plan.hole + plan.data.length);
    close(fd);
    const other = plan.alsoNamed;
    if (other === undefined || taken.has(other)) return;
    taken.add(other);
    linkat(dirfd, plan.name, dirfd, other);
  }
}

/** The union's own names are stored escaped. */
export function escaped(tree: Tree): Tree {
  const field = (key: string): string => key.replace(/^(xattr (user|trusted)\.overlay\.)/, '$1overlay.');
  const rename = (fields: Entry): Entry =>
    Object.fromEntries(Object.entries(fields).map(([key, value]) => [field(key), value])) as Entry;
  return new Map([...tree].map(([path, fields]) => [path, rename(fields)]));
}
