/**
 * Answers the calls that return or change ids of a process, by its virtual identity.
 *
 * Rule: the kernel answers for a process that never changed its ids.
 */
import { E, Errno } from '../../../fs/sys/errno.js';
import {
  type Answer,
  type Notification,
  word,
  wordsAt,
  writeWordsAt,
} from '../../../fs/sys/seccomp-notify.js';
import { capabilityMask } from '../../host/capabilities.js';
import type { Identities } from './identities.js';
import { changed, type Identity, idFor, idsFor, withGroups } from './identity.js';

const CAP_SETUID = capabilityMask(['CAP_SETUID']);
const CAP_SETGID = capabilityMask(['CAP_SETGID']);
const MAX_GROUPS = 65536;
const MAX_ARGUMENTS = 3;

/** The answer to a call. Throws Errno as the call would. */
export function answerIdentity(identities: Identities, notification: Notification, call: string): Answer {
  if (call.startsWith('get')) {
    const identity = identities.of(notification.tid);
    return identity === undefined ? 'continue' : tell(notification, call, identity);
  }
  const { identity, capabilities } = identities.before(notification.tid);
  if (call === 'setfsuid') return { result: identity.uid[1] };
  if (call === 'setfsgid') return { result: identity.gid[1] };
  const capability = call.endsWith('uid') ? CAP_SETUID : CAP_SETGID;
  const capable = (capabilities & capability) !== 0n;
  identities.set(notification.tid, change(notification, call, identity, capable));
  return { result: 0 };
}

function change(notification: Notification, call: string, identity: Identity, capable: boolean): Identity {
  if (call === 'setgroups') return withGroups(identity, groupsOf(notification), capable);
  const args = Array.from({ length: MAX_ARGUMENTS }, (_, index) => word(notification, index));
  return changed(identity, call, args, capable) ?? identity;
}

function groupsOf(notification: Notification): number[] {
  const count = word(notification, 0);
  if (count > MAX_GROUPS) throw new Errno(E.EINVAL);
  return wordsAt(notification.tid, notification.args[1] ?? 0n, count);
}

function tell({ tid, args }: Notification, call: string, identity: Identity): Answer {
  const id = idFor(identity, call);
  if (id !== undefined) return { result: id };
  const ids = idsFor(identity, call);
  if (ids !== undefined) {
    for (const [index, value] of ids.entries()) writeWordsAt(tid, args[index] ?? 0n, [value]);
    return { result: 0 };
  }
  const { groups } = identity;
  if (groups === undefined) return 'continue';
  const room = Number((args[0] ?? 0n) & 0xffffffffn);
  if (room > 0 && room < groups.length) throw new Errno(E.EINVAL);
  if (room > 0) writeWordsAt(tid, args[1] ?? 0n, groups);
  return { result: groups.length };
}
