/**
 * Who the processes of a container are taken for (`identity.ts`).
 *
 * Rules: a process that never became somebody else is who the kernel says, and costs no look into /proc as long as there
 * is no other kind. A new process is who its parent is. A process is its thread group; one that is gone is forgotten, and
 * its number is told from that of a later process by when it started.
 */
import { readFileSync } from 'node:fs';
import type { Identity } from './identity.js';

/** What /proc tells of a thread. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly capabilities: bigint;
  readonly umask: number;
}

/** What the answer to a thread's call depends on. */
export interface Rights extends Pick<Process, 'capabilities' | 'umask'> {
  /** Who its process is taken for. */
  readonly identity: Identity;
}

interface Known {
  readonly identity: Identity;
  /** Clock ticks since boot. */
  readonly started: string;
}

const PURGE_MS = 1000;

export class Identities {
  readonly #known = new Map<number, Known>();
  readonly #native: Identity;
  #purged = 0;

  /** @param native who every process really is */
  constructor(native: Identity) {
    this.#native = native;
  }

  /** Who a thread's process is taken for; undefined if for who it is. */
  of(tid: number): Identity | undefined {
    this.#purge();
    return this.#known.size === 0 ? undefined : this.#find(processOf(tid));
  }

  /** The same for who is about to change something, and what he may. */
  before(tid: number): Rights {
    const process = processOf(tid);
    const { capabilities, umask } = process;
    return { identity: this.#find(process) ?? this.#native, capabilities, umask };
  }

  /** Takes a thread's process for somebody. */
  set(tid: number, identity: Identity): void {
    const { pid } = processOf(tid);
    this.#known.set(pid, { identity, started: startOf(pid) });
  }

  #find({ pid, parent }: Process): Identity | undefined {
    const own = this.#at(pid);
    if (own !== undefined) return own;
    const inherited = this.#at(parent);
    if (inherited !== undefined) this.#known.set(pid, { identity: inherited, started: startOf(pid) });
    return inherited;
  }

  #at(pid: number): Identity | undefined {
    const known = this.#known.get(pid);
    return known === undefined || known.started !== startOf(pid) ? undefined : known.identity;
  }

  #purge(): void {
    const now = performance.now();
    if (this.#known.size === 0 || now - this.#purged < PURGE_MS) return;
    this.#purged = now;
    for (const pid of this.#known.keys()) if (this.#at(pid) === undefined) this.#known.delete(pid);
  }
}

/** proc_pid_status(5). Throws if the thread is gone. */
function processOf(tid: number): Process {
  const status = readFileSync(`/proc/${tid}/status`, 'latin1');
  const field = (name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '0';
  return {
    pid: Number(field('Tgid')),
    parent: Number(field('PPid')),
    capabilities: BigInt(`0x${field('CapEff')}`),
    umask: Number.parseInt(field('Umask'), 8),
  };
}

/** After the name, which may hold anything, the twentieth field of proc_pid_stat(5); empty if the process is gone. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
