/**
 * System calls that change the process before execve(2), under their man-2 names.
 *
 * Rules: everything happens on the calling thread, which must be the main one: execve(2) ends the others. Failures
 * throw `Errno`. Nothing here allocates memory that a failed execve(2) would leave behind: the process ends then.
 */
import { readFileSync } from 'node:fs';
import { O, PATH_MAX, PR, PR_CAP_AMBIENT } from './constants.js';
import { E, Errno } from './errno.js';
import { HERE } from './machine.js';
import { allocate, errno, type Memory, native, processNative } from './native.js';

function check(call: string, result: number): number {
  if (result < 0) throw new Errno(errno(), call);
  return result;
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}

// --- namespaces and directories ----------------------------------------------------------------------------------

/** setns(2); `type` is a CLONE.NEW* bit, or 0 for whatever `fd` is. */
export function setns(fd: number, type: number): void {
  check('setns', processNative().setns(fd, type));
}

export function pivotRoot(newRoot: string, putOld: string): void {
  check('pivot_root', processNative().pivot_root(cString(newRoot), cString(putOld)));
}

export function fchdir(fd: number): void {
  check('fchdir', processNative().fchdir(fd));
}

/** getcwd(3): ENOENT if the working directory is not below the root. */
export function getcwd(): string {
  const buffer = Buffer.alloc(PATH_MAX);
  if (processNative().getcwd(buffer, buffer.length) === 0) throw new Errno(errno(), 'getcwd');
  const path = buffer.toString('latin1', 0, buffer.indexOf(0));
  if (!path.startsWith('/')) throw new Errno(E.ENOENT, 'getcwd');
  return path;
}

/** setsid(2); nothing for a process that leads a group already. */
export function setsid(): void {
  if (processNative().setsid() >= 0) return;
  const code = errno();
  if (code !== E.EPERM) throw new Errno(code, 'setsid');
}

export function sethostname(name: string): void {
  check('sethostname', processNative().sethostname(cString(name), name.length));
}

export function setdomainname(name: string): void {
  check('setdomainname', processNative().setdomainname(cString(name), name.length));
}

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCSIFFLAGS = 0x8914;
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;
const IFF_UP = 1;

/** netdevice(7): brings a network interface up. */
export function interfaceUp(name: string): void {
  const fd = check('socket', processNative().socket(AF_INET, SOCK_DGRAM, 0));
  try {
    const request = Buffer.alloc(IFREQ_SIZE);
    request.write(name, 0, 'latin1');
    request.writeInt16LE(IFF_UP, IFNAMSIZ);
    check('ioctl', native.ioctlPointer(fd, SIOCSIFFLAGS, request));
  } finally {
    native.close(fd);
  }
}

// --- credentials -------------------------------------------------------------------------------------------------

export function setgroups(groups: readonly number[]): void {
  check('setgroups', processNative().setgroups(groups.length, Buffer.from(Uint32Array.from(groups).buffer)));
}

/** setresgid(2) of all three ids. */
export function setgid(gid: number): void {
  check('setresgid', processNative().setresgid(gid, gid, gid));
}

/** setresuid(2) of all three ids. */
export function setuid(uid: number): void {
  check('setresuid', processNative().setresuid(uid, uid, uid));
}

/** One bit per capability number. */
export interface CapabilitySets {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

/** Leaves nothing to children that execve(2) programs: neither ambient nor inheritable capabilities. */
export function keepCapabilitiesFromChildren(): void {
  clearAmbientCapabilities();
  const [effective, permitted] = [capabilitySet('CapEff'), capabilitySet('CapPrm')];
  capset({ effective, permitted, inheritable: 0n });
}

/** proc_pid_status(5): one of this process's sets, such as "CapEff". */
function capabilitySet(name: string): bigint {
  const status = readFileSync('/proc/self/status', 'latin1');
  return BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0'}`);
}

const CAPABILITY_VERSION_3 = 0x20080522;

/** capset(2) on this thread. */
export function capset({ effective, permitted, inheritable }: CapabilitySets): void {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  const data = Buffer.alloc(24);
  [effective, permitted, inheritable].forEach((set, index) => {
    data.writeUInt32LE(Number(set & 0xffffffffn), index * 4);
    data.writeUInt32LE(Number(set >> 32n), 12 + index * 4);
  });
  check('capset', processNative().capset(header, data));
}

/** prctl(2); returns what the call returns. */
export function prctl(option: number, a = 0, b = 0): number {
  return check('prctl', native.prctl(option, a, b, 0, 0));
}

/** PR_CAPBSET_DROP; false when the kernel has no such capability. */
export function dropBoundingCapability(capability: number): boolean {
  if (native.prctl(PR.CAPBSET_DROP, capability, 0, 0, 0) === 0) return true;
  const code = errno();
  if (code === E.EINVAL) return false;
  throw new Errno(code, 'prctl');
}

export function clearAmbientCapabilities(): void {
  prctl(PR.CAP_AMBIENT, PR_CAP_AMBIENT.CLEAR_ALL);
}

/** PR_CAP_AMBIENT_RAISE; false for a capability that is not both permitted and inheritable. */
export function raiseAmbientCapability(capability: number): boolean {
  if (native.prctl(PR.CAP_AMBIENT, PR_CAP_AMBIENT.RAISE, capability, 0, 0) === 0) return true;
  const code = errno();
  if (code === E.EPERM) return false;
  throw new Errno(code, 'prctl');
}

const KEYCTL_JOIN_SESSION_KEYRING = 1;

/** keyctl(2): a new, anonymous session keyring; nothing where the kernel has no keyrings. */
export function joinSessionKeyring(): void {
  const result = native.syscallPath(HERE.SYS.keyctl, KEYCTL_JOIN_SESSION_KEYRING, null, 0, null, 0);
  if (result >= 0) return;
  const code = errno();
  if (code !== E.ENOSYS && code !== E.EPERM) throw new Errno(code, 'keyctl');
}

// --- limits, signals, descriptors --------------------------------------------------------------------------------

/** Soft and hard resource limit; RLIM_INFINITY is 2^64 - 1. */
export interface Limit {
  readonly soft: bigint;
  readonly hard: bigint;
}

export function getrlimit(resource: number): Limit {
  const old = Buffer.alloc(16);
  check('prlimit', processNative().prlimit(0, resource, null, old));
  return { soft: old.readBigUInt64LE(0), hard: old.readBigUInt64LE(8) };
}

export function setrlimit(resource: number, { soft, hard }: Limit): void {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(soft, 0);
  limit.writeBigUInt64LE(hard, 8);
  check('prlimit', processNative().prlimit(0, resource, limit, null));
}

/** The highest signal number plus one, on x86-64 and arm64 (signal(7)). */
const NSIG = 65;
const SIG_SETMASK = 2;
const SIZEOF_SIGSET = 128;

/** signal(2), sigprocmask(2): every signal gets its default action and none is blocked. */
export function resetSignals(): void {
  // SIGKILL, SIGSTOP and the C library's own signals refuse, and need it not.
  for (let number = 1; number < NSIG; number++) processNative().signal(number, null);
  check('sigprocmask', processNative().sigprocmask(SIG_SETMASK, Buffer.alloc(SIZEOF_SIGSET), null));
}

const SYS_close_range = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const LAST_FD = 0xffffffff;
const F_SETFD = 2;

/** close_range(2): of all descriptors execve(2) leaves only those below `first`, and those it does leave. */
export function keepBelow(first: number): void {
  const result = native.syscallPath(SYS_close_range, first, LAST_FD, CLOSE_RANGE_CLOEXEC, null, 0);
  check('close_range', result);
  for (let fd = 0; fd < first; fd++) native.fcntl(fd, F_SETFD, 0);
}

/** fcntl(2): execve(2) leaves the descriptor open. */
export function keepOnExec(fd: number): void {
  check('fcntl', native.fcntl(fd, F_SETFD, 0));
}

/** The two ends of a pipe. */
export interface Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/** pipe2(2) with O_CLOEXEC. */
export function pipe(): Pipe {
  const ends = Buffer.alloc(8);
  check('pipe2', processNative().pipe2(ends, O.CLOEXEC));
  return { readEnd: ends.readInt32LE(0), writeEnd: ends.readInt32LE(4) };
}

// --- seccomp -----------------------------------------------------------------------------------------------------

const SECCOMP_SET_MODE_FILTER = 1;
const SIZEOF_INSTRUCTION = 8;

const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;
const SECCOMP_FILTER_FLAG_NEW_LISTENER = 8;

/** seccomp(2): loads a program that asks; the descriptor to answer by. */
export const loadSeccompListener = (program: Buffer): number =>
  loadSeccompFilter(program, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW);

/** seccomp(2): loads a BPF program, an array of struct sock_filter, with SECCOMP_FILTER_FLAG_* bits. */
export function loadSeccompFilter(program: Buffer, flags: number): number {
  const code = allocate(program.length);
  program.copy(code.bytes);
  const descriptor = allocate(16); // struct sock_fprog
  descriptor.bytes.writeUInt16LE(program.length / SIZEOF_INSTRUCTION, 0);
  descriptor.bytes.writeBigUInt64LE(BigInt(code.address), 8);
  const result = native.syscallPath(
    HERE.SYS.seccomp,
    SECCOMP_SET_MODE_FILTER,
    flags,
    descriptor.address,
    null,
    0,
  );
  code.bytes.fill(0); // after the call: keeps the memory referenced until here
  return check('seccomp', result);
}

// --- the end -----------------------------------------------------------------------------------------------------

/** A NULL-terminated array of C strings. */
function stringArray(strings: readonly string[]): { readonly keep: unknown; readonly array: Memory } {
  const text = allocate(strings.reduce((size, string) => size + string.length + 1, 1));
  const array = allocate((strings.length + 1) * 8);
  let at = 0;
  strings.forEach((string, index) => {
    array.bytes.writeBigUInt64LE(BigInt(text.address + at), index * 8);
    at += text.bytes.write(`${string}\0`, at, 'latin1');
  });
  return { keep: text, array };
}

/** Program arguments and environment in the form execve(2) takes, made once for several tries. */
export class Execution {
  readonly #argv: ReturnType<typeof stringArray>;
  readonly #envp: ReturnType<typeof stringArray>;

  constructor(argv: readonly string[], environment: readonly string[]) {
    this.#argv = stringArray(argv);
    this.#envp = stringArray(environment);
  }

  /** execve(2); returns only if it failed: the errno. */
  run(path: string): number {
    processNative().execve(cString(path), this.#argv.array.address, this.#envp.array.address);
    return errno();
  }
}
