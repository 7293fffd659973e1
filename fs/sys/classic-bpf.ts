/**
 * Classic BPF programs for seccomp(2): struct sock_filter, struct seccomp_data.
 *
 * Rule: little endian, as both supported architectures are.
 */

/** Load a word of struct seccomp_data, mask it, compare it, return. */
export const BPF = {
  LOAD: 0x20,
  AND: 0x54,
  JEQ: 0x15,
  JGT: 0x25,
  JGE: 0x35,
  JSET: 0x45,
  RET: 0x06,
} as const;

const SIZEOF_ARGUMENT = 8;
/** SECCOMP_RET_USER_NOTIF, SECCOMP_RET_ALLOW. */
export const VERDICT = { ASK: 0x7fc00000, ALLOW: 0x7fff0000 } as const;

/** Offsets in struct seccomp_data; of an argument, its low half. */
export const DATA = {
  CALL: 0,
  ARCH: 4,
  argument: (index: number): number => 16 + index * SIZEOF_ARGUMENT,
} as const;

/** A jump's offset is the number of instructions to skip. */
export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number];

const SIZEOF_INSTRUCTION = 8;

export function encode(instructions: readonly Instruction[]): Buffer {
  const program = Buffer.alloc(instructions.length * SIZEOF_INSTRUCTION);
  instructions.forEach(([code, ifTrue, ifFalse, value], index) => {
    const at = index * SIZEOF_INSTRUCTION;
    program.writeUInt16LE(code, at);
    program.writeUInt8(ifTrue, at + 2);
    program.writeUInt8(ifFalse, at + 3);
    program.writeUInt32LE(value, at + 4);
  });
  return program;
}
