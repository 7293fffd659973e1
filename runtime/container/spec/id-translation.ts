/**
 * Ids of layers and ids of a container in which the caller keeps its own.
 *
 * Rule: layers have their owners in terms of a user namespace in which the caller is root. Where it keeps its own id,
 * those below have moved by one (`rangeMaps`); the union moves them back. Compare podman's `--userns=keep-id`, which
 * gives fuse-overlayfs such a mapping.
 */
import type { IdRange, Ownership } from '../../../fs/index.js';
import { caller } from '../../rootless/caller.js';

const LAST = 2 ** 32 - 2;

/** undefined where ids are those of layers. */
export function idTranslation(): Ownership | undefined {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if (caller().namespace !== 'ranges' || (uid === 0 && gid === 0)) return undefined;
  return { uids: movedBack(uid), gids: movedBack(gid) };
}

/** @param own the caller's id inside, which stands for root in layers */
function movedBack(own: number): IdRange[] {
  const all = [
    { disk: own, shown: 0, length: 1 },
    { disk: 0, shown: 1, length: own },
    { disk: own + 1, shown: own + 1, length: LAST - own },
  ];
  return all.filter(({ length }) => length > 0);
}
