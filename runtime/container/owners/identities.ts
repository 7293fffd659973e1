/**
 * The virtual identities of the processes of a container (`identity.ts`).
 *
 * Rules: a process that never changed its ids has the identity that the kernel reports; while there is no other kind, /proc
 * is not read. A new process has its parent's identity. Identities belong to thread groups; those of ended processes are
 * dropped, and a reused pid is detected by the start time.
 */
import { readFileSync } from 'node:fs';
import type { Identity } from './identity.js';

/** Fields of a thread in /proc. */
interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly capabilities: bigint;
  readonly umask: number;
}

/** The facts that the answer to a thread's call depends on. */
export interface Rights extends Pick<Process, 'capabilities' | 'umask'> {
  /** The virtual identity of its process. */
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

  /** @param native the real identity of every process */
  constructor(native: Identity) {
    this.#native = native;
  }

  /** The virtual identity of a thread's process; undefined if it has its real one. */
  of(tid: number): Identity | undefined {
    this.#purge();
    return this.#known.size === 0 ? undefined : this.#find(processOf(tid));
  }

  /** The identity and the rights of a thread that is about to change its identity. */
  before(tid: number): Rights {
    const process = processOf(tid);
    const { capabilities, umask } = process;
    return { identity: this.#find(process) ?? this.#native, capabilities, umask };
  }

  /** Sets the virtual identity of a thread's process. */
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
