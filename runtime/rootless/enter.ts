/**
 * Goes on in the user namespace that a command works in: the rungs of `mode.ts`, on this host.
 *
 * Rules: layers are unpacked, read and removed by the owner of all their ids; so who has subordinate ids works on them
 * inside. Without such ids everything belongs to the caller, and needs no namespace. What touches no layer needs none.
 */
import { UsageError } from '../../fs/index.js';
import { noUserNamespaces, requireOwnProc, sourceCannotBeAsked } from '../doctor/refusals.js';
import { realHost } from '../host/real-host.js';
import { type Caller, caller } from './caller.js';
import { rungFacts } from './facts.js';
import { type Place, rangeMaps, singleMaps } from './id-maps.js';
import { chooseRung, type Rung, type RungFacts, type UserNamespace } from './mode.js';
import { enterUserNamespace } from './namespace.js';

/**
 * Goes on where layers can be changed; the program starts anew there, once. Does nothing for root.
 * @param carried descriptors that stay open (`carriedDescriptors`)
 */
export function enterForLayers(carried: readonly number[] = []): void {
  const who = caller();
  if (who.namespace !== undefined) return;
  const facts = rungFacts(realHost());
  if (chooseRung(facts) === 'ranges') enter('ranges', who, facts, 'root', carried);
}

/**
 * Goes on where containers can be made; the program starts anew there, once. Throws `UsageError`, `HostError`.
 * @param warn told why the caller has fewer ids than it was given
 */
export function enterForContainers(wanted: UserNamespace, warn: (message: string) => void): void {
  const who = caller();
  if (who.namespace !== undefined) return;
  const isRoot = who.uid === 0;
  if (wanted === 'keep-id' && isRoot)
    throw new UsageError('--userns "keep-id" is for ordinary users; root is root inside');
  if (wanted === 'host' && !isRoot)
    throw new UsageError(`uid ${who.uid} may not run containers in the host's user namespace; run as root`);
  const host = realHost();
  requireOwnProc(host);
  const facts = rungFacts(host);
  const rung = chooseRung(facts, wanted);
  if (rung === undefined) throw noUserNamespaces(host);
  if (rung === 'one-id' && wanted !== 'single' && facts.ids.cannotAsk)
    warn(`${sourceCannotBeAsked(host)}, so there is no id but your own`);
  enter(rung, who, facts, wanted === 'keep-id' ? 'own' : 'root');
}

/** Goes on where an ordinary user can mount, with its own ids; the program starts anew there, once. */
export function enterForMounts(): void {
  const who = caller();
  if (who.uid === 0 || who.namespace !== undefined) return;
  const host = realHost();
  const facts = rungFacts(host);
  const rung = chooseRung(facts, 'single');
  if (rung === undefined) throw noUserNamespaces(host);
  enter(rung, who, facts, 'own');
}

/** Returns only on the first rung. */
function enter(
  rung: Rung,
  who: Caller,
  { ids, newuidmap, newgidmap }: RungFacts,
  place: Place,
  carried: readonly number[] = [],
): void {
  if (rung === 'one-id') enterUserNamespace(singleMaps(who, place));
  if (rung === 'ranges' && newuidmap.path !== undefined && newgidmap.path !== undefined)
    enterUserNamespace(
      rangeMaps(who, ids, place),
      { newuidmap: newuidmap.path, newgidmap: newgidmap.path },
      carried,
    );
}
