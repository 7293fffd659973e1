/**
 * Lookup: from a name in a merged directory to its node.
 *
 * Rule: `rules.merge` decides; this file only fetches what each layer holds, from the top and no further than the
 * decision needs, and ties the result to a node. Compare ovl_lookup in fs/overlayfs/namei.c.
 */
import type { Entry, LookupResult } from '../../protocol/filesystem.js';
import { NAME_MAX } from '../../sys/constants.js';
import { E, Errno, unless } from '../../sys/errno.js';
import type { Stat } from '../../sys/stat.js';
import { fstat, statat } from '../../sys/syscalls.js';
import { LayerDirectory } from '../layers/layer.js';
import { decodeOrigin, encodeOrigin, isImpure, readOrigin } from '../layers/origin.js';
import { classify, type Depth, isDotName, namedBy } from '../layers/whiteout.js';
import { shownOwner } from '../owners/id-mapping.js';
import { ABSENT, type LayerEntry, merge } from '../rules/merge.js';
import { rewriteDotNames } from './dot-names.js';
import { DirectoryNode, FileNode, type Home, type IndexEntry, type Node } from './node.js';
import { recordedOf } from './place.js';
import { FOREVER } from './trust.js';
import type { Union } from './union.js';
import { hasChanged, isUnwatched, remember } from './unwatched.js';

/** What lies under a name, before it is tied to a node. */
export type Found =
  | {
      readonly is: 'file';
      readonly stat: Stat;
      readonly home: Home;
      /** The inode whose number is shown: the lower one, which copy-up does not change. */
      readonly origin: Stat;
      readonly index: IndexEntry | undefined;
    }
  | {
      readonly is: 'directory';
      /** Of the topmost directory. */
      readonly stat: Stat;
      /** Of the directory whose inode number is shown: the topmost lower one, which copy-up does not change. */
      readonly origin: Stat;
      readonly upper: LayerDirectory | undefined;
      readonly lowers: readonly LayerDirectory[];
      /** Upper's redirect. */
      readonly redirect: string | undefined;
    };

/** What layer `directory` holds under `name`, and its stat. */
export function probe(
  union: Union,
  directory: LayerDirectory,
  name: string,
  somethingBelow: boolean,
): { entry: LayerEntry; stat: Stat | undefined } {
  if (isDotName(name)) return { entry: ABSENT, stat: undefined };
  if (directory.layer.isUpper) rewriteDotNames(union, directory);
  const dirfd = union.handles.directory(directory);
  const stat = statat(dirfd, name);
  return {
    entry: classify(directory, dirfd, name, stat, depth(union, directory, somethingBelow)),
    stat,
  };
}

/** A redirect may lead to deeper layers that lack this directory. */
export function depth(union: Union, directory: LayerDirectory, sameName: boolean): Depth {
  return { sameName, anyName: directory.layer.index + 1 < union.layers.length };
}

/** One place to look: a name in a directory of a layer. */
export interface Candidate {
  readonly directory: LayerDirectory;
  readonly name: string;
  readonly stat: Stat | undefined;
  readonly entry: LayerEntry;
}

/** How many places one lookup may still look at: redirects of a hostile layer could send it round and round. */
interface Budget {
  left: number;
}

const PLACES_PER_LAYER = 64;
const newBudget = (union: Union): Budget => ({ left: PLACES_PER_LAYER * (union.layers.length + 1) });

/**
 * What the layers of `directories` hold under `name`, fetched one at a time from the top. A redirect sends the
 * search to another name in the layers below: in the same parents, or from the roots of all lower layers.
 */
export function* candidates(
  union: Union,
  directories: readonly LayerDirectory[],
  name: string,
  skip = 0,
  budget = newBudget(union),
): Generator<Candidate> {
  for (let index = skip; index < directories.length; index++) {
    if (budget.left-- === 0) throw new Errno(E.ELOOP);
    const directory = directories[index] as LayerDirectory;
    const { entry, stat } = probe(union, directory, name, index + 1 < directories.length);
    yield { directory, name, stat, entry };
    const redirect = entry.is === 'directory' ? entry.redirect : undefined;
    if (redirect === undefined) continue;
    if (redirect.startsWith('/')) yield* fromRoots(union, directory, redirect.slice(1).split('/'), budget);
    else yield* candidates(union, directories, redirect, index + 1, budget);
    return;
  }
}

/** What the layers below `above` hold under a path from their roots. */
function* fromRoots(
  union: Union,
  above: LayerDirectory,
  path: readonly string[],
  budget: Budget,
): Generator<Candidate> {
  const roots = union.layers.filter(({ index }) => index > above.layer.index).map(({ root }) => root);
  let directories: readonly LayerDirectory[] = roots;
  for (const parent of path.slice(0, -1)) {
    directories =
      mergedDirectories(union, directories, parent, budget)?.map(({ directory }) => directory) ?? [];
  }
  const name = path.at(-1);
  if (name !== undefined) yield* candidates(union, directories, name, 0, budget);
}

/** The directories of a merge, with their stats; undefined if the view shows something else. */
function mergedDirectories(
  union: Union,
  directories: readonly LayerDirectory[],
  name: string,
  budget: Budget,
): { directory: LayerDirectory; stat: Stat; redirect: string | undefined }[] | undefined {
  const seen: Candidate[] = [];
  const view = merge(collecting(candidates(union, directories, name, 0, budget), seen));
  if (view.shows !== 'directory') return undefined;
  return view.layers.map((layer) => directoryOf(seen[layer] as Candidate));
}

function directoryOf({ directory, name, stat, entry }: Candidate): {
  directory: LayerDirectory;
  stat: Stat;
  redirect: string | undefined;
} {
  const redirect = entry.is === 'directory' ? entry.redirect : undefined;
  return {
    directory: new LayerDirectory(directory.layer, directory, name),
    stat: stat as Stat,
    redirect,
  };
}

export function* collecting(from: Iterable<Candidate>, seen: Candidate[]): Generator<LayerEntry> {
  for (const candidate of from) {
    seen.push(candidate);
    yield candidate.entry;
  }
}

/** Looks `name` up in the layers of `parent`, the first `skip` of which are known not to hold it. */
export function resolve(union: Union, parent: DirectoryNode, name: string, skip = 0): Found | undefined {
  const seen: Candidate[] = [];
  const view = merge(collecting(candidates(union, parent.layers, name, skip), seen));
  if (view.shows === 'nothing') return undefined;
  if (view.shows === 'directory') {
    const merged = view.layers.map((layer) => directoryOf(seen[layer] as Candidate));
    return foundDirectory(merged);
  }
  return foundFile(union, parent, seen[view.layer] as Candidate);
}

/** What an entry is that the view shows; undefined for a directory or a whiteout. */
export function foundFile(union: Union, parent: DirectoryNode, shown: Candidate): Found | undefined {
  const { directory, name, stat, entry } = shown;
  if (stat === undefined || entry.is === 'directory' || entry.is === 'whiteout') return undefined;
  const file = { directory, name, stat, entry };
  return directory.layer.isUpper ? foundInUpper(union, file, parent.lowers) : foundInLower(union, file);
}

function foundInLower(union: Union, { directory, name, stat }: Candidate & { stat: Stat }): Found {
  const dirfd = union.handles.directory(directory);
  const indexed = stat.nlink > 1 ? union.index?.find(directory.layer, dirfd, name) : undefined;
  if (union.index === undefined || indexed === undefined) {
    return { is: 'file', stat, home: { directory, name }, origin: stat, index: undefined };
  }
  const index = union.index.entry(indexed.name, indexed.stat, stat.nlink);
  const home = { directory: union.index.directory, name: indexed.name };
  return { is: 'file', stat: indexed.stat, home, origin: stat, index };
}

/** @param lowers the lower directories that are merged with the one that holds it */
function foundInUpper(
  union: Union,
  { directory, name, stat }: Candidate & { stat: Stat },
  lowers: readonly LayerDirectory[],
): Found {
  const dirfd = union.handles.directory(directory);
  const plain = { is: 'file' as const, stat, home: { directory, name }, origin: stat, index: undefined };
  const { work, index, layers } = union;
  if (work === undefined || !union.originsAreUnique || !isImpure(work.xattrPrefix, directory, dirfd))
    return plain;
  const handle = readOrigin(work.xattrPrefix, dirfd, name);
  if (handle === undefined) return plain;
  const indexName = index?.nameOf(handle);
  const origin = decodeOrigin(layers, handle) ?? originBelow(union, lowers, name, handle);
  if (origin === undefined) return plain;
  if (index === undefined || indexName === undefined || origin.nlink < 2) return { ...plain, origin };
  const indexed = statat(index.fd, indexName);
  if (indexed?.ino !== stat.ino) return { ...plain, origin };
  const home = { directory: index.directory, name: indexName };
  return { ...plain, origin, home, index: index.entry(indexName, stat, origin.nlink) };
}

/** Where handles may not be opened, which takes the host's root: the entry of the same name, if the handle is its own. */
function originBelow(
  union: Union,
  lowers: readonly LayerDirectory[],
  name: string,
  handle: Buffer,
): Stat | undefined {
  if (union.work?.isPrivileged !== false) return undefined;
  const wanted = Buffer.from(handle);
  for (const directory of lowers) {
    const dirfd = union.handles.directory(directory);
    const stat = statat(dirfd, name);
    if (stat !== undefined && encodeOrigin(directory.layer, dirfd, name)?.equals(wanted)) return stat;
  }
  return undefined;
}

function foundDirectory(
  merged: readonly { directory: LayerDirectory; stat: Stat; redirect: string | undefined }[],
): Found | undefined {
  const [first, second] = merged;
  if (first === undefined) return undefined;
  const inUpper = first.directory.layer.isUpper;
  const directories = merged.map(({ directory }) => directory);
  return {
    is: 'directory',
    stat: first.stat,
    origin: inUpper && second !== undefined ? second.stat : first.stat,
    upper: inUpper ? first.directory : undefined,
    lowers: inUpper ? directories.slice(1) : directories,
    redirect: inUpper ? first.redirect : undefined,
  };
}

/** Ties what was found to the node it always had, or to a new one. */
export function adopt(union: Union, parent: DirectoryNode, name: string, found: Found): Node {
  const known = parent.children.get(name);
  const node =
    found.is === 'directory'
      ? adoptDirectory(union, parent, name, found, known)
      : adoptFile(union, parent, name, found, known);
  if (known !== undefined && known !== node) forgetName(parent, name, known);
  parent.children.set(name, node);
  node.stale = false;
  return node;
}

function adoptFile(
  union: Union,
  parent: DirectoryNode,
  name: string,
  found: Found & { is: 'file' },
  known: Node | undefined,
): FileNode {
  const { stat } = found;
  const same = known instanceof FileNode && known.dev === stat.dev && known.layerIno === stat.ino;
  const linked = same ? known : linkedNode(union, found);
  const node = linked === undefined || hasChanged(linked, stat) ? newFile(union, found) : linked;
  if (node.pinned >= 0 && found.home.directory.layer.isUpper) {
    union.handles.unpin(node); // it has a name again
    node.home = found.home;
  }
  if (stat.nlink > 1) union.nodes.registerLinks(node, stat);
  if (found.origin.nlink > 1) union.nodes.registerLinks(node, found.origin);
  node.addLink(parent, name);
  return node;
}

/** The node of another name of the file. */
function linkedNode(union: Union, { stat, origin, home }: Found & { is: 'file' }): FileNode | undefined {
  const node = union.nodes.linked(stat) ?? union.nodes.linked(origin);
  if (node !== undefined || stat.nlink < 2 || home.directory.layer.isUpper) return node;
  return union.nodes.singleNamed(stat);
}

function newFile(union: Union, { stat, home, origin, index }: Found & { is: 'file' }): FileNode {
  const node = union.nodes.addFile(stat, home, origin);
  node.index = index;
  node.hasOrigin = node.inUpper && origin !== stat;
  return node;
}

function adoptDirectory(
  union: Union,
  parent: DirectoryNode,
  name: string,
  found: Found & { is: 'directory' },
  known: Node | undefined,
): DirectoryNode {
  const { upper, lowers, origin } = found;
  if (known instanceof DirectoryNode) {
    refresh(union, known, found);
    return known;
  }
  const ino = union.inodes.of(origin.dev, origin.ino);
  const node = union.nodes.addDirectory(ino, { parent, name }, { upper, lowers });
  node.redirect = found.redirect;
  return node;
}

/** Brings a known directory up to date after its layers may have changed. */
function refresh(union: Union, node: DirectoryNode, found: Found & { is: 'directory' }): void {
  const kept = found.lowers.map(
    (fresh) => node.lowers.find((old) => old.layer === fresh.layer && old.parent === fresh.parent) ?? fresh,
  );
  const unchanged = kept.length === node.lowers.length && kept.every((lower, i) => lower === node.lowers[i]);
  for (const lower of node.lowers) union.handles.drop(lower);
  if (node.upper === undefined) node.upper = found.upper;
  if (unchanged && !node.stale) return;
  union.watcher?.unwatch(node);
  node.lowers = kept;
  markChildrenStale(union, node);
}

/** Makes everything known below a directory be looked up again, and what is there now, if the kernel was told of names that it is not. */
export function markChildrenStale(union: Union, node: DirectoryNode): void {
  if (node.listing !== undefined) node.listing.stale = true;
  union.watcher?.forgetInode(node);
  if (node.saidAbsent) {
    for (const name of namesIn(union, node)) union.watcher?.forgetEntry(node, name);
  }
  for (const [name, child] of node.children) {
    child.stale = true;
    union.watcher?.forgetEntry(node, name);
    if (child instanceof FileNode && !child.inUpper) union.watcher?.forgetInode(child);
  }
}

/** All that some layer's directory holds something under, or says something of; nothing of those that cannot be listed just now. */
function* namesIn(union: Union, node: DirectoryNode): Generator<string> {
  for (const directory of node.layers) {
    const held = unless(GONE, () => union.handles.names(directory)) ?? [];
    for (const { name } of held) yield namedBy(name) ?? name;
  }
}

/** Errors of a layer's directory that was removed or made inaccessible from outside. */
const GONE = [E.ENOENT, E.ENOTDIR, E.ESTALE, E.EACCES, E.ELOOP];

/** It is not known what a name leads to: it is looked up again, by us and by the kernel. */
export function doubt({ notifier }: Union, parent: DirectoryNode, name: string): void {
  const child = parent.children.get(name);
  if (child !== undefined) child.stale = true;
  if (parent.listing !== undefined) parent.listing.stale = true;
  notifier?.invalidateEntry(parent.id, name, child instanceof DirectoryNode);
  notifier?.invalidateInode(parent.id);
}

/** A name no longer leads to `node`. */
export function forgetName(parent: DirectoryNode, name: string, node: Node): void {
  if (parent.children.get(name) === node) parent.children.delete(name);
  if (node instanceof FileNode) node.removeLink(parent, name);
}

/** The node of a name, found or known; undefined if the view shows nothing. */
export function find(
  union: Union,
  parent: DirectoryNode,
  name: string,
  skip = 0,
): { node: Node; stat: Stat } | undefined {
  const known = parent.children.get(name);
  if (known !== undefined && !known.stale && union.trust.holds(parent)) {
    return { node: known, stat: statOf(union, known) };
  }
  const found = isListedAbsent(union, parent, name) ? undefined : resolve(union, parent, name, skip);
  if (found === undefined) {
    if (known !== undefined) forgetName(parent, name, known);
    return undefined;
  }
  const node = adopt(union, parent, name, found);
  // A name of a file whose other name was copied up shows that copy.
  const moved = node instanceof FileNode && (node.layerIno !== found.stat.ino || node.dev !== found.stat.dev);
  return { node, stat: moved ? statOf(union, node) : found.stat };
}

/** Whether an up-to-date listing says that there is no such name. */
function isListedAbsent(union: Union, parent: DirectoryNode, name: string): boolean {
  const { listing } = parent;
  return (
    listing !== undefined && !listing.stale && union.trust.holds(parent) && listing.get(name) === undefined
  );
}

/** The attributes of a node where they are stored. */
export function statOf(union: Union, node: Node): Stat {
  if (node instanceof DirectoryNode) {
    const last = node.removed ? node.upper?.last : undefined;
    return last === undefined ? fstat(union.handles.top(node)) : { ...last };
  }
  const fd = union.handles.ifOpen(node);
  if (fd !== undefined) return fstat(fd);
  const stat = statat(union.handles.directory(node.home.directory), node.home.name);
  if (stat === undefined) throw new Errno(E.ESTALE);
  return stat;
}

/** Turns an inode's stat into the mount's. */
export const toMountStat = (union: Union, node: Node, inode: Stat): Stat =>
  recordedToMountStat(union, node, recordedOf(union, node, inode));

/** The same for what the node's layer records; asks nothing. */
function recordedToMountStat(union: Union, node: Node, stored: Stat): Stat {
  const stat = shown(union, stored);
  if (stat.uid !== stored.uid || stat.gid !== stored.gid) union.virtualOwners?.inodes.add(node.ino);
  stat.ino = node.ino;
  if (node instanceof DirectoryNode) {
    if (node.removed) stat.nlink = 0;
    // Subdirectories of several layers are not counted; 1 says so, as on overlayfs and btrfs.
    else if (node.layers.length > 1 || union.without.has('link-counts')) stat.nlink = 1;
  } else if (union.handles.isOrphan(node)) {
    if (stat.nlink > 0) stat.nlink -= 1;
  } else if (node.index !== undefined) {
    stat.nlink += node.index.offset;
  } else if (!node.inUpper && node.links.length === 0 && stat.nlink > 0) {
    stat.nlink -= 1;
  }
  return stat;
}

const shown = ({ settings: { ownership } }: Union, stat: Stat): Stat =>
  ownership === undefined ? stat : { ...stat, ...shownOwner(ownership, stat) };

/** Seconds the kernel may rely on a node's attributes. */
export function attributeTimeout(union: Union, node: Node): number {
  if (node instanceof DirectoryNode) return union.trust.timeout(node);
  if (node.inUpper) return FOREVER;
  const parent = node.links[0]?.parent;
  if (parent === undefined) return node.seen === undefined ? FOREVER : union.trust.patience;
  return union.trust.timeout(parent);
}

/** Hands a node to the kernel: counts the lookup. */
export function entryOf(union: Union, parent: DirectoryNode, node: Node, stat: Stat): Entry {
  const stored = recordedOf(union, node, stat);
  if (node instanceof FileNode && isUnwatched(union, node)) remember(node, stat);
  return enter(union, parent, node, stored);
}

/** The same of a node in upper, given what its layer records; asks nothing. */
export function enter(union: Union, parent: DirectoryNode, node: Node, stored: Stat): Entry {
  const attributes = recordedToMountStat(union, node, stored);
  node.lookups++;
  return {
    nodeid: node.id,
    attributes,
    entryTimeout: union.trust.timeout(parent),
    attributeTimeout: attributeTimeout(union, node),
  };
}

/** FUSE_LOOKUP. */
export function lookup(union: Union, parent: DirectoryNode, name: string): LookupResult {
  if (name.length > NAME_MAX) throw new Errno(E.ENAMETOOLONG);
  if (parent.removed) return { absentFor: 0 };
  union.watcher?.watch(parent);
  const found = find(union, parent, name);
  if (found === undefined) {
    parent.saidAbsent = true;
    return { absentFor: union.trust.timeout(parent) };
  }
  return entryOf(union, parent, found.node, found.stat);
}
