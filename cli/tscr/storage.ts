/** The store of a command. */
import type { Command } from 'commander';
import { storeRoot } from '../../runtime/image/store/place.js';
import { Store } from '../../runtime/image/store/store.js';

/** The store of --root, TSCR_ROOT, or the user's default. */
export function storeOf(command: Command): Store {
  const { root } = command.optsWithGlobals<{ root?: string }>();
  return Store.open(storeRoot(root));
}
