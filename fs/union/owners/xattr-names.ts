/**
 * What an extended attribute is called in a layer, and what users see of it.
 *
 * Rules: the union's own marks (`trusted.overlay.*`, `user.overlay.*`, `user.containers.*` ...) are never shown. Who
 * sets such a name through the mount gets it stored escaped, so that a union's layers can lie inside a union: "x"
 * becomes PREFIX + "overlay.x" (compare ovl_xattr_escape_name in fs/overlayfs/xattrs.c). Where
 * `user.containers.override_stat` keeps owners, `security.*` is kept in `user.containers.override_security.*` (compare
 * encode_xattr_name in fuse-overlayfs). Where any attribute keeps owners and modes, another beside it keeps ACLs: one of
 * the inode's own would be about the server's rights, and what it has there is the host's.
 */
import { isAcl } from '../../sys/constants.js';
import { CONTAINERS_OVERRIDE, COPY_OVERRIDE, type OverrideXattr } from '../layers/owner-xattrs.js';

/** Prefixes of the union's own marks, and what an escaped name has in addition. */
const PRIVATE = [
  { prefix: 'user.containers.', infix: 'containers.' },
  { prefix: 'security.fuseoverlayfs.', infix: 'fuseoverlayfs.' },
  { prefix: 'trusted.overlay.', infix: 'overlay.' },
  { prefix: 'user.overlay.', infix: 'overlay.' },
  { prefix: 'user.fuseoverlayfs.', infix: 'fuseoverlayfs.' },
];

/** Attributes that take a privilege to set, and what is put before them where they are kept without. */
const SECURITY = 'security.';
const KEPT = 'user.containers.override_';

/** What the names of attributes beside one that keeps owners begin with. */
const beside = (override: OverrideXattr): string => override.slice(0, -'stat'.length);

/**
 * The layer's name of an attribute that the user names.
 * @param override how the layer keeps owners
 */
export function escapeXattr(attribute: string, override?: OverrideXattr): string {
  if (override === COPY_OVERRIDE) return attribute;
  if (override === CONTAINERS_OVERRIDE && attribute.startsWith(SECURITY)) return KEPT + attribute;
  if (override !== undefined && isAcl(attribute)) return beside(override) + attribute;
  const own = PRIVATE.find(({ prefix }) => attribute.startsWith(prefix));
  return own === undefined ? attribute : own.prefix + own.infix + attribute.slice(own.prefix.length);
}

/**
 * The user's name of an attribute that a layer holds; undefined if it is the union's own mark.
 * @param override how the layer keeps owners
 */
export function unescapeXattr(attribute: string, override?: OverrideXattr): string | undefined {
  if (override === COPY_OVERRIDE) return attribute === COPY_OVERRIDE ? undefined : attribute;
  if (override !== undefined) {
    if (isAcl(attribute)) return undefined; // the host's
    const kept = beside(override);
    if (attribute.startsWith(kept) && isAcl(attribute.slice(kept.length)))
      return attribute.slice(kept.length);
  }
  if (override === CONTAINERS_OVERRIDE) {
    if (attribute.startsWith(SECURITY)) return undefined; // the host's
    if (attribute.startsWith(KEPT + SECURITY)) return attribute.slice(KEPT.length);
  }
  const own = PRIVATE.find(({ prefix }) => attribute.startsWith(prefix));
  if (own === undefined) return attribute;
  const escaped = own.prefix + own.infix;
  return attribute.startsWith(escaped) ? own.prefix + attribute.slice(escaped.length) : undefined;
}
