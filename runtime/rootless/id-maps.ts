/**
 * The id maps of a user namespace of an ordinary user.
 *
 * Rules: with ranges of subordinate ids (`subordinate-ids.ts`) and the privileged programs that map them, all of them;
 * else only the caller's own id. Inside, the ranges are contiguous and begin at 1.
 * Compare user_namespaces(7), newuidmap(1), and GetSubIDRanges in containers/storage.
 */
import { readFileSync } from 'node:fs';
import type { Caller } from '../host/caller.js';

/** One line of /proc/PID/uid_map. */
export interface IdRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface IdMaps {
  readonly uids: readonly IdRange[];
  readonly gids: readonly IdRange[];
}

/** The caller's ids inside: root's, or its own. */
export type InsideIdentity = 'root' | 'own';

/** Maps of the caller's id alone. */
export function singleMaps({ uid, gid }: Caller, identity: InsideIdentity): IdMaps {
  const alone = (id: number): IdRange[] => [{ inside: identity === 'root' ? 0 : id, outside: id, count: 1 }];
  return { uids: alone(uid), gids: alone(gid) };
}

/** Maps of the caller and of its subordinate uids and gids. */
export function rangeMaps(
  who: Pick<Caller, 'uid' | 'gid'>,
  { uids, gids }: { readonly uids: readonly Range[]; readonly gids: readonly Range[] },
  identity: InsideIdentity,
): IdMaps {
  const maps = { uids: rootAnd(who.uid, uids), gids: rootAnd(who.gid, gids) };
  if (identity === 'root') return maps;
  return { uids: keepingOwn(maps.uids, who.uid), gids: keepingOwn(maps.gids, who.gid) };
}

export type Range = Omit<IdRange, 'inside'>;

function rootAnd(id: number, ranges: readonly Range[]): IdRange[] {
  const maps: IdRange[] = [{ inside: 0, outside: id, count: 1 }];
  let inside = 1;
  for (const range of ranges) {
    maps.push({ inside, ...range });
    inside += range.count;
  }
  return maps;
}

/**
 * Maps the same ids so that the caller keeps its id inside; the other ids are moved to fill the gap, in their order.
 * Compare podman's `--userns=keep-id`.
 */
function keepingOwn(maps: readonly IdRange[], own: number): IdRange[] {
  const [self, ...others] = maps;
  if (self === undefined || own === 0) return [...maps];
  const moved = others.flatMap(({ inside, outside, count }): IdRange[] => {
    const first = inside - 1; // without the caller at 0 everything moves down by one
    const below = Math.min(Math.max(own - first, 0), count);
    return [
      { inside: first, outside, count: below },
      { inside: first + below + 1, outside: outside + below, count: count - below },
    ].filter((range) => range.count > 0);
  });
  return [{ ...self, inside: own }, ...moved];
}

/** Whether an id is mapped. */
export const isMapped = (maps: readonly IdRange[], id: number): boolean =>
  maps.some(({ inside, count }) => id >= inside && id < inside + count);

/** The format of /proc/PID/uid_map. */
export const formatMaps = (maps: readonly IdRange[]): string =>
  maps.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');

/** The id maps of this process's user namespace. */
export function currentMaps(): IdMaps {
  return { uids: parseMaps('/proc/self/uid_map'), gids: parseMaps('/proc/self/gid_map') };
}

function parseMaps(path: string): IdRange[] {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number);
    return { inside, outside, count };
  });
}
