/** The store that a command works on. */
import type { Command } from 'commander';
import { storeRoot } from '../../runtime/image/store/place.js';
import { Store } from '../../runtime/image/store/store.js';

/** The store that --root, TSCR_ROOT or the user's identity means. */
export function storeOf(command: Command): Store {
  const { root } = command.optsWithGlobals<{ root?: string }>();
  return Store.open(storeRoot(root));
}
