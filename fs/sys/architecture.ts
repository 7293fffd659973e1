/**
 * Constants that depend on the processor architecture: one table each, and only here.
 *
 * Rules: system calls from number 424 on have one number everywhere and are not listed. Both architectures are 64-bit and
 * little-endian and use the kernel's generic layouts for the structures we read and write; test/sys holds both tables
 * and layouts against the kernel's own headers. Compare arch/arm64/include/uapi/asm/fcntl.h, asm-generic/unistd.h.
 */

export interface Architecture {
  /** Numbers for syscall(2). */
  readonly SYS: {
    readonly keyctl: number;
    readonly seccomp: number;
    readonly newfstatat: number;
    readonly bpf: number;
  };
  /** struct stat: its size, and where st_uid is; st_gid follows. */
  readonly stat: { readonly size: number; readonly st_uid: number };
  /** Flags of open(2). */
  readonly O: { readonly DIRECTORY: number; readonly NOFOLLOW: number; readonly DIRECT: number };
  /** musl's C library, by soname. */
  readonly musl: string;
  /** Go's name, which images use (GOARCH). */
  readonly go: string;
  /** AUDIT_ARCH_* of linux/audit.h. */
  readonly audit: number;
  /** libseccomp's name, as in an OCI specification. */
  readonly scmp: string;
}

export const ARCHITECTURES = {
  x64: {
    SYS: { keyctl: 250, seccomp: 317, newfstatat: 262, bpf: 321 },
    stat: { size: 144, st_uid: 28 },
    O: { DIRECTORY: 0o200000, NOFOLLOW: 0o400000, DIRECT: 0o40000 },
    musl: 'libc.musl-x86_64.so.1',
    go: 'amd64',
    audit: 0xc000003e,
    scmp: 'SCMP_ARCH_X86_64',
  },
  arm64: {
    SYS: { keyctl: 219, seccomp: 277, newfstatat: 79, bpf: 280 },
    stat: { size: 128, st_uid: 24 },
    O: { DIRECTORY: 0o40000, NOFOLLOW: 0o100000, DIRECT: 0o200000 },
    musl: 'libc.musl-aarch64.so.1',
    go: 'arm64',
    audit: 0xc00000b7,
    scmp: 'SCMP_ARCH_AARCH64',
  },
} as const satisfies Readonly<Record<string, Architecture>>;

export type ArchitectureName = keyof typeof ARCHITECTURES;

export const isServed = (name: string): name is ArchitectureName => Object.hasOwn(ARCHITECTURES, name);

/** @param name as process.arch has it */
export function architectureOf(name: string): Architecture {
  if (isServed(name)) return ARCHITECTURES[name];
  throw new Error(
    `unsupported processor architecture "${name}"; use ${Object.keys(ARCHITECTURES).join(' or ')}`,
  );
}
