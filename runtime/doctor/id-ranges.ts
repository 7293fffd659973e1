/**
 * Ranges of subordinate ids (`rootless/subordinate-ids.ts`), and the set-user-id programs that map them, newuidmap(1) and
 * newgidmap(1).
 *
 * Rule: images use ids up to 65535, so a range should have 65536 ids.
 */
import type { Host } from '../host/host.js';
import { installCommand } from '../host/packages.js';
import type { ModeFacts } from '../rootless/mode.js';
import { FILES, type SubordinateIds } from '../rootless/subordinate-ids.js';
import { asRoot, asUser, type Finding, type Fix, missing, ok, warning } from './finding.js';
import type { Identity } from './identity.js';
import { judgeHelper } from './set-user-id.js';

/** Facts for the fixes; the user's own ids are in `ModeFacts`. */
export interface IdRangeFacts {
  /** The first id that no range contains. */
  readonly free: number;
  readonly install: string;
}

/** useradd(8)'s SUB_UID_MIN and SUB_UID_COUNT. */
const FIRST_RANGE = 100_000;
const USUAL_COUNT = 65_536;

/** The end of the last range in a file. */
function endOf(file: string): number {
  const ranges = [...file.matchAll(/^[^:#\n]+:(\d+):(\d+)\s*$/gm)];
  return Math.max(0, ...ranges.map(([, start, count]) => Number(start) + Number(count)));
}

export function probeIdRanges(host: Host): IdRangeFacts {
  const ends = ['/etc/subuid', '/etc/subgid'].map((path) => endOf(host.read(path) ?? ''));
  return { free: Math.max(FIRST_RANGE, ...ends), install: installCommand(host, 'newuidmap') };
}

export function judgeIdRanges(facts: IdRangeFacts, modeFacts: ModeFacts, identity: Identity): Finding[] {
  if (identity.admin) return [ok('subids.ranges', 'not needed; root has all ids')];
  const { ids, newuidmap, newgidmap } = modeFacts;
  return [
    judgeRange('subids.uids', facts, ids, identity),
    judgeRange('subids.gids', facts, ids, identity),
    judgeHelper('subids.newuidmap', newuidmap, facts.install),
    judgeHelper('subids.newgidmap', newgidmap, facts.install),
  ];
}

type RangeKey = 'subids.uids' | 'subids.gids';
const FILE = { 'subids.uids': '/etc/subuid', 'subids.gids': '/etc/subgid' } as const;

export function judgeRange(
  id: RangeKey,
  facts: IdRangeFacts,
  ids: SubordinateIds,
  identity: Identity,
): Finding {
  if (ids.cannotAsk) {
    const detail = `nsswitch.conf has "subid: ${ids.source}", which only getsubids(1) can read; it is not installed`;
    return missing(id, detail, asRoot(facts.install));
  }
  const kind = id === 'subids.uids' ? ids.uids : ids.gids;
  const count = kind.reduce((sum, range) => sum + range.count, 0);
  const gives = `${ids.source === FILES ? FILE[id] : `"subid: ${ids.source}"`} gives ${nameOf(identity)}`;
  const fix = ids.source === FILES ? addRange(id, facts.free, identity) : seeSource(id, identity);
  if (count === 0) return missing(id, `${gives} no ids`, fix);
  if (count < USUAL_COUNT) return warning(id, `${gives} only ${count} ids`, fix);
  return ok(id, `${gives} ${count} ids`);
}

const nameOf = ({ uid, userName }: Identity): string => userName ?? `uid ${uid}`;

/** usermod(8) accepts names only; for a uid without a name the fix writes the line. */
function addRange(id: RangeKey, first: number, { uid, userName }: Identity): Fix {
  if (userName === undefined) return asRoot(`echo ${uid}:${first}:${USUAL_COUNT} >> ${FILE[id]}`);
  const option = id === 'subids.uids' ? '--add-subuids' : '--add-subgids';
  return asRoot(`usermod ${option} ${first}-${first + USUAL_COUNT - 1} ${userName}`);
}

/** The ids are assigned on a server; the fix shows the current ones. */
const seeSource = (id: RangeKey, { uid, userName }: Identity): Fix =>
  asUser(`getsubids ${id === 'subids.uids' ? '' : '-g '}${userName ?? uid}`);
