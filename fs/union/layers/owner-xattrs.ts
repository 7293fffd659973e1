/** The attributes that keep owners and modes in a layer whose inodes do not (`owners/id-mapping.ts` reads their values). */

/** An attribute that keeps owners. */
export type OverrideXattr =
  | 'security.fuseoverlayfs.override_stat'
  | 'user.containers.override_stat'
  | 'user.fuseoverlayfs.override_stat'
  | 'user.unionfs.owner';

export const PRIVILEGED_OVERRIDE: OverrideXattr = 'security.fuseoverlayfs.override_stat';
export const CONTAINERS_OVERRIDE: OverrideXattr = 'user.containers.override_stat';
/** What fuse-overlayfs before 1.14 wrote. */
export const OLDER_OVERRIDE: OverrideXattr = 'user.fuseoverlayfs.override_stat';

/** In a plain copy of a union (`flatten.ts`). */
export const COPY_OVERRIDE: OverrideXattr = 'user.unionfs.owner';
