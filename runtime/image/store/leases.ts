/**
 * Leases: which layers and images of a store are in use, and by whom; one small file each.
 *
 *     leases/KIND-ID.json     a container's: it exists before the container uses a layer, until its files are removed
 *
 * Rules:
 * - What a lease names is not removed: layers never, its image only with --force. Removals read leases and nothing else,
 *   so the store does not depend on those who use it.
 * - A lease is written under the same shared lock of the store under which its layers were found, before its holder
 *   appears, and is removed after its holder's last file. So an interruption leaves at worst a lease without a holder,
 *   which the holder's kind removes, never a holder without a lease.
 * - An unreadable lease protects every layer, a lease of an unknown kind the layers that it names. A container without a
 *   lease (an earlier version created it, or a power cut took the lease, which is not fsynced) protects every layer.
 *
 * Compare leases and their garbage collection in containerd (core/leases, metadata/gc.go), and the layers' locks of
 * containers/storage, which asks containers.json instead.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import { readJson, writeJson } from '../../../fs/input/json-file.js';
import { custom, listOf, type Output, optional, struct, text, word } from '../../../fs/input/schema.js';
import { type Digest, isDigest } from '../digest.js';
import { namesIn } from './layout.js';

const DIRECTORY = 'leases';
const SUFFIX = '.json';
const PRIVATE = 0o700;

const DIGEST = custom<Digest>(isDigest, 'a sha256 digest');

export const LEASE = struct({
  /** Who holds it: a kind, an ID that is unique in it, and what people call it. */
  holder: struct({ kind: word, id: word, name: text }),
  /** RFC 3339. */
  since: text,
  /** The image that is in use, by its ID. */
  image: optional(DIGEST),
  /** Keys of layers (`layer-keys.ts`). */
  layers: listOf(DIGEST),
});
export type Lease = Output<typeof LEASE>;
export type Holder = Pick<Lease['holder'], 'kind' | 'id'>;

/** A lease that cannot be read. */
export interface DamagedLease {
  /** Of its file, without the suffix: KIND-ID. */
  readonly name: string;
  readonly problem: string;
}

export interface Leases {
  readonly leases: readonly Lease[];
  readonly damaged: readonly DamagedLease[];
}

export const leaseName = ({ kind, id }: Holder): string => `${kind}-${id}`;

const pathOf = (root: string, name: string): string => join(root, DIRECTORY, name + SUFFIX);

/** @param root the store's. The caller holds the store (`Store.hold`), or has it alone. */
export function writeLease(root: string, lease: Lease): void {
  mkdirSync(join(root, DIRECTORY), { recursive: true, mode: PRIVATE });
  writeJson(pathOf(root, leaseName(lease.holder)), lease);
}

/** Needs no space, as no removal does. */
export const removeLease = (root: string, holder: Holder): void =>
  rmSync(pathOf(root, leaseName(holder)), { force: true, recursive: true });

export const hasLease = (root: string, holder: Holder): boolean =>
  existsSync(pathOf(root, leaseName(holder)));

/** The names of all leases of a kind: the IDs of their holders. */
export const leaseholders = (root: string, kind: string): string[] =>
  leaseNames(root).flatMap((name) => (name.startsWith(`${kind}-`) ? name.slice(kind.length + 1) : []));

const leaseNames = (root: string): string[] =>
  namesIn(join(root, DIRECTORY)).flatMap((name) =>
    name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : [],
  );

/** All leases. One that disappears meanwhile is left out. */
export function readLeases(root: string): Leases {
  const leases: Lease[] = [];
  const damaged: DamagedLease[] = [];
  for (const name of leaseNames(root)) {
    const read = readLease(root, name);
    if (read === undefined) continue;
    if ('problem' in read) damaged.push(read);
    else leases.push(read);
  }
  return { leases, damaged };
}

function readLease(root: string, name: string): Lease | DamagedLease | undefined {
  try {
    const lease = readJson(LEASE, pathOf(root, name));
    if (lease === undefined || leaseName(lease.holder) === name) return lease;
    return { name, problem: `is the lease of "${leaseName(lease.holder)}"` };
  } catch (error) {
    if (error instanceof UsageError) return { name, problem: error.message };
    throw error;
  }
}

/** The layers that must stay; undefined where that cannot be known, and any may be needed. */
export function leasedLayers(root: string): ReadonlySet<Digest> | undefined {
  const { leases, damaged } = readLeases(root);
  if (damaged.length > 0 || containersWithoutLease(root).length > 0) return undefined;
  return new Set(leases.flatMap(({ layers }) => layers));
}

export const CONTAINER = 'container';
/** The directory of a store that has a directory for each container, named by its ID; hidden ones come and go. */
export const CONTAINERS = 'containers';

/** IDs. Earlier versions wrote no leases. */
export const containersWithoutLease = (root: string): string[] =>
  namesIn(join(root, CONTAINERS)).filter(
    (id) => !id.startsWith('.') && !hasLease(root, { kind: CONTAINER, id }),
  );
