/**
 * Device programs of control groups: bpf(2), BPF_PROG_TYPE_CGROUP_DEVICE.
 *
 * Rule: a program is attached in addition to those of parent groups (BPF_F_ALLOW_MULTI); all must allow an access. It is
 * removed with its group. Compare include/uapi/linux/bpf.h and runc's libcontainer/cgroups/devices/ebpf_linux.go.
 */
import { Errno } from './errno.js';
import { HERE } from './machine.js';
import { allocate, errno, native } from './native.js';

const COMMAND = { PROG_LOAD: 5, PROG_ATTACH: 8 } as const;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
const BPF_F_ALLOW_MULTI = 2;
const SIZEOF_INSTRUCTION = 8;
/** As much of union bpf_attr as is filled. */
const SIZEOF_LOAD = 72;
const SIZEOF_ATTACH = 16;
const EXPECTED_ATTACH_TYPE = 68;

const attributes = allocate(SIZEOF_LOAD);
const license = allocate(4);
license.bytes.write('GPL\0', 'latin1');

function bpf(command: keyof typeof COMMAND, size: number): number {
  const result = native.syscallPath(HERE.SYS.bpf, COMMAND[command], attributes.address, size, null, 0);
  if (result < 0) throw new Errno(errno(), 'bpf');
  return result;
}

/** Loads an array of struct bpf_insn; the program's descriptor. Throws `Errno` EPERM without CAP_BPF or CAP_SYS_ADMIN. */
export function loadDeviceProgram(instructions: Buffer): number {
  const memory = allocate(instructions.length);
  instructions.copy(memory.bytes);
  const { bytes } = attributes;
  bytes.fill(0);
  bytes.writeUInt32LE(BPF_PROG_TYPE_CGROUP_DEVICE, 0);
  bytes.writeUInt32LE(instructions.length / SIZEOF_INSTRUCTION, 4);
  bytes.writeBigUInt64LE(BigInt(memory.address), 8);
  bytes.writeBigUInt64LE(BigInt(license.address), 16);
  bytes.writeUInt32LE(BPF_CGROUP_DEVICE, EXPECTED_ATTACH_TYPE);
  return bpf('PROG_LOAD', SIZEOF_LOAD);
}

/** Lets a program decide for the group whose directory `group` is open on. */
export function attachDeviceProgram(program: number, group: number): void {
  const { bytes } = attributes;
  bytes.fill(0);
  [group, program, BPF_CGROUP_DEVICE, BPF_F_ALLOW_MULTI].forEach((value, index) => {
    bytes.writeUInt32LE(value, index * 4);
  });
  bpf('PROG_ATTACH', SIZEOF_ATTACH);
}
