/**
 * The filter that asks about `calls.ts` and lets everything else pass.
 *
 * Rule: it stands beside the container's own filter; of the two answers the kernel takes the stricter one, and "asks"
 * is weaker than an error: what the profile refuses is not asked about (seccomp(2), "Filter return values").
 */
import { ARCHITECTURES, type ArchitectureName } from '../../../fs/sys/architecture.js';
import { S } from '../../../fs/sys/constants.js';
import { BPF, DATA, encode, type Instruction, VERDICT } from '../process/bpf.js';
import { type ChownForm, type MknodForm, OWNER_CALLS, type OwnerCall } from './calls.js';

/** The ids that exist in the namespace. */
export interface MappedIds {
  readonly uid: number;
  readonly gid: number;
}

/** The id that means "keep". */
export const KEEP = 0xffffffff;
/** Who is nobody's root gives nothing away, and need not be told what was. */
const ROOT = 0;

const ALLOW: Instruction = [BPF.RET, 0, 0, VERDICT.ALLOW];
const ASK: Instruction = [BPF.RET, 0, 0, VERDICT.ASK];

/** Whether a chown(2) names nothing but ids that exist, or "keep": the kernel can do it. */
export const isMapped = (mapped: MappedIds, uid: number, gid: number): boolean =>
  [mapped.uid, KEEP].includes(uid) && [mapped.gid, KEEP].includes(gid);

/**
 * The program: an array of struct sock_filter.
 * @param everyChown asks about those, too, that the kernel can do, because nobody else hears of them
 */
export function ownerFilter(mapped: MappedIds, architecture: ArchitectureName, everyChown: boolean): Buffer {
  const asked = OWNER_CALLS.filter(({ stat }) => stat === undefined || mapped.uid === ROOT);
  const calls = asked.flatMap((call) => {
    const number = call.numbers[architecture];
    return number === undefined ? [] : oneCall(number, call, everyChown ? undefined : mapped);
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

/** Asks about a call if its arguments make that necessary. Other calls fall through. */
function oneCall(
  number: number,
  { chown, stat, mknod }: OwnerCall,
  mapped: MappedIds | undefined,
): Instruction[] {
  let body: Instruction[] = [ASK];
  if (chown !== undefined && mapped !== undefined) body = aboutChown(chown, mapped);
  else if (stat?.mask !== undefined) body = aboutStatx(stat.mask);
  else if (mknod !== undefined) body = aboutMknod(mknod);
  return [[BPF.JEQ, 0, body.length, number], ...body];
}

/** An id is neither the mapped one nor "keep". */
function aboutChown({ owner }: ChownForm, { uid, gid }: MappedIds): Instruction[] {
  const check = (index: number, mapped: number): Instruction[] => [
    [BPF.LOAD, 0, 0, DATA.argument(index)],
    [BPF.JEQ, 2, 0, mapped],
    [BPF.JEQ, 1, 0, KEEP],
    ASK,
  ];
  return [...check(owner, uid), ...check(owner + 1, gid), ALLOW];
}

/** Owners are wanted. */
const aboutStatx = (mask: number): Instruction[] => [
  [BPF.LOAD, 0, 0, DATA.argument(mask)],
  [BPF.JSET, 0, 1, STATX_OWNER],
  ASK,
  ALLOW,
];

/** STATX_UID, STATX_GID. */
const STATX_OWNER = 0x18;

/** It is a device that is to be made. */
const aboutMknod = ({ mode }: MknodForm): Instruction[] => [
  [BPF.LOAD, 0, 0, DATA.argument(mode)],
  [BPF.AND, 0, 0, S.IFMT],
  [BPF.JEQ, 1, 0, S.IFCHR],
  [BPF.JEQ, 0, 1, S.IFBLK],
  ASK,
  ALLOW,
];
