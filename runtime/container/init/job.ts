/**
 * The messages between the supervisor and the init stage, over one socket pair.
 *
 *     supervisor                              init stage (PID 1)
 *        job, one line of JSON  ----------->  namespaces, mounts, pivot_root ...
 *        <-----------  warnings, one line each
 *        <-----------  "listener"             with virtual owners: a descriptor to copy
 *        one line  ----------->               it has been copied
 *        <-----------  "ready"                execve(2) follows
 *        <-----------  end of file            the command runs (the descriptor is close-on-exec)
 *        <-----------  failure                instead of the end: one line, then the stage exits
 *
 * Rule: an end of file without "ready" means that the stage died.
 */
import type { RuntimeSpec } from '../spec/runtime-spec.js';

/** The file descriptor of the init stage's end. */
export const CHANNEL = 3;

/** Docker's exit codes for a command that was never executed. */
export const EXIT = { RUNTIME_ERROR: 125, NOT_EXECUTABLE: 126, NOT_FOUND: 127 } as const;

export interface Job {
  readonly spec: RuntimeSpec;
  /** Absolute path of the root. */
  readonly root: string;
  readonly noPivot: boolean;
  /** The kernel restricts devices: by a control group's rules, or because a user namespace can open none. */
  readonly devicesGuarded: boolean;
  /** Whether setgroups(2) is allowed (user_namespaces(7)). */
  readonly setsGroups: boolean;
  /** The filter's program in base64 and its flags. */
  readonly seccomp?: { readonly program: string; readonly flags: number };
  /** The seccomp program that reports calls with unmapped ids, in base64 (`owners/service.ts`). */
  readonly ownerFilter?: string;
  /** RLIMIT_NOFILE for a specification that sets none. */
  readonly openFiles: { readonly soft: number; readonly hard: number };
}

export type Report =
  | { readonly kind: 'warning'; readonly message: string }
  | { readonly kind: 'listener'; readonly fd: number }
  | { readonly kind: 'ready' }
  | { readonly kind: 'failure'; readonly message: string; readonly exitCode: number };
