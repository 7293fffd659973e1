/**
 * Rights that a server without root's privileges lends itself.
 *
 * Rules: the kernel has checked the caller's rights (default_permissions). The layer's filesystem checks the server's,
 * which without privileges are those of an owner. Where these forbid what the caller may do (a copy goes into a directory
 * of mode 0555, a directory of mode 0555 changes its parent, a mark is set on a file of mode 0444), the inode in upper or
 * work gets the rights of its owner for the moment of that system call. It is tried without first; nobody else gets any
 * right; what cannot be given back is not lent; lower layers are never touched. Compare ovl_override_creds, which
 * serves a mounter with CAP_DAC_OVERRIDE.
 */
import { O, S } from '../../sys/constants.js';
import { E, unless } from '../../sys/errno.js';
import { isDirectory, isRegular, type Stat } from '../../sys/stat.js';
import { close, fchmodat, fstat, openat, statat } from '../../sys/syscalls.js';
import { finish } from '../rules/finish.js';
import type { Place } from './place.js';

const DIRECTORY_RIGHTS = 0o700;
const FILE_RIGHTS = 0o600;
const REFUSED = [E.EACCES];
const GIVING_BACK = 'giving a mode back';

/** Does what may be refused for the modes of some of these inodes, which lie in upper or work. */
export function withOwnersRights<T>(inodes: readonly Place[], action: () => T): T {
  const done = unless(REFUSED, () => ({ result: action() }));
  if (done !== undefined) return done.result;
  const loans: Loan[] = [];
  try {
    for (const inode of inodes) {
      const loan = lend(inode);
      if (loan !== undefined) loans.push(loan);
    }
    return action();
  } finally {
    for (const { giveBack, release } of loans.reverse()) {
      if (!finish(GIVING_BACK, giveBack)) finish(GIVING_BACK, giveBack);
      release();
    }
  }
}

/** What was lent, wherever the inode is by then. */
interface Loan {
  readonly giveBack: () => void;
  readonly release: () => void;
}

/** Adds the owner's rights to a mode. */
function lend({ dirfd, name }: Place): Loan | undefined {
  const stat = name === '' ? fstat(dirfd) : statat(dirfd, name);
  if (stat === undefined || !mayLend(stat)) return undefined;
  const mode = stat.mode & ~S.IFMT;
  const lent = mode | (isDirectory(stat.mode) ? DIRECTORY_RIGHTS : FILE_RIGHTS);
  if (lent === mode) return undefined;
  const fd = name === '' ? dirfd : openat(dirfd, name, O.PATH | O.NOFOLLOW);
  const release = (): void => {
    if (fd !== dirfd) close(fd);
  };
  const changed = unless([E.EPERM], () => {
    fchmodat(fd, '', lent);
    return true;
  });
  if (changed === undefined) {
    release();
    return undefined;
  }
  return { giveBack: () => fchmodat(fd, '', mode), release };
}

/** chmod(2) by an owner who is not in the file's group clears set-group-id permanently. */
function mayLend({ mode, uid, gid }: Stat): boolean {
  if (uid !== process.geteuid?.() || !(isDirectory(mode) || isRegular(mode))) return false;
  return (
    (mode & S.ISGID) === 0 || gid === process.getegid?.() || process.getgroups?.().includes(gid) === true
  );
}
