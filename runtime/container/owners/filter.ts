/**
 * The seccomp filter that notifies the supervisor about the calls of `calls.ts` and allows all others.
 *
 * Rule: it is loaded in addition to the container's own filter. The kernel uses the stricter result, and USER_NOTIF is
 * weaker than an error, so a call that the profile refuses causes no notification (seccomp(2), "Filter return values").
 */
import { ARCHITECTURES, type ArchitectureName } from '../../../fs/sys/architecture.js';
import { BPF, DATA, encode, type Instruction, VERDICT } from '../../../fs/sys/classic-bpf.js';
import { S } from '../../../fs/sys/constants.js';
import { type ChownForm, type MknodForm, OWNER_CALLS, type OwnerCall } from './calls.js';

/** The ids that exist in the namespace. */
export interface MappedIds {
  readonly uid: number;
  readonly gid: number;
}

/** The id that means "no change". */
export const KEEP = 0xffffffff;
/** Owners are virtual only if the caller is root inside. */
const ROOT = 0;

const ALLOW: Instruction = [BPF.RET, 0, 0, VERDICT.ALLOW];
const ASK: Instruction = [BPF.RET, 0, 0, VERDICT.ASK];

/** Whether a chown(2) has only mapped ids, or "no change": the kernel can do it. */
export const isMapped = (mapped: MappedIds, uid: number, gid: number): boolean =>
  [mapped.uid, KEEP].includes(uid) && [mapped.gid, KEEP].includes(gid);

/**
 * The program: an array of struct sock_filter.
 * @param everyChown also notify about calls that the kernel can do, because recorded owners must be updated
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

/** Notifies about a call if its arguments require it. Other calls fall through. */
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

/** Notifies if an id is neither the mapped one nor "no change". */
function aboutChown({ owner }: ChownForm, { uid, gid }: MappedIds): Instruction[] {
  const check = (index: number, mapped: number): Instruction[] => [
    [BPF.LOAD, 0, 0, DATA.argument(index)],
    [BPF.JEQ, 2, 0, mapped],
    [BPF.JEQ, 1, 0, KEEP],
    ASK,
  ];
  return [...check(owner, uid), ...check(owner + 1, gid), ALLOW];
}

/** Notifies if the mask requests owners. */
const aboutStatx = (mask: number): Instruction[] => [
  [BPF.LOAD, 0, 0, DATA.argument(mask)],
  [BPF.JSET, 0, 1, STATX_OWNER],
  ASK,
  ALLOW,
];

/** STATX_UID, STATX_GID. */
const STATX_OWNER = 0x18;

/** Notifies if a device is to be created. */
const aboutMknod = ({ mode }: MknodForm): Instruction[] => [
  [BPF.LOAD, 0, 0, DATA.argument(mode)],
  [BPF.AND, 0, 0, S.IFMT],
  [BPF.JEQ, 1, 0, S.IFCHR],
  [BPF.JEQ, 0, 1, S.IFBLK],
  ASK,
  ALLOW,
];
