/**
 * config.json for a container of an image, as Docker's daemon passes it to runc.
 *
 * Rules: the default specification, changed by the command line. A network namespace is created only with
 * `--network none`, all others always. Compare with moby's oci.DefaultSpec and daemon/oci_linux.go, and the OCI image
 * specification's conversion.md.
 */

import { DEFAULT_CAPABILITIES, DEFAULT_MOUNTS, defaultSpec } from './default-spec.js';
import type { CapabilitiesSpec, RuntimeSpec } from './runtime-spec.js';
import { defaultSeccomp } from './seccomp-default.js';
import type { ContainerUser } from './users.js';
import type { Mount } from './volumes.js';

/** The process: arguments, user, directory and environment. */
export interface ProcessRequest {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: ContainerUser;
}

export interface SpecRequest {
  readonly process: ProcessRequest;
  readonly hostname: string;
  /** In the order of mounting, after the default mounts. */
  readonly mounts: readonly Mount[];
  readonly readOnly: boolean;
  readonly network: 'host' | 'none';
  /** root.path of config.json. */
  readonly rootPath: string;
}

/** HOME of the user; "/" for a user without a home directory, as with docker. */
const homeOf = (env: readonly string[], { home }: ContainerUser): string[] =>
  env.some((variable) => variable.startsWith('HOME=')) ? [] : [`HOME=${home}`];

export function containerSpec(request: SpecRequest): RuntimeSpec {
  const { hostname, mounts, readOnly, network, rootPath } = request;
  const { args, env, cwd, user } = request.process;
  const base = defaultSpec();
  const { uid, gid, groups } = user;
  const covered = new Set(mounts.map(({ destination }) => destination));
  return {
    ...base,
    root: { path: rootPath, readonly: readOnly },
    hostname,
    process: {
      terminal: false,
      user: { uid, gid, additionalGids: groups },
      args,
      env: [...env, ...homeOf(env, user)],
      cwd,
      capabilities: capabilitiesOf(uid),
      noNewPrivileges: true,
    },
    mounts: [...DEFAULT_MOUNTS.filter(({ destination }) => !covered.has(destination)), ...mounts],
    linux: {
      ...base.linux,
      seccomp: defaultSeccomp(DEFAULT_CAPABILITIES),
      namespaces: base.linux.namespaces.filter(({ type }) => type !== 'network' || network === 'none'),
    },
  };
}

/** For a user other than root only the bounding set is filled, as after execve(2). */
function capabilitiesOf(uid: number): CapabilitiesSpec {
  const all = DEFAULT_CAPABILITIES;
  return uid === 0 ? { bounding: all, effective: all, permitted: all } : { bounding: all };
}
