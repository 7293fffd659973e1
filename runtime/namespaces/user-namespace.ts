/**
 * Continues this program in a new user namespace: it executes itself again, through unshare(1).
 *
 *     program                                  the same process, inside
 *        starts the mapper, which stays outside
 *        execve(unshare --user program ...)  -> starts again, without id maps, with all capabilities of the namespace
 *        mapper: newgidmap, newuidmap  <------- one line: it is inside
 *        mapper exits                  -------> continues with id maps
 *
 * Rules: unshare(CLONE_NEWUSER) fails with EINVAL in a process with threads, and Node has threads. The process id stays
 * the same, so signals, exit codes and job control work unchanged. Mapping several ids needs privileged programs that run
 * outside; the process maps a single id on its own. Capabilities are kept as ambient ones, whatever the id inside is.
 * Compare user_namespaces(7), containers/storage pkg/unshare, rootlesskit's parent and child.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { HostError } from '../../fs/index.js';
import { Errno } from '../../fs/sys/errno.js';
import { toBytes } from '../../fs/sys/path-bytes.js';
import { Execution, keepBelow, keepOnExec, pipe, resetSignals } from '../../fs/sys/process.js';
import { NAMESPACE_ORDER } from '../command/call.js';
import { type Caller, caller, type Mapping, setCaller } from '../host/caller.js';
import { findProgram } from '../host/programs.js';
import { formatMaps, type IdMaps, type IdRange, singleMaps } from '../rootless/id-maps.js';

/** The programs that map ranges of ids (newuidmap(1)). */
export interface Mappers {
  readonly newuidmap: string;
  readonly newgidmap: string;
}

/** What the process inside needs to know, as JSON in its environment. */
interface EnterRequest {
  readonly who: Caller;
  readonly maps: IdMaps;
  /** Its ends of the pipes to and from the mapper; without a mapper it writes the maps itself. */
  readonly mapper?: { readonly go: number; readonly result: number };
  readonly carried: readonly number[];
}

const SHELL = '/bin/sh';
/** $1 newgidmap, $2 newuidmap, $3 process, $4 $5 their maps. A line means that the process is inside. */
const MAPPER = '( read -r line <&3 && "$1" "$3" $4 && "$2" "$3" $5 ) &';
const UNSHARE = ['--user', '--keep-caps'];

/**
 * Executes this program again, inside; never returns. The caller has tried that the namespace can be created, because
 * execve(2) cannot be undone.
 * @param mappers needed for more than the caller's own id
 * @param carried descriptors that stay open (`carriedDescriptors`)
 */
export function enterUserNamespace(maps: IdMaps, mappers?: Mappers, carried: readonly number[] = []): never {
  const unshare = findProgram('unshare') ?? '';
  const mapper = mappers && startMapper(maps, mappers);
  const request: EnterRequest = { who: caller(), maps, carried, ...(mapper && { mapper }) };
  const [, ...words] = rawWords('cmdline');
  const program = [unshare, ...UNSHARE, '--', process.execPath].map(toBytes);
  const variables = [...rawWords('environ'), toBytes(`${NAMESPACE_ORDER}=${JSON.stringify(request)}`)];
  const execution = new Execution([...program, ...words], variables);
  keepBelow(FIRST_OWN_FD);
  for (const fd of [...carried, ...Object.values(mapper ?? {})]) keepOnExec(fd);
  resetSignals();
  throw new Errno(execution.run(toBytes(unshare)), 'execve');
}

const FIRST_OWN_FD = 3;

/** The arguments or the environment of this process, one character per byte. */
function rawWords(file: 'cmdline' | 'environ'): string[] {
  return readFileSync(`/proc/self/${file}`, 'latin1').split('\0').slice(0, -1);
}

/** Starts the mapper, which maps ids as soon as this process is inside. It is reparented, so that it leaves no zombie. */
function startMapper(maps: IdMaps, { newuidmap, newgidmap }: Mappers): EnterRequest['mapper'] {
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
 * Completes `enterUserNamespace` in the executed program: waits for the id maps. A program that uses it calls this first;
 * without a pending request it does nothing.
 * @param warn is called if only the caller's own id could be mapped
 */
export function finishEntering(warn: (message: string) => void): void {
  const text = process.env[NAMESPACE_ORDER];
  if (text === undefined) return;
  delete process.env[NAMESPACE_ORDER];
  const { who, maps, mapper, carried } = JSON.parse(text) as EnterRequest;
  const refusal = mapper === undefined ? mapOwnIds(maps) : mapWithHelpers(mapper);
  if (refusal !== undefined) {
    warn(`cannot map subordinate ids, continuing with your own id alone: ${refusal}`);
    mapOwnIds(singleMaps(who, maps.uids[0]?.inside === 0 ? 'root' : 'own'));
  }
  const namespace: Mapping = mapper !== undefined && refusal === undefined ? 'ranges' : 'single';
  setCaller({ ...who, namespace });
  carriedFds = carried;
}

let carriedFds: readonly number[] = [];

/** The descriptors that were passed to `enterUserNamespace` as `carried`. */
export const carriedDescriptors = (): readonly number[] => carriedFds;

/** An unprivileged process must disable setgroups(2) before it writes gid_map (user_namespaces(7)). */
function mapOwnIds({ uids, gids }: IdMaps): undefined {
  writeFileSync('/proc/self/setgroups', 'deny');
  writeFileSync('/proc/self/uid_map', formatMaps(uids));
  writeFileSync('/proc/self/gid_map', formatMaps(gids));
}

/** Lets the mapper work. @returns its error message, undefined if it succeeded @throws HostError if only gids were mapped */
function mapWithHelpers({ go, result }: { go: number; result: number }): string | undefined {
  writeSync(go, '\n');
  closeSync(go);
  const complaint = readFileSync(result, 'utf8').trim().replaceAll('\n', '; ');
  closeSync(result);
  const isMapped = (file: string): boolean => readFileSync(`/proc/self/${file}`, 'utf8') !== '';
  if (isMapped('uid_map')) return undefined;
  if (isMapped('gid_map')) throw new HostError(`cannot map uids: ${complaint}`);
  return complaint;
}
