/**
 * Ranges of subordinate ids: what subuid(5) and subgid(5) give this user, by name or by uid, and the set-user-id
 * programs that map them, newuidmap(1) and newgidmap(1).
 *
 * Rule: images use ids up to 65535, so a range should hold as many.
 */
import { rangesOf } from '../user/id-maps.js';
import { asRoot, type Finding, type Fix, missing, ok, warning } from './finding.js';
import type { Host } from './host.js';
import type { Identity } from './identity.js';
import { installCommand } from './packages.js';
import { type HelperProgram, judgeHelper, probeHelper } from './set-user-id.js';

export interface IdRangeFacts {
  /** How many ids the user has been given. */
  readonly uids: number;
  readonly gids: number;
  /** The first id that nobody has been given. */
  readonly free: number;
  readonly newuidmap: HelperProgram;
  readonly newgidmap: HelperProgram;
  readonly install: string;
}

/** useradd(8)'s SUB_UID_MIN and SUB_UID_COUNT. */
const FIRST_RANGE = 100_000;
const USUAL_COUNT = 65_536;

/** How many ids a file gives the caller. */
function countFor({ uid, userName }: Host, file: string): number {
  const ranges = rangesOf({ uid, ...(userName !== undefined && { name: userName }) }, file);
  return ranges.reduce((sum, { count }) => sum + count, 0);
}

/** The end of the last range that a file gives anybody. */
function endOf(file: string): number {
  const ranges = [...file.matchAll(/^[^:#\n]+:(\d+):(\d+)\s*$/gm)];
  return Math.max(0, ...ranges.map(([, start, count]) => Number(start) + Number(count)));
}

export function probeIdRanges(host: Host): IdRangeFacts {
  const uids = host.read('/etc/subuid') ?? '';
  const gids = host.read('/etc/subgid') ?? '';
  return {
    uids: countFor(host, uids),
    gids: countFor(host, gids),
    free: Math.max(FIRST_RANGE, endOf(uids), endOf(gids)),
    newuidmap: probeHelper(host, 'newuidmap'),
    newgidmap: probeHelper(host, 'newgidmap'),
    install: installCommand(host, 'newuidmap'),
  };
}

export function judgeIdRanges(facts: IdRangeFacts, identity: Identity): Finding[] {
  if (identity.admin) return [ok('subids.ranges', 'not needed: root has all ids')];
  return [
    judgeRange('subids.uids', '/etc/subuid', facts.uids, facts, identity),
    judgeRange('subids.gids', '/etc/subgid', facts.gids, facts, identity),
    judgeHelper('subids.newuidmap', facts.newuidmap, facts.install),
    judgeHelper('subids.newgidmap', facts.newgidmap, facts.install),
  ];
}

function judgeRange(
  id: string,
  file: string,
  count: number,
  { free }: IdRangeFacts,
  identity: Identity,
): Finding {
  const who = identity.userName ?? `uid ${identity.uid}`;
  const fix = addRange(id, file, free, identity);
  if (count === 0) return missing(id, `${file} gives ${who} no ids`, fix);
  if (count < USUAL_COUNT) return warning(id, `${file} gives ${who} only ${count} ids`, fix);
  return ok(id, `${file} gives ${who} ${count} ids`);
}

/** usermod(8) takes names only; a uid without one gets its line written. */
function addRange(id: string, file: string, first: number, { uid, userName }: Identity): Fix {
  if (userName === undefined) return asRoot(`echo ${uid}:${first}:${USUAL_COUNT} >> ${file}`);
  const option = id === 'subids.uids' ? '--add-subuids' : '--add-subgids';
  return asRoot(`usermod ${option} ${first}-${first + USUAL_COUNT - 1} ${userName}`);
}
