/**
 * Which user namespace a command works in: the rootless ladder.
 *
 *     root                       none
 *     subordinate ids            the caller is root, all its ids are mapped
 *     nothing of the kind        the caller is root, and the only one
 *     no user namespaces         a refusal that names the fix (`refusal.ts`)
 *
 * Rules: layers are unpacked, read and removed by the owner of all their ids; so who has subordinate ids works on them
 * inside. Without such ids everything belongs to the caller, and needs no namespace. What touches no layer needs none.
 */
import { readFileSync } from 'node:fs';
import { UsageError } from '../../fs/index.js';
import { caller } from './caller.js';
import { type Place, rangeMaps, readSubordinateFiles, singleMaps } from './id-maps.js';
import { enterUserNamespace, findProgram, type Mappers, namespaceRefusal } from './namespace.js';

/** `--userns`: chosen by itself, only the caller's id as root, the caller's own id inside, none. */
export const USER_NAMESPACES = ['auto', 'single', 'keep-id', 'host'] as const;
export type UserNamespace = (typeof USER_NAMESPACES)[number];

/** Goes on where layers can be changed; the program starts anew there, once. Does nothing for root. */
export function enterForLayers(): void {
  const { uid, namespace } = caller();
  if (uid !== 0 && namespace === undefined && namespaceRefusal() === undefined) enterWithRanges('root');
}

/** Goes on where containers can be made; the program starts anew there, once. Throws `UsageError`. */
export function enterForContainers(wanted: UserNamespace): void {
  const who = caller();
  if (who.namespace !== undefined) return;
  const isRoot = who.uid === 0;
  if (wanted === 'keep-id') {
    if (isRoot) throw new UsageError('--userns "keep-id" is for ordinary users; root is root inside');
    enterWithRanges('own');
    enterUserNamespace(singleMaps(who, 'own'));
  }
  if (wanted === 'single') enterUserNamespace(singleMaps(who, 'root'));
  if (isRoot) return;
  if (wanted === 'host')
    throw new UsageError(`uid ${who.uid} may not run containers in the host's user namespace; run as root`);
  enterWithRanges('root');
  enterUserNamespace(singleMaps(who, 'root'));
}

/** Goes on where an ordinary user can mount, with its own ids; the program starts anew there, once. */
export function enterForMounts(): void {
  const who = caller();
  if (who.uid !== 0 && who.namespace === undefined) enterUserNamespace(singleMaps(who, 'own'));
}

/** Does not return if the caller has subordinate ids and they can be mapped. */
function enterWithRanges(place: Place): void {
  const maps = rangeMaps(caller(), readSubordinateFiles(), place);
  const mappers = findMappers();
  if (maps !== undefined && mappers !== undefined && mayGainPrivileges()) enterUserNamespace(maps, mappers);
}

function findMappers(): Mappers | undefined {
  const [newuidmap, newgidmap] = [findProgram('newuidmap'), findProgram('newgidmap')];
  return newuidmap === undefined || newgidmap === undefined ? undefined : { newuidmap, newgidmap };
}

/** The mappers have privilege by their files; no_new_privs, which sandboxes set, takes it away. */
const mayGainPrivileges = (): boolean => !/^NoNewPrivs:\s*1/m.test(readFileSync('/proc/self/status', 'utf8'));
