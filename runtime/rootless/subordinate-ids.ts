/**
 * The subordinate ids of a user.
 *
 * Rules: the same source as newuidmap(1): the first one in the line "subid:" of nsswitch.conf(5). Without that line, and
 * for "files", it is subuid(5) and subgid(5). Other sources are read through getsubids(1), which uses the same library.
 * Compare nss_init in shadow's lib/nss.c.
 */
import type { Host } from '../host/host.js';
import type { Range } from './id-maps.js';

export interface SubordinateIds {
  readonly uids: readonly Range[];
  readonly gids: readonly Range[];
  /** The source: "files", or another one, for example "sss". */
  readonly source: string;
  /** The source cannot be read: getsubids(1) is not installed. */
  readonly cannotAsk: boolean;
}

export const FILES = 'files';

export function subordinateIds(host: Host): SubordinateIds {
  const source = sourceOf(host.read('/etc/nsswitch.conf') ?? '');
  if (source !== FILES) return askSource(host, source);
  const rangesIn = (path: string): Range[] => rangesOf(host, host.read(path) ?? '');
  return { uids: rangesIn('/etc/subuid'), gids: rangesIn('/etc/subgid'), source, cannotAsk: false };
}

/** The first source of the first "subid:" line. */
const sourceOf = (configuration: string): string => /^subid:[ \t]*(\S+)/im.exec(configuration)?.[1] ?? FILES;

function askSource(host: Host, source: string): SubordinateIds {
  const who = host.userName ?? String(host.uid);
  const [uids, gids] = [host.run('getsubids', [who]), host.run('getsubids', ['-g', who])];
  const listedBy = (outcome: typeof uids): Range[] =>
    outcome?.status === 0 ? listedRanges(outcome.stdout.toString('latin1')) : [];
  return { uids: listedBy(uids), gids: listedBy(gids), source, cannotAsk: uids === undefined };
}

/** The lines of getsubids(1): number, owner, first id, count. */
function listedRanges(text: string): Range[] {
  return [...text.matchAll(/^\d+: .* (\d+) (\d+)$/gm)].flatMap(([, start, count]) => range(start, count));
}

/** The ranges of the caller in subuid(5), by name or by uid; malformed lines are skipped. */
export function rangesOf({ uid, userName }: Pick<Host, 'uid' | 'userName'>, file: string): Range[] {
  return file.split('\n').flatMap((line) => {
    const [, owner, start, count] = /^([^:#]+):(\d+):(\d+)\s*$/.exec(line) ?? [];
    const isOwn = owner !== undefined && (owner === userName || owner === String(uid));
    return isOwn ? range(start, count) : [];
  });
}

/** (uid_t) -1 is not a valid id. */
const MAX_ID = 2 ** 32 - 2;

function range(start: string | undefined, length: string | undefined): Range[] {
  const [outside, count] = [Number(start), Number(length)];
  return count > 0 && outside + count - 1 <= MAX_ID ? [{ outside, count }] : [];
}
