/**
 * The processes of a container as /proc shows them from outside (proc(5), pid_namespaces(7)).
 *
 * Rule: these are the processes in the first process's pid namespace, and all their descendants, which may have their
 * own namespaces.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** The letter of /proc/PID/stat. */
  readonly state: string;
}

/** Parents come before their children. Empty if the first process has ended, or has no pid namespace of its own. */
export function processesOf(first: number): Process[] {
  const namespace = namespaceOf(first);
  if (namespace === undefined || namespace === namespaceOf('self')) return [];
  const all = readdirSync('/proc').flatMap((name) =>
    /^\d+$/.test(name) ? (describe(Number(name)) ?? []) : [],
  );
  const children = new Map<number, Process[]>();
  for (const process of all) {
    const siblings = children.get(process.parent);
    if (siblings === undefined) children.set(process.parent, [process]);
    else siblings.push(process);
  }
  const found = new Set(
    all.filter(({ pid }) => namespaceOf(pid) === namespace).sort((a) => (a.pid === first ? -1 : 1)),
  );
  for (const { pid } of found) for (const child of children.get(pid) ?? []) found.add(child);
  return parentsFirst([...found]);
}

function parentsFirst(processes: readonly Process[]): Process[] {
  const known = new Map(processes.map((process) => [process.pid, process]));
  const depth = ({ parent }: Process): number => {
    const above = known.get(parent);
    return above === undefined ? 0 : depth(above) + 1;
  };
  return processes
    .map((process) => ({ process, depth: depth(process) }))
    .sort((a, b) => a.depth - b.depth)
    .map(({ process }) => process);
}

/** The identifier of a process's pid namespace; undefined if the process has ended, or access is not permitted. */
export function namespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return undefined;
  }
}

function describe(pid: number): Process | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { pid, parent: Number(parent), state };
  } catch {
    return undefined; // it has ended
  }
}
