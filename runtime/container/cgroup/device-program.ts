/**
 * Device rules as a BPF program (control groups version 2 has no file for them).
 *
 * Rule: it decides as `isAllowed` does: from the last rule to the first, until each requested access is decided. Compare bpf_cgroup_dev_ctx of linux/bpf.h, runc's devicefilter, crun's ebpf.c.
 */
import { ALL_ACCESS, type DeviceRule } from './device-rules.js';

/** struct bpf_insn: opcode, registers, offset, constant; little endian, as all supported architectures are. */
type Instruction = readonly [code: number, target: number, source: number, offset: number, value: number];

const OP = {
  LOAD_WORD: 0x61,
  COPY: 0xbc,
  SET: 0xb7,
  AND: 0x54,
  SHIFT_RIGHT: 0x74,
  JUMP: 0x05,
  JUMP_IF_NOT: 0x56,
  JUMP_IF_BITS: 0x46,
  EXIT: 0x95,
} as const;

/** Registers: the result, the context, and the request. */
const R = { VERDICT: 0, CONTEXT: 1, ACCESS: 2, TYPE: 3, MAJOR: 4, MINOR: 5 } as const;
const TYPES = { b: 1, c: 2 } as const;
const LOW_HALF = 0xffff;
const HALF = 16;
const SIZEOF_INSTRUCTION = 8;

const verdict = (value: 0 | 1): Instruction[] => [
  [OP.SET, R.VERDICT, 0, 0, value],
  [OP.EXIT, 0, 0, 0, 0],
];

/** access_type contains access and type; major and minor follow it. */
const PROLOGUE: readonly Instruction[] = [
  [OP.LOAD_WORD, R.ACCESS, R.CONTEXT, 0, 0],
  [OP.COPY, R.TYPE, R.ACCESS, 0, 0],
  [OP.AND, R.TYPE, 0, 0, LOW_HALF],
  [OP.SHIFT_RIGHT, R.ACCESS, 0, 0, HALF],
  [OP.LOAD_WORD, R.MAJOR, R.CONTEXT, 4, 0],
  [OP.LOAD_WORD, R.MINOR, R.CONTEXT, 8, 0],
];

/** A jump's offset is the number of instructions to skip. */
function decision({ allow, access }: DeviceRule): Instruction[] {
  if (!allow) return [[OP.JUMP_IF_BITS, R.ACCESS, 0, 1, access], [OP.JUMP, 0, 0, 2, 0], ...verdict(0)];
  return [[OP.AND, R.ACCESS, 0, 0, ALL_ACCESS & ~access], [OP.JUMP_IF_NOT, R.ACCESS, 0, 2, 0], ...verdict(1)];
}

function block(rule: DeviceRule): Instruction[] {
  const { type, major, minor } = rule;
  const conditions = [
    [R.TYPE, type === undefined ? undefined : TYPES[type]],
    [R.MAJOR, major],
    [R.MINOR, minor],
  ] as const;
  const given = conditions.flatMap(([register, value]) => (value === undefined ? [] : [{ register, value }]));
  const body = decision(rule);
  const checks = given.map(({ register, value }, index): Instruction => {
    const skipped = given.length - index - 1 + body.length;
    return [OP.JUMP_IF_NOT, register, 0, skipped, value];
  });
  return [...checks, ...body];
}

export function deviceProgram(rules: readonly DeviceRule[]): Buffer {
  const instructions = [...PROLOGUE, ...[...rules].reverse().flatMap(block), ...verdict(0)];
  const program = Buffer.alloc(instructions.length * SIZEOF_INSTRUCTION);
  instructions.forEach(([code, target, source, offset, value], index) => {
    const at = index * SIZEOF_INSTRUCTION;
    program.writeUInt8(code, at);
    program.writeUInt8((source << 4) | target, at + 1);
    program.writeInt16LE(offset, at + 2);
    program.writeInt32LE(value | 0, at + 4);
  });
  return program;
}
