/**
 * Compiles linux.seccomp of the specification to a BPF program, in the supervisor; the init stage only loads it.
 *
 * Rules: calls with higher numbers than all calls in the filter fail with ENOSYS, so that programs fall back as on an
 * older kernel; EPERM would break them. Instructions for this are put before libseccomp's program.
 * Compare with runc's libcontainer/seccomp and its patchbpf.
 */

import { ARCHITECTURES } from '../../../fs/sys/architecture.js';
import { BPF, DATA, encode, type Instruction } from '../../../fs/sys/classic-bpf.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { HostError, UsageError } from '../../../fs/sys/refusal.js';
import { ACTION, COMPARE, type Comparison, SeccompFilter } from '../../../fs/sys/seccomp.js';
import type { SeccompArgument, SeccompRule, SeccompSpec } from '../spec/runtime-spec.js';

/** SECCOMP_FILTER_FLAG_* of seccomp(2). */
const FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
};
/** runc's default flags: no mitigation of speculative execution, which is slow. */
const DEFAULT_FLAGS = ['SECCOMP_FILTER_FLAG_SPEC_ALLOW'];

export interface CompiledSeccomp {
  /** An array of struct sock_filter. */
  readonly program: Buffer;
  readonly flags: number;
}

/** Default actions that execute the call. */
const PERMISSIVE = ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'];
const ERRNO_MASK = 0xffff;

/** The value of a name with a prefix in a table, e.g. "SCMP_CMP_EQ"; refuses unknown ones. */
function numberOf(table: Readonly<Record<string, number>>, prefix: string, name: string): number {
  const value = name.startsWith(prefix) ? table[name.slice(prefix.length)] : undefined;
  if (value === undefined) throw new UsageError(`seccomp: "${name}" is not supported`);
  return value;
}

function actionOf(name: string, errnoRet: number = E.EPERM): number {
  if (name === 'SCMP_ACT_KILL') return ACTION.KILL_THREAD;
  const action = numberOf(ACTION, 'SCMP_ACT_', name);
  const takesNumber = action === ACTION.ERRNO || action === ACTION.TRACE;
  return (takesNumber ? action | (errnoRet & ERRNO_MASK) : action) >>> 0;
}

function comparisonOf({ index, op, value, valueTwo = 0 }: SeccompArgument): Comparison {
  return {
    index,
    compare: numberOf(COMPARE, 'SCMP_CMP_', op),
    value: BigInt(value),
    valueTwo: BigInt(valueTwo),
  };
}

/** All comparisons must match, unless two have the same argument: then one of them must match, as in runc. */
function alternativesOf(args: readonly SeccompArgument[]): Comparison[][] {
  const comparisons = args.map(comparisonOf);
  const distinct = new Set(args.map(({ index }) => index)).size === args.length;
  return distinct ? [comparisons] : comparisons.map((comparison) => [comparison]);
}

function addRule(filter: SeccompFilter, rule: SeccompRule, defaultAction: number): void {
  const action = actionOf(rule.action, rule.errnoRet);
  if (action === defaultAction) return;
  for (const name of rule.names) {
    const call = filter.resolve(filter.native, name);
    if (call === undefined) continue;
    for (const comparisons of alternativesOf(rule.args ?? [])) filter.rule(action, call, comparisons);
  }
}

/** The range of call numbers of one architecture, as a filter sees them. */
interface CallRange {
  /** AUDIT_ARCH_*. */
  readonly audit: number;
  readonly first: number;
  readonly end: number;
  /** The highest that the filter names. */
  readonly last: number;
}

/** x32 calls have x86-64's token and an additional bit. */
const X86_64 = ARCHITECTURES.x64.audit;
const X32 = 0x4000003e;
const X32_CALL = 0x40000000;
/** 32-bit Arm has calls of its own (breakpoint, cacheflush ...) far above all others: none of them is newer. */
const ARM = 0x40000028;
const ARM_OWN_CALLS = 0x0f0000;
const ALL_CALLS = 0xffffffff;

function callRange(filter: SeccompFilter, token: number, names: readonly string[]): CallRange {
  const end = endOfCalls(token);
  const numbers = names.map((name) => filter.resolve(token, name) ?? 0);
  const last = Math.max(0, ...numbers.filter((number) => number <= end));
  if (token === X32) return { audit: X86_64, first: X32_CALL, end: ALL_CALLS, last: (last | X32_CALL) >>> 0 };
  return { audit: token, first: 0, end, last };
}

function endOfCalls(token: number): number {
  if (token === X86_64) return X32_CALL - 1;
  return token === ARM ? ARM_OWN_CALLS - 1 : ALL_CALLS;
}

/** ENOSYS for calls in the range that lie above its last one; everything else falls through. */
function newerCallsFail({ audit, first, end, last }: CallRange): Instruction[] {
  return [
    [BPF.LOAD, 0, 0, DATA.ARCH],
    [BPF.JEQ, 0, 5, audit],
    [BPF.LOAD, 0, 0, DATA.CALL],
    [BPF.JGE, 0, 3, first],
    [BPF.JGT, 2, 0, end],
    [BPF.JGT, 0, 1, last],
    [BPF.RET, 0, 0, (ACTION.ERRNO | E.ENOSYS) >>> 0],
  ];
}

function newFilter(defaultAction: number): SeccompFilter {
  try {
    return new SeccompFilter(defaultAction);
  } catch (error) {
    if (!(error instanceof Errno) || error.code !== E.ENOSYS) throw error;
    throw new HostError(
      'cannot load libseccomp.so.2, which seccomp filters need',
      'install the package "libseccomp2"',
    );
  }
}

/** Compiles a filter. Throws `UsageError` without libseccomp, or for what it cannot express. */
export function compileSeccomp(spec: SeccompSpec): CompiledSeccomp {
  const flags = (spec.flags ?? DEFAULT_FLAGS).reduce((bits, name) => bits | numberOf(FLAGS, '', name), 0);
  const defaultAction = actionOf(spec.defaultAction, spec.defaultErrnoRet);
  const filter = newFilter(defaultAction);
  try {
    const tokens = (spec.architectures ?? []).map((name) => {
      const token = filter.architecture(name.replace(/^SCMP_ARCH_/, '').toLowerCase());
      if (token === undefined) throw new UsageError(`seccomp: "${name}" is not supported`);
      return token;
    });
    for (const token of tokens) filter.addArchitecture(token);
    for (const rule of spec.syscalls ?? []) addRule(filter, rule, defaultAction);
    if (PERMISSIVE.includes(spec.defaultAction)) return { program: filter.export(), flags };
    const names = (spec.syscalls ?? []).flatMap((rule) => rule.names);
    const ranges = [...new Set([filter.native, ...tokens])].map((token) => callRange(filter, token, names));
    return { program: Buffer.concat([encode(ranges.flatMap(newerCallsFail)), filter.export()]), flags };
  } finally {
    filter.release();
  }
}
