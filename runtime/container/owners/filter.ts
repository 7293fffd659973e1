/**
 * The filter that asks about `calls.ts` and lets everything else pass.
 *
 * Rule: it stands beside the container's own filter; of the two answers the kernel takes the stricter one, and "asks"
 * is weaker than an error: what the profile refuses is not asked about (seccomp(2), "Filter return values").
 */
import { ARCHITECTURES, type ArchitectureName } from '../../../fs/sys/architecture.js';
import { BPF, DATA, encode, type Instruction, VERDICT } from '../bpf.js';
import { OWNER_CALLS, type OwnerCall } from './calls.js';

/** The ids that exist in the namespace. */
export interface MappedIds {
  readonly uid: number;
  readonly gid: number;
}

/** The id that means "keep". */
export const KEEP = 0xffffffff;

const ALLOW: Instruction = [BPF.RET, 0, 0, VERDICT.ALLOW];
const ASK: Instruction = [BPF.RET, 0, 0, VERDICT.ASK];

/** The program: an array of struct sock_filter. */
export function ownerFilter(mapped: MappedIds, architecture: ArchitectureName): Buffer {
  const calls = OWNER_CALLS.flatMap((call) => {
    const number = call.numbers[architecture];
    return number === undefined ? [] : oneCall(number, call, mapped);
  });
  return encode([
    [BPF.LOAD, 0, 0, DATA.ARCH],
    [BPF.JEQ, 1, 0, ARCHITECTURES[architecture].audit],
    ALLOW,
    [BPF.LOAD, 0, 0, DATA.CALL],
    ...calls,
    ALLOW,
  ]);
}

/** Asks about a call; about chown(2), only if an id is neither the mapped one nor "keep". Other calls fall through. */
function oneCall(number: number, { chown }: OwnerCall, { uid, gid }: MappedIds): Instruction[] {
  const check = (index: number, mapped: number): Instruction[] => [
    [BPF.LOAD, 0, 0, DATA.argument(index)],
    [BPF.JEQ, 2, 0, mapped],
    [BPF.JEQ, 1, 0, KEEP],
    ASK,
  ];
  const body =
    chown === undefined ? [ASK] : [...check(chown.owner, uid), ...check(chown.owner + 1, gid), ALLOW];
  return [[BPF.JEQ, 0, body.length, number], ...body];
}
