/**
 * Everything that a user can see of a tree, as lines by path: through the union's `Filesystem` interface, or where
 * somebody has mounted it.
 *
 * Not compared: inode numbers, access and change times, sizes and link counts of directories. What was modified since the
 * test began is as good as anything else that was: the time is then "now".
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeId } from '../../../fs/protocol/filesystem.js';
import { O, S } from '../../../fs/sys/constants.js';
import type { Stat } from '../../../fs/sys/stat.js';
import { getxattrat, listxattrat, statat } from '../../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../../fs/union/filesystem.js';
import { CALLER, lookup } from './disk.js';

export type Lines = Map<string, string>;

/** What is said of a name that is listed and cannot be found. */
export const MISSING = 'is listed and does not exist';
const ROOT = 1 as NodeId;
const NOW = 'now';
/** The kernel dates files by a clock that may be a tick behind. */
const CLOCK_GRAIN_S = 1;
const START = Math.floor(Date.now() / 1000) - CLOCK_GRAIN_S;

function line(stat: Stat, data: string, attributes: readonly (readonly [string, string])[]): string {
  const { mode, uid, gid, rdevMajor, rdevMinor, mtime } = stat;
  const isDirectory = (mode & S.IFMT) === S.IFDIR;
  const size = isDirectory ? '' : `${stat.nlink} links ${stat.size} bytes`;
  const time = mtime.seconds >= START ? NOW : `${mtime.seconds}.${mtime.nanoseconds}`;
  const kept = attributes.map(([name, value]) => `${name}=${value}`).sort();
  return `${mode.toString(8)} ${uid}:${gid} ${rdevMajor},${rdevMinor} ${size} ${time} "${data}" ${kept.join(' ')}`;
}

/** A line without its time. */
export const timeless = (text: string): string => text.replace(/(?<= )(?:now|\d+\.\d+)(?= ")/, '');

// --- through the interface

function listed(fs: UnionFilesystem, node: NodeId): string[] {
  const names: string[] = [];
  fs.readdir(node, 2, { add: (name) => names.push(name) > 0 });
  return names;
}

function content(fs: UnionFilesystem, node: NodeId, { mode, size }: Stat): string {
  const type = mode & S.IFMT;
  if (type === S.IFLNK) return fs.readlink(node);
  if (type !== S.IFREG) return '';
  const room = Buffer.alloc(Number(size));
  return room.toString('latin1', 0, fs.read(node, 0, room));
}

const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString('hex');

/** What the union shows; a name that is listed and cannot be found is a line, too. */
export function shownBy(fs: UnionFilesystem, node = ROOT, path = '', lines: Lines = new Map()): Lines {
  if (path === '') lines.set('/', describeNode(fs, node, fs.getattr(node).attributes));
  for (const name of listed(fs, node)) {
    const at = `${path}/${name}`;
    const entry = lookup(fs, node, name);
    if (entry === undefined) {
      lines.set(at, MISSING);
      continue;
    }
    lines.set(at, describeNode(fs, entry.nodeid, entry.attributes));
    if ((entry.attributes.mode & S.IFMT) === S.IFDIR) shownBy(fs, entry.nodeid, at, lines);
    fs.forget(entry.nodeid, 1);
  }
  return lines;
}

function describeNode(fs: UnionFilesystem, node: NodeId, stat: Stat): string {
  const attributes = fs.listxattr(CALLER, node).map((name) => [name, text(fs.getxattr(node, name))] as const);
  return line(stat, content(fs, node, stat), attributes);
}

// --- as mounted, or as a layer lies on disk

/** @param raw the union's own marks, and what changes when a file is merely touched */
export function shownAt(root: string, raw = false, path = '', lines: Lines = new Map()): Lines {
  const fd = openSync(join(root, path), O.RDONLY | O.DIRECTORY);
  try {
    if (path === '') lines.set('/', describeName(root, fd, '.', raw));
    for (const name of readdirSync(join(root, path)).sort()) {
      const at = `${path}/${name}`;
      const stat = statat(fd, name);
      if (stat === undefined) lines.set(at, MISSING);
      else {
        lines.set(at, describeName(join(root, path), fd, name, raw));
        if ((stat.mode & S.IFMT) === S.IFDIR) shownAt(root, raw, at, lines);
      }
    }
  } finally {
    closeSync(fd);
  }
  return lines;
}

function describeName(directory: string, fd: number, name: string, raw: boolean): string {
  const stat = statat(fd, name);
  if (stat === undefined) return 'is gone';
  const type = stat.mode & S.IFMT;
  const path = join(directory, name);
  const data =
    type === S.IFREG
      ? readFileSync(path, 'latin1')
      : type === S.IFLNK
        ? readlinkSync(path, { encoding: 'latin1' })
        : '';
  const attributes = listxattrat(fd, name).map(
    (attribute) => [attribute, text(getxattrat(fd, name, attribute))] as const,
  );
  const identity = raw ? ` inode ${stat.ino} changed ${stat.ctime.seconds}.${stat.ctime.nanoseconds}` : '';
  return line(stat, data, attributes) + identity;
}

// --- comparing

/** How lines differ from what is wanted, each with its path. */
export function differences(
  shown: Lines,
  wanted: Lines,
  ignoreTimesOf: (path: string) => boolean = () => false,
): string[] {
  return [...new Set([...shown.keys(), ...wanted.keys()])].flatMap((path) => {
    const [is, should] = [shown.get(path) ?? 'nothing', wanted.get(path) ?? 'nothing'];
    const same = ignoreTimesOf(path) ? timeless(is) === timeless(should) : is === should;
    return same ? [] : [`${path}: ${is}, wanted ${should}`];
  });
}
