/**
 * Errors and deaths at any system call of the engine, without a process of its own: the functions of `native.ts`, the
 * only door to the kernel, are replaced for a moment.
 *
 * Rules: a call that fails is not made. Who dies makes no call any more, in no handler either, so what lies on disk is
 * what SIGKILL between two system calls leaves. Calls that cannot fail are neither counted nor stopped.
 */
import { errno, native } from '../../../fs/sys/native.js';

type Call = (...given: unknown[]) => unknown;

/** close(2) frees the descriptor in every case; the others set or tell something of the thread. */
const CANNOT_FAIL = new Set([
  'close',
  'umask',
  'setfsuid',
  'setfsgid',
  'getpagesize',
  'sched_yield',
  'prctl',
]);

const calls = native as unknown as Record<string, Call>;
const setErrno = errno as unknown as (code: number) => number;

/** What ends an engine that dies. It is no `Errno`, so nothing handles it. */
export class Killed extends Error {}

/** Runs `action` while `decide` is asked before every system call: an errno is its result in place of the call's. */
function intercept<T>(decide: (call: string) => number | undefined, action: () => T): T {
  const real = Object.entries(calls).filter(([name]) => !CANNOT_FAIL.has(name));
  for (const [name, call] of real) {
    calls[name] = (...given) => {
      const code = decide(name);
      if (code === undefined) return call(...given);
      setErrno(code);
      return -1;
    };
  }
  try {
    return action();
  } finally {
    for (const [name, call] of real) calls[name] = call;
  }
}

/** The system calls that an action makes. */
export function callsOf(action: () => void): string[] {
  const made: string[] = [];
  intercept((name) => {
    made.push(name);
    return undefined;
  }, action);
  return made;
}

/**
 * Lets the system call number `at` fail, counted from 0, and the `times - 1` after it.
 * @param only of those after it, only these
 */
export function failing<T>(at: number, code: number, action: () => T, times = 1, only?: string): T {
  let count = 0;
  return intercept((name) => {
    const number = count++;
    const fails =
      number >= at && number < at + times && (number === at || only === undefined || name === only);
    return fails ? code : undefined;
  }, action);
}

/** Lets all system calls of one kind fail. */
export const refusing = <T>(call: string, code: number, action: () => T): T =>
  intercept((name) => (name === call ? code : undefined), action);

/** Runs an action that ends before the system call number `at`; whether it came so far. */
export function dying(at: number, action: () => void): boolean {
  let count = 0;
  try {
    intercept(() => {
      if (count++ >= at) throw new Killed();
      return undefined;
    }, action);
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  }
}
