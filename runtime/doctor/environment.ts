/**
 * HOME and XDG_RUNTIME_DIR: where a user's store and a node's own state lie (XDG base directory specification).
 *
 * Rule: each has a default, so neither is "missing"; only a directory of another user is an error.
 */

import type { Host, HostFile } from '../host/host.js';
import { asRoot, asUser, type Finding, type Fix, ok, warning } from './finding.js';
import type { Identity } from './identity.js';
import { storeElsewhere } from './store.js';

export interface EnvironmentFacts {
  readonly home: string | undefined;
  readonly homeDirectory: HostFile | undefined;
  readonly runtimeDirectory: string | undefined;
  readonly runtime: HostFile | undefined;
  /** The path that logind uses. */
  readonly usual: string;
  readonly usualExists: boolean;
  /** logind may run. */
  readonly systemd: boolean;
}

export function probeEnvironment(host: Host): EnvironmentFacts {
  const { home } = host;
  const runtimeDirectory = host.environment['XDG_RUNTIME_DIR'] || undefined;
  const usual = `/run/user/${host.uid}`;
  return {
    home,
    homeDirectory: home === undefined ? undefined : host.stat(home),
    runtimeDirectory,
    runtime: runtimeDirectory === undefined ? undefined : host.stat(runtimeDirectory),
    usual,
    usualExists: host.stat(usual) !== undefined,
    systemd: host.stat('/run/systemd/system') !== undefined,
  };
}

/** @param place where another store may be (`store.ts`) */
export function judgeEnvironment(
  facts: EnvironmentFacts,
  identity: Identity,
  place: string | undefined,
): Finding[] {
  return [judgeHome(facts, identity, place), judgeRuntime(facts, identity)];
}

function judgeHome(
  { home, homeDirectory }: EnvironmentFacts,
  { uid }: Identity,
  place: string | undefined,
): Finding {
  const id = 'environment.home';
  const fix = storeElsewhere(uid, place);
  if (home === undefined) return warning(id, 'HOME is not set', fix);
  if (homeDirectory?.kind !== 'directory') return warning(id, `HOME "${home}" is not a directory`, fix);
  if (!homeDirectory.writable) return warning(id, `HOME "${home}" is not writable`, fix);
  return ok(id, home);
}

function judgeRuntime(facts: EnvironmentFacts, { uid, userName }: Identity): Finding {
  const { runtimeDirectory, runtime } = facts;
  const id = 'environment.runtime';
  if (uid === 0) return ok(id, '/run, as root');
  const fix = provideRuntime(facts, userName ?? String(uid));
  if (runtimeDirectory === undefined) {
    return warning(id, 'XDG_RUNTIME_DIR is not set; the temporary directory is used instead', fix);
  }
  if (runtime?.kind !== 'directory') {
    return warning(id, `XDG_RUNTIME_DIR "${runtimeDirectory}" is not a directory`, fix);
  }
  if (runtime.uid !== uid || !runtime.writable) {
    return warning(id, `XDG_RUNTIME_DIR "${runtimeDirectory}" belongs to another user`, fix);
  }
  return ok(id, runtimeDirectory);
}

/** The session's own directory; without a session, one that logind creates; without logind, a private one. */
function provideRuntime({ usual, usualExists, systemd }: EnvironmentFacts, user: string): Fix {
  if (usualExists) return asUser(`export XDG_RUNTIME_DIR=${usual}`);
  if (systemd) return asRoot(`loginctl enable-linger ${user}`);
  return asUser(`mkdir -p -m 700 /tmp/run-${user} && export XDG_RUNTIME_DIR=/tmp/run-${user}`);
}
