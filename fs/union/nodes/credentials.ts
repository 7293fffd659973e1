/**
 * As whom the serving thread makes inodes: its filesystem ids and its umask, which are a thread's own.
 *
 * Rule: the thread's capabilities stay (SECBIT_NO_SETUID_FIXUP): the kernel has checked access already
 * (default_permissions). Compare ovl_override_creds and ovl_create_or_link in fs/overlayfs.
 */
import type { Caller } from '../../protocol/filesystem.js';
import { E, Errno } from '../../sys/errno.js';
import { setfsgid, setfsuid, umask } from '../../sys/syscalls.js';
import { diskOwner, type Owner, type Ownership, squashes } from '../owners/id-mapping.js';

/** The umask of what is made for the union itself: its modes are meant as they are. */
export const NO_MASK = 0;

export class Credentials {
  readonly #ownership: Ownership | undefined;
  #uid = process.geteuid?.();
  #gid = process.getegid?.();
  #umask = -1;

  constructor(ownership: Ownership | undefined) {
    this.#ownership = ownership;
  }

  /**
   * Makes the next inode that this thread creates belong to `caller`.
   * @returns the caller's group, if this thread belongs to it and may not act for it: the inode is to be given to it
   * @throws Errno EPERM where the server may make nobody else's files; EOVERFLOW where the caller has no id
   */
  actAs(caller: Caller): number | undefined {
    const { uid, gid } = this.ownerFor(caller);
    const refusedIsFine = squashes(this.#ownership);
    if (uid !== this.#uid) {
      if (setfsuid(uid)) this.#uid = uid;
      else if (!refusedIsFine) throw this.#refusal('setfsuid');
    }
    if (gid === this.#gid) return undefined;
    if (setfsgid(gid)) this.#gid = gid;
    else if (!refusedIsFine) {
      if (process.getgroups?.().includes(gid) === true) return gid;
      throw this.#refusal('setfsgid');
    }
    return undefined;
  }

  #refusal(call: string): Errno {
    return new Errno(process.geteuid?.() === 0 ? E.EOVERFLOW : E.EPERM, call);
  }

  /** Who owns on disk what the caller makes. */
  ownerFor(caller: Caller): Owner {
    return this.#ownership === undefined ? caller : diskOwner(this.#ownership, caller);
  }

  /** Makes `mask` the umask of the next creation; the layer's filesystem lets a default ACL override it. */
  mask(mask: number): void {
    if (mask === this.#umask) return;
    umask(mask);
    this.#umask = mask;
  }
}
