/**
 * Protects Docker's filter on a 64-bit Arm machine, from whatever machine: the compiled program is interpreted here,
 * for calls of both of its architectures.
 */
import { assert } from 'chai';
import { ARCHITECTURES } from '../../../fs/sys/architecture.js';
import { ACTION } from '../../../fs/sys/seccomp.js';
import { compileSeccomp } from '../../../runtime/container/process/seccomp.js';
import { DEFAULT_CAPABILITIES } from '../../../runtime/container/spec/default-spec.js';
import { defaultSeccomp } from '../../../runtime/container/spec/seccomp-default.js';

/** AUDIT_ARCH_* (linux/audit.h). */
const AARCH64 = 0xc00000b7;
const ARM = 0x40000028;

const INSTRUCTION = 8;
const DATA_SIZE = 64;
/** What filters consist of (linux/bpf_common.h). */
const BPF = { LOAD: 0x20, AND: 0x54, RETURN: 0x06, JUMP: 0x05, JEQ: 0x15, JGT: 0x25, JGE: 0x35, JSET: 0x45 };

/** What a filter answers to a call with arguments that are all 0 (struct seccomp_data). */
function answer(program: Buffer, architecture: number, call: number): number {
  const data = Buffer.alloc(DATA_SIZE);
  data.writeUInt32LE(call, 0);
  data.writeUInt32LE(architecture, 4);
  let accumulator = 0;
  for (let at = 0; at < program.length; at += INSTRUCTION) {
    const code = program.readUInt16LE(at);
    const value = program.readUInt32LE(at + 4);
    if (code === BPF.RETURN) return value;
    if (code === BPF.LOAD) accumulator = data.readUInt32LE(value);
    else if (code === BPF.AND) accumulator = (accumulator & value) >>> 0;
    else if (code === BPF.JUMP) at += value * INSTRUCTION;
    else at += program.readUInt8(at + (holds(code, accumulator, value) ? 2 : 3)) * INSTRUCTION;
  }
  throw new Error('the program does not return');
}

function holds(code: number, accumulator: number, value: number): boolean {
  if (code === BPF.JEQ) return accumulator === value;
  if (code === BPF.JGT) return accumulator > value;
  if (code === BPF.JGE) return accumulator >= value;
  if (code === BPF.JSET) return (accumulator & value) !== 0;
  throw new Error(`unknown instruction ${code}`);
}

const EPERM = ACTION.ERRNO | 1;
const ENOSYS = ACTION.ERRNO | 38;

describe('container: the system call filter of 64-bit Arm', () => {
  const CALLS: readonly [what: string, architecture: number, call: number, answer: number][] = [
    ['openat', AARCH64, 56, ACTION.ALLOW],
    ['keyctl', AARCH64, ARCHITECTURES.arm64.SYS.keyctl, EPERM],
    ['seccomp', AARCH64, ARCHITECTURES.arm64.SYS.seccomp, ACTION.ALLOW],
    ['one that no kernel has yet', AARCH64, 599, ENOSYS],
    ['open, of 32 bits', ARM, 5, ACTION.ALLOW],
    ['keyctl, of 32 bits', ARM, 311, EPERM],
    ['cacheflush, which is the machine’s own', ARM, 0xf0002, ACTION.ALLOW],
    ['set_tls, which is the machine’s own', ARM, 0xf0005, ACTION.ALLOW],
    ['one of 32 bits that no kernel has yet', ARM, 599, ENOSYS],
  ];
  for (const [what, architecture, call, expected] of CALLS) {
    it(what, () => {
      const { program } = compileSeccomp(defaultSeccomp(DEFAULT_CAPABILITIES, ARCHITECTURES.arm64));
      assert.equal(answer(program, architecture, call).toString(16), expected.toString(16));
    });
  }
});
