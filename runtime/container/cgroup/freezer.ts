/**
 * The freezer of a container that has a control group of its own: cgroup.freeze (cgroups(7), version 2) or freezer.state
 * (version 1).
 *
 * Rule: a group that contains other processes, or not all processes of the container, is not the container's own. Compare runc's
 * libcontainer/cgroups/fs/freezer.go and fs2/freezer.go.
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { processesOf } from '../../host/pid-namespace.js';
import { textOf } from '../../host/text-of.js';
import { isUnified, membershipsOf } from './membership.js';

export interface Freezer {
  /** What is written to `file`. */
  readonly file: string;
  readonly freeze: string;
  readonly thaw: string;
  /** All processes are frozen. */
  isFrozen(): boolean;
}

/** @param first the container's first process */
export function freezerOf(first: number): Freezer | undefined {
  return freezersOf(first).find(({ group, freezer }) => isWritable(freezer.file) && isItsOwn(group, first))
    ?.freezer;
}

/** Processes start and end while this reads, so /proc is read before and after the group. */
function isItsOwn(group: string, first: number): boolean {
  const before = living(first);
  const inside = new Set(processesIn(group));
  const after = living(first);
  const isAlien = (pid: number): boolean => !before.has(pid) && !after.has(pid) && existsSync(`/proc/${pid}`);
  const isOutside = (pid: number): boolean => !inside.has(pid) && after.has(pid);
  return inside.size > 0 && ![...inside].some(isAlien) && ![...before].some(isOutside);
}

/** The processes of the container without zombies, which groups do not list. */
const living = (first: number): Set<number> =>
  new Set(processesOf(first).flatMap(({ pid, state }) => (DEAD.has(state) ? [] : pid)));

const DEAD = new Set(['Z', 'X']);

interface Found {
  readonly group: string;
  readonly freezer: Freezer;
}

/** The freezers of a process's groups; the root of a hierarchy cannot be frozen. */
function freezersOf(pid: number): Found[] {
  return membershipsOf(pid).flatMap((membership) => {
    const { directory: group, top, controllers } = membership;
    if (group === top) return [];
    if (isUnified(membership)) return [{ group, freezer: unified(group) }];
    return controllers.includes('freezer') ? [{ group, freezer: legacy(group) }] : [];
  });
}

const unified = (group: string): Freezer => ({
  file: join(group, 'cgroup.freeze'),
  freeze: '1',
  thaw: '0',
  isFrozen: () => /^frozen 1$/m.test(textOf(join(group, 'cgroup.events'))),
});

const legacy = (group: string): Freezer => ({
  file: join(group, 'freezer.state'),
  freeze: 'FROZEN',
  thaw: 'THAWED',
  isFrozen: () => textOf(join(group, 'freezer.state')).trim() === 'FROZEN',
});

/** The processes of a group and of its descendants. */
function processesIn(group: string): number[] {
  const own = textOf(join(group, 'cgroup.procs')).split('\n').filter(Boolean).map(Number);
  return [...own, ...directoriesIn(group).flatMap((name) => processesIn(join(group, name)))];
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? entry.name : [],
    );
  } catch {
    return [];
  }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
