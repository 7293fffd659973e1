/**
 * This program goes on in a new user namespace: it executes itself anew, through unshare(1).
 *
 *     program                                  the same process, inside
 *        mapper, with one foot outside
 *        execve(unshare --user program ...)  -> starts again, unmapped, with all capabilities of the namespace
 *        mapper: newgidmap, newuidmap  <------- "I am in"
 *        mapper ends                   -------> goes on, mapped
 *
 * Rules: Node has threads, so unshare(CLONE_NEWUSER) is refused to it (EINVAL). The process stays the same one, so that
 * signals, exit codes and job control need no go-between. Several ids take programs with privilege, run from outside;
 * one id alone the process maps by itself. Capabilities come along as ambient ones, whatever the caller's id is inside.
 * Compare user_namespaces(7), containers/storage pkg/unshare, rootlesskit's parent and child.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { HostError } from '../../fs/index.js';
import { Errno } from '../../fs/sys/errno.js';
import { toBytes } from '../../fs/sys/path-bytes.js';
import { Execution, keepBelow, keepOnExec, pipe, resetSignals } from '../../fs/sys/process.js';
import { NAMESPACE_ORDER } from '../host/call.js';
import { findProgram } from '../host/programs.js';
import { type Caller, caller, type Mapping, setCaller } from './caller.js';
import { formatMaps, type IdMaps, type IdRange, singleMaps } from './id-maps.js';

/** The programs that map ranges of ids (newuidmap(1)). */
export interface Mappers {
  readonly newuidmap: string;
  readonly newgidmap: string;
}

/** What the process is told that goes on inside. */
interface Order {
  readonly who: Caller;
  readonly maps: IdMaps;
  /** Descriptors of its ends of the pipes to and from the mapper; without a mapper it maps by itself. */
  readonly mapper?: { readonly go: number; readonly result: number };
  readonly carried: readonly number[];
}

const SHELL = '/bin/sh';
/** $1 newgidmap, $2 newuidmap, $3 process, $4 $5 their maps. A line means that the process is inside. */
const MAPPER = '( read -r line <&3 && "$1" "$3" $4 && "$2" "$3" $5 ) &';
const UNSHARE = ['--user', '--keep-caps'];

/**
 * Starts this program anew, inside; never returns. That the namespace can be made has been tried before: execve(2)
 * cannot be taken back.
 * @param mappers needed for more than the caller's own id
 * @param carried descriptors that stay open (`carriedDescriptors`)
 */
export function enterUserNamespace(maps: IdMaps, mappers?: Mappers, carried: readonly number[] = []): never {
  const unshare = findProgram('unshare') ?? '';
  const mapper = mappers && startMapper(maps, mappers);
  const order: Order = { who: caller(), maps, carried, ...(mapper && { mapper }) };
  const [, ...words] = rawWords('cmdline');
  const program = [unshare, ...UNSHARE, '--', process.execPath].map(toBytes);
  const variables = [...rawWords('environ'), toBytes(`${NAMESPACE_ORDER}=${JSON.stringify(order)}`)];
  const execution = new Execution([...program, ...words], variables);
  keepBelow(FIRST_OWN_FD);
  for (const fd of [...carried, ...Object.values(mapper ?? {})]) keepOnExec(fd);
  resetSignals();
  throw new Errno(execution.run(toBytes(unshare)), 'execve');
}

const FIRST_OWN_FD = 3;

/** This process's own words as they were given, each byte a character. */
function rawWords(file: 'cmdline' | 'environ'): string[] {
  return readFileSync(`/proc/self/${file}`, 'latin1').split('\0').slice(0, -1);
}

/** Starts what maps ids as soon as this process is inside. It is nobody's child: nobody would wait for it. */
function startMapper(maps: IdMaps, { newuidmap, newgidmap }: Mappers): Order['mapper'] {
  const [go, result] = [pipe(), pipe()];
  const words = (ranges: readonly IdRange[]): string => formatMaps(ranges).replaceAll('\n', ' ');
  const args = [newgidmap, newuidmap, String(process.pid), words(maps.gids), words(maps.uids)];
  spawnSync(SHELL, ['-c', MAPPER, SHELL, ...args], {
    stdio: ['ignore', result.writeEnd, result.writeEnd, go.readEnd],
    env: {},
  });
  closeSync(go.readEnd);
  closeSync(result.writeEnd);
  return { go: go.writeEnd, result: result.readEnd };
}

// --- inside

/**
 * To be called first by a program that uses `enterUserNamespace`: finishes the way in, if it is on it.
 * @param warn told what is not as it was planned
 */
export function settle(warn: (message: string) => void): void {
  const text = process.env[NAMESPACE_ORDER];
  if (text === undefined) return;
  delete process.env[NAMESPACE_ORDER];
  const { who, maps, mapper, carried } = JSON.parse(text) as Order;
  const refusal = mapper === undefined ? mapByItself(maps) : mapBy(mapper);
  if (refusal !== undefined) {
    warn(`ids cannot be mapped, but your own: ${refusal}`);
    mapByItself(singleMaps(who, maps.uids[0]?.inside === 0 ? 'root' : 'own'));
  }
  const namespace: Mapping = mapper !== undefined && refusal === undefined ? 'ranges' : 'single';
  setCaller({ ...who, namespace });
  fromOutside = carried;
}

let fromOutside: readonly number[] = [];

/** What was open outside and was to be kept. */
export const carriedDescriptors = (): readonly number[] => fromOutside;

/** Without privilege outside, setgroups(2) has to be given up first. */
function mapByItself({ uids, gids }: IdMaps): undefined {
  writeFileSync('/proc/self/setgroups', 'deny');
  writeFileSync('/proc/self/uid_map', formatMaps(uids));
  writeFileSync('/proc/self/gid_map', formatMaps(gids));
}

/** Lets the mapper work; what it complains about. Throws `HostError` if it did half of its work. */
function mapBy({ go, result }: { go: number; result: number }): string | undefined {
  writeSync(go, '\n');
  closeSync(go);
  const complaint = readFileSync(result, 'utf8').trim().replaceAll('\n', '; ');
  closeSync(result);
  const isMapped = (file: string): boolean => readFileSync(`/proc/self/${file}`, 'utf8') !== '';
  if (isMapped('uid_map')) return undefined;
  if (isMapped('gid_map')) throw new HostError(`uids cannot be mapped: ${complaint}`);
  return complaint;
}
