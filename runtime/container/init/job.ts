/**
 * What the supervisor and the init stage say to each other over one socket pair.
 *
 *     supervisor                              init stage (PID 1)
 *        job, one line of JSON  ----------->  namespaces, mounts, pivot_root ...
 *        <-----------  warnings, one line each
 *        <-----------  "listener"             where virtual owners are wanted: a descriptor to take
 *        one line  ----------->               it has been taken
 *        <-----------  "ready"                execve(2) follows
 *        <-----------  end of file            the command runs: the descriptor closed itself
 *        <-----------  failure                instead of the end: one line, then the stage exits
 *
 * Rule: an end of file without "ready" means that the stage died.
 */
import type { RuntimeSpec } from '../spec/runtime-spec.js';

/** The descriptor under which the init stage finds its end. */
export const CHANNEL = 3;

/** Docker's exit codes for what never ran. */
export const EXIT = { RUNTIME_ERROR: 125, NOT_EXECUTABLE: 126, NOT_FOUND: 127 } as const;

export interface Job {
  readonly spec: RuntimeSpec;
  /** Absolute path of the root. */
  readonly root: string;
  readonly noPivot: boolean;
  /** The kernel decides which devices are opened: by a control group's rules, or since a user namespace has none. */
  readonly devicesGuarded: boolean;
  /** Whether setgroups(2) is allowed (user_namespaces(7)). */
  readonly setsGroups: boolean;
  /** The filter's program in base64 and its flags. */
  readonly seccomp?: { readonly program: string; readonly flags: number };
  /** The program that asks about calls with ids that are not mapped, in base64 (`owners/service.ts`). */
  readonly ownerFilter?: string;
  /** RLIMIT_NOFILE for a specification that sets none. */
  readonly openFiles: { readonly soft: number; readonly hard: number };
}

export type Report =
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'listener'; readonly fd: number }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failure'; readonly message: string; readonly exitCode: number };
