/**
 * The filter that asks about `owner-calls.ts` and lets everything else pass.
 *
 * Rule: it stands beside the container's own filter; of the two answers the kernel takes the stricter one, and "asks"
 * is weaker than an error: what the profile refuses is not asked about (seccomp(2), "Filter return values").
 */
import { type Architecture, AUDIT_ARCH, BPF, DATA, encode, type Instruction, VERDICT } from './bpf.js';
import { OWNER_CALLS, type OwnerCall } from './owner-calls.js';

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
export function ownerFilter(mapped: MappedIds, architecture: Architecture): Buffer {
  const calls = OWNER_CALLS.flatMap((call) => {
    const number = call.numbers[architecture];
    return number === undefined ? [] : oneCall(number, call, mapped);
  });
  return encode([
    [BPF.LOAD, 0, 0, DATA.ARCH],
    [BPF.JEQ, 1, 0, AUDIT_ARCH[architecture]],
    ALLOW,
    [BPF.LOAD, 0, 0, DATA.CALL],
    ...calls,
    ALLOW,
  ]);
}

/** Asks if any id of the call is neither the mapped one nor "keep"; other calls fall through. */
function oneCall(number: number, { ids }: OwnerCall, mapped: MappedIds): Instruction[] {
  const checks = ids.flatMap(({ index, kind }): Instruction[] => [
    [BPF.LOAD, 0, 0, DATA.argument(index)],
    [BPF.JEQ, 2, 0, mapped[kind]],
    [BPF.JEQ, 1, 0, KEEP],
    ASK,
  ]);
  const body = [...checks, ids.length === 0 ? ASK : ALLOW];
  return [[BPF.JEQ, 0, body.length, number], ...body];
}
