/**
 * Translates ids between layers and a container with `--userns keep-id`.
 *
 * Rule: owners in layers are those of a user namespace in which the caller is root. With keep-id, the ids below the
 * caller's are shifted by one (`rangeMaps`); the union shifts them back. Compare podman's `--userns=keep-id`, which
 * gives fuse-overlayfs such a mapping.
 */
import type { IdRange, Ownership } from '../../../fs/index.js';
import { caller } from '../../host/caller.js';

const LAST = 2 ** 32 - 2;

/** undefined if no translation is needed. */
export function idTranslation(): Ownership | undefined {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  if (caller().namespace !== 'ranges' || (uid === 0 && gid === 0)) return undefined;
  return { uids: movedBack(uid), gids: movedBack(gid) };
}

/** @param own the caller's id inside, which is 0 in layers */
function movedBack(own: number): IdRange[] {
  const all = [
    { disk: own, shown: 0, length: 1 },
    { disk: 0, shown: 1, length: own },
    { disk: own + 1, shown: own + 1, length: LAST - own },
  ];
  return all.filter(({ length }) => length > 0);
}
