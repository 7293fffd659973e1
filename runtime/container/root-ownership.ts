/**
 * Whose the files of a container's root are, in the user namespace that it runs in.
 *
 * Rules: with subordinate ids layers have true owners, in terms of those ids, the caller being root. Where the caller
 * keeps its own id inside, the ids below it have moved by one (`keepingOwn`), and the union moves them back. With one id
 * alone everything is shown as its, and owners are kept in an attribute.
 */
import type { IdRange, Ownership } from '../../fs/index.js';
import { caller } from '../user/caller.js';

const BEYOND = 2 ** 32 - 2;

/** How the union shows owners here; undefined if inodes have them as they are. */
export function rootOwnership(): Ownership | undefined {
  const { namespace } = caller();
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if (namespace === 'single') return { squashUid: uid, squashGid: gid, keep: 'user' };
  if (namespace === undefined || (uid === 0 && gid === 0)) return undefined;
  return { uids: movedBack(uid), gids: movedBack(gid) };
}

/** @param own the caller's id inside, which stands for root in layers */
function movedBack(own: number): IdRange[] {
  const all = [
    { disk: own, shown: 0, length: 1 },
    { disk: 0, shown: 1, length: own },
    { disk: own + 1, shown: own + 1, length: BEYOND - own },
  ];
  return all.filter(({ length }) => length > 0);
}
