/**
 * Continues a command in the user namespace of its rootless mode (`rootless/mode.ts`).
 *
 * Rules: with subordinate ids, layers are unpacked, read and removed inside the user namespace, which maps all their
 * owners. Without such ids every file belongs to the caller, and no namespace is needed. Commands that touch no layer
 * need none either.
 */
import { UsageError } from '../../fs/index.js';
import { noUserNamespaces, requireOwnProc, sourceCannotBeAsked } from '../doctor/refusals.js';
import { type Caller, caller } from '../host/caller.js';
import { realHost } from '../host/real-host.js';
import { modeFacts } from '../rootless/facts.js';
import { type InsideIdentity, rangeMaps, singleMaps } from '../rootless/id-maps.js';
import { chooseMode, type ModeFacts, type RootlessMode, type UserNamespace } from '../rootless/mode.js';
import { enterUserNamespace } from './user-namespace.js';

/**
 * Continues in a user namespace where layers can be changed: executes the program again, once. Does nothing for root.
 * @param carried descriptors that stay open (`carriedDescriptors`)
 */
export function enterForLayers(carried: readonly number[] = []): void {
  const who = caller();
  if (who.namespace !== undefined) return;
  const facts = modeFacts(realHost());
  if (chooseMode(facts) === 'ranges') enter('ranges', who, facts, 'root', carried);
}

/**
 * Continues in a user namespace where containers can be created: executes the program again, once. Throws `UsageError`,
 * `HostError`.
 * @param warn is called if subordinate ids exist, but cannot be read
 */
export function enterForContainers(wanted: UserNamespace, warn: (message: string) => void): void {
  const who = caller();
  if (who.namespace !== undefined) return;
  const isRoot = who.uid === 0;
  if (wanted === 'keep-id' && isRoot) throw new UsageError('--userns "keep-id" is for ordinary users only');
  if (wanted === 'host' && !isRoot)
    throw new UsageError(`uid ${who.uid} may not run containers in the host's user namespace; run as root`);
  const host = realHost();
  requireOwnProc(host);
  const facts = modeFacts(host);
  const rootlessMode = chooseMode(facts, wanted);
  if (rootlessMode === undefined) throw noUserNamespaces(host);
  if (rootlessMode === 'one-id' && wanted !== 'single' && facts.ids.cannotAsk)
    warn(`${sourceCannotBeAsked(host)}, so your id is the only one in the container`);
  enter(rootlessMode, who, facts, wanted === 'keep-id' ? 'own' : 'root');
}

/** Continues in a user namespace where an ordinary user can mount, with its own ids: executes the program again, once. */
export function enterForMounts(): void {
  const who = caller();
  if (who.uid === 0 || who.namespace !== undefined) return;
  const host = realHost();
  const facts = modeFacts(host);
  const rootlessMode = chooseMode(facts, 'single');
  if (rootlessMode === undefined) throw noUserNamespaces(host);
  enter(rootlessMode, who, facts, 'own');
}

/** Returns only in mode "root". */
function enter(
  rootlessMode: RootlessMode,
  who: Caller,
  { ids, newuidmap, newgidmap }: ModeFacts,
  identity: InsideIdentity,
  carried: readonly number[] = [],
): void {
  if (rootlessMode === 'one-id') enterUserNamespace(singleMaps(who, identity));
  if (rootlessMode === 'ranges' && newuidmap.path !== undefined && newgidmap.path !== undefined)
    enterUserNamespace(
      rangeMaps(who, ids, identity),
      { newuidmap: newuidmap.path, newgidmap: newgidmap.path },
      carried,
    );
}
