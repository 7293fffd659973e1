/**
 * System call filters, compiled by libseccomp: seccomp_init(3), seccomp_rule_add(3), seccomp_export_bpf(3).
 *
 * Rule: nothing is loaded here; what comes out is a BPF program for seccomp(2). libseccomp returns negated errnos,
 * which are thrown as `Errno`.
 */
import { SEEK } from './constants.js';
import { E, Errno } from './errno.js';
import { errno, native, processNative, seccompNative } from './native.js';

type Library = NonNullable<ReturnType<typeof seccompNative>>;

/** SCMP_ACT_*; those of ERRNO and TRACE carry a number in their low 16 bits. */
export const ACTION = {
  KILL_PROCESS: 0x80000000,
  KILL_THREAD: 0,
  TRAP: 0x30000,
  ERRNO: 0x50000,
  TRACE: 0x7ff00000,
  LOG: 0x7ffc0000,
  ALLOW: 0x7fff0000,
} as const;

/** enum scmp_compare. */
export const COMPARE = { NE: 1, LT: 2, LE: 3, EQ: 4, GE: 5, GT: 6, MASKED_EQ: 7 } as const;

/** struct scmp_arg_cmp. */
export interface Comparison {
  /** Which argument of the call, 0 to 5. */
  readonly index: number;
  readonly compare: number;
  readonly value: bigint;
  /** What MASKED_EQ compares with; `value` is its mask. */
  readonly valueTwo: bigint;
}

const SIZEOF_COMPARISON = 24;
const MFD_CLOEXEC = 1;
const UNKNOWN_CALL = -1;

const cString = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1');

function check(call: string, result: number): void {
  if (result < 0) throw new Errno(-result, call);
}

/** A filter being built. `release` it. */
export class SeccompFilter {
  readonly #library: Library;
  readonly #context: number;

  /** Throws `Errno` ENOSYS where libseccomp is not installed. */
  constructor(defaultAction: number) {
    const library = seccompNative();
    if (library === undefined) throw new Errno(E.ENOSYS, 'libseccomp');
    this.#library = library;
    this.#context = library.init(defaultAction);
    if (this.#context === 0) throw new Errno(E.EINVAL, 'seccomp_init');
  }

  /** The native architecture's SCMP_ARCH token. */
  get native(): number {
    return this.#library.arch_native();
  }

  /** The SCMP_ARCH token of a name such as "x86_64"; undefined if libseccomp does not know it. */
  architecture(name: string): number | undefined {
    return this.#library.arch_resolve_name(cString(name)) || undefined;
  }

  addArchitecture(token: number): void {
    if (this.#library.arch_exist(this.#context, token) === 0) return;
    check('seccomp_arch_add', this.#library.arch_add(this.#context, token));
  }

  /** The number of a call on an architecture; negative where only another one has it, undefined if unknown. */
  resolve(token: number, name: string): number | undefined {
    const number = this.#library.syscall_resolve_name_arch(token, cString(name));
    return number === UNKNOWN_CALL ? undefined : number;
  }

  /** seccomp_rule_add_array(3): the action for a call of the native architecture, if all comparisons hold. */
  rule(action: number, call: number, comparisons: readonly Comparison[]): void {
    const array = Buffer.alloc(comparisons.length * SIZEOF_COMPARISON);
    comparisons.forEach(({ index, compare, value, valueTwo }, at) => {
      array.writeUInt32LE(index, at * SIZEOF_COMPARISON);
      array.writeUInt32LE(compare, at * SIZEOF_COMPARISON + 4);
      array.writeBigUInt64LE(value, at * SIZEOF_COMPARISON + 8);
      array.writeBigUInt64LE(valueTwo, at * SIZEOF_COMPARISON + 16);
    });
    const { rule_add_array } = this.#library;
    check('seccomp_rule_add', rule_add_array(this.#context, action, call, comparisons.length, array));
  }

  /** The program: an array of struct sock_filter. */
  export(): Buffer {
    const fd = processNative().memfd_create(cString('seccomp'), MFD_CLOEXEC);
    if (fd < 0) throw new Errno(errno(), 'memfd_create');
    try {
      check('seccomp_export_bpf', this.#library.export_bpf(this.#context, fd));
      const program = Buffer.alloc(native.lseek(fd, 0, SEEK.END));
      native.pread(fd, program, program.length, 0);
      return program;
    } finally {
      native.close(fd);
    }
  }

  release(): void {
    this.#library.release(this.#context);
  }
}
