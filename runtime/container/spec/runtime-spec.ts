/**
 * The configuration of a container: the supported part of config.json of the OCI runtime specification v1.2.
 *
 * Rule: field names are the specification's (config.md, config-linux.md). `check-spec.ts` refuses fields that are not here
 * if they request anything.
 */

export interface RuntimeSpec {
  readonly ociVersion: string;
  readonly process: ProcessSpec;
  readonly root: RootSpec;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly mounts?: readonly MountSpec[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux: LinuxSpec;
}

export interface RootSpec {
  /** Absolute, or relative to the bundle. */
  readonly path: string;
  readonly readonly?: boolean;
}

export interface ProcessSpec {
  readonly terminal?: boolean;
  readonly user: UserSpec;
  readonly args: readonly string[];
  /** NAME=VALUE. */
  readonly env?: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  readonly capabilities?: CapabilitiesSpec;
  readonly rlimits?: readonly RlimitSpec[];
  readonly noNewPrivileges?: boolean;
  /** -1000 to 1000, proc_pid_oom_score_adj(5). */
  readonly oomScoreAdj?: number;
}

export interface UserSpec {
  readonly uid: number;
  readonly gid: number;
  readonly umask?: number;
  readonly additionalGids?: readonly number[];
}

export const CAPABILITY_SETS = ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'] as const;
/** Names such as "CAP_CHOWN". */
export type CapabilitiesSpec = Partial<Readonly<Record<(typeof CAPABILITY_SETS)[number], readonly string[]>>>;

export interface RlimitSpec {
  /** Such as "RLIMIT_NOFILE". */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

export interface MountSpec {
  /** Absolute, inside the root. */
  readonly destination: string;
  readonly type?: string;
  readonly source?: string;
  readonly options?: readonly string[];
}

/** Of the mounts that are there when the namespace is new; sharing with the host is not offered. */
export const ROOT_PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave'] as const;
export type RootPropagation = (typeof ROOT_PROPAGATIONS)[number];

export interface LinuxSpec {
  readonly namespaces: readonly NamespaceSpec[];
  readonly devices?: readonly DeviceSpec[];
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly seccomp?: SeccompSpec;
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
  readonly rootfsPropagation?: RootPropagation;
  /** Path of the control group for the device rules: absolute below the hierarchy, or relative to the caller's own group. */
  readonly cgroupsPath?: string;
  readonly resources?: { readonly devices?: readonly DeviceRuleSpec[] };
}

/** "Allowed Device list" of config-linux.md. */
export interface DeviceRuleSpec {
  readonly allow: boolean;
  /** "a", "b", "c", "u"; all by default. */
  readonly type?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Letters of "rwm"; all by default. */
  readonly access?: string;
}

export const NAMESPACES = ['pid', 'network', 'mount', 'ipc', 'uts', 'cgroup'] as const;
export type NamespaceType = (typeof NAMESPACES)[number];

export interface NamespaceSpec {
  readonly type: NamespaceType;
  /** An existing one to join; absolute. */
  readonly path?: string;
}

export interface DeviceSpec {
  readonly type: 'c' | 'u' | 'b' | 'p';
  readonly path: string;
  readonly major?: number;
  readonly minor?: number;
  readonly fileMode?: number;
  readonly uid?: number;
  readonly gid?: number;
}

/** "SCMP_ACT_ERRNO" ... */
export type SeccompAction = string;

export interface SeccompSpec {
  readonly defaultAction: SeccompAction;
  readonly defaultErrnoRet?: number;
  /** "SCMP_ARCH_X86_64" ... */
  readonly architectures?: readonly string[];
  /** "SECCOMP_FILTER_FLAG_LOG" ... */
  readonly flags?: readonly string[];
  readonly syscalls?: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  readonly errnoRet?: number;
  readonly args?: readonly SeccompArgument[];
}

export interface SeccompArgument {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number;
  /** "SCMP_CMP_EQ" ... */
  readonly op: string;
}
