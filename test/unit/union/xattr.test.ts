/**
 * Protects the union's own marks: no user sees or sets one, and any name a user sets, these included, comes back
 * under the name it was set by. Compare ovl_own_xattr_get and ovl_xattr_escape_name in fs/overlayfs/xattrs.c.
 */
import { assert } from 'chai';
import {
  CONTAINERS_OVERRIDE,
  OLDER_OVERRIDE,
  type OverrideXattr,
  PRIVILEGED_OVERRIDE,
} from '../../../fs/union/layers/owner-xattrs.js';
import { escapeXattr, unescapeXattr } from '../../../fs/union/owners/xattr-names.js';
import { Random } from '../../support/random.js';

const SEED = 17;
const DRAWN = 5000;

/** A user's name, and what a layer holds for it. */
const STORED: readonly [user: string, layer: string][] = [
  ['user.a', 'user.a'],
  ['security.capability', 'security.capability'],
  ['system.posix_acl_access', 'system.posix_acl_access'],
  ['trusted.overlay', 'trusted.overlay'],
  ['trusted.overlayx.opaque', 'trusted.overlayx.opaque'],
  ['user.overlay', 'user.overlay'],
  ['trusted.overlay.opaque', 'trusted.overlay.overlay.opaque'],
  ['trusted.overlay.', 'trusted.overlay.overlay.'],
  ['user.overlay.whiteout', 'user.overlay.overlay.whiteout'],
  ['user.fuseoverlayfs.opaque', 'user.fuseoverlayfs.fuseoverlayfs.opaque'],
  ['user.containers.override_stat', 'user.containers.containers.override_stat'],
  ['security.fuseoverlayfs.override_stat', 'security.fuseoverlayfs.fuseoverlayfs.override_stat'],
  ['trusted.overlay.overlay.opaque', 'trusted.overlay.overlay.overlay.opaque'],
  ['user.overlay.fuseoverlayfs.x', 'user.overlay.overlay.fuseoverlayfs.x'],
  ['trusted.overlay.opaque\xff', 'trusted.overlay.overlay.opaque\xff'],
];

const PRIVATE = [
  'trusted.overlay.opaque',
  'trusted.overlay.redirect',
  'trusted.overlay.origin',
  'trusted.overlay.overlayx',
  'trusted.overlay.',
  'user.overlay.opaque',
  'user.overlay.whiteout',
  'user.fuseoverlayfs.opaque',
  'user.fuseoverlayfs.overlay.x',
  'user.containers.override_stat',
  'user.containers.override_security.capability',
  'security.fuseoverlayfs.override_stat',
];

/** Where an attribute keeps owners: a user's name, what a layer holds for it, and what it holds for the host. */
const KEPT: readonly [OverrideXattr, user: string, layer: string][] = [
  [CONTAINERS_OVERRIDE, 'security.capability', 'user.containers.override_security.capability'],
  [CONTAINERS_OVERRIDE, 'system.posix_acl_access', 'user.containers.override_system.posix_acl_access'],
  [
    PRIVILEGED_OVERRIDE,
    'system.posix_acl_default',
    'security.fuseoverlayfs.override_system.posix_acl_default',
  ],
  [OLDER_OVERRIDE, 'system.posix_acl_access', 'user.fuseoverlayfs.override_system.posix_acl_access'],
];

/** Names made of the parts that matter. */
function draw(random: Random): string {
  const parts = ['trusted.', 'user.', 'overlay.', 'fuseoverlayfs.', 'opaque', 'overlay', '.', 'x'];
  return Array.from({ length: 1 + random.below(5) }, () => random.pick(parts)).join('');
}

describe('union/xattr: names', () => {
  for (const [user, layer] of STORED) {
    it(`"${user}" is stored as "${layer}"`, () => {
      assert.strictEqual(escapeXattr(user), layer);
      assert.strictEqual(unescapeXattr(layer), user);
    });
  }

  for (const [override, user, layer] of KEPT) {
    it(`"${user}" is stored as "${layer}" beside "${override}", and what has its name is the host's`, () => {
      assert.strictEqual(escapeXattr(user, override), layer);
      assert.strictEqual(unescapeXattr(layer, override), user);
      assert.isUndefined(unescapeXattr(user, override));
      assert.isUndefined(unescapeXattr(layer));
      assert.notStrictEqual(escapeXattr(layer, override), layer);
    });
  }

  for (const name of PRIVATE) {
    it(`"${name}" in a layer is the union's own`, () => {
      assert.isUndefined(unescapeXattr(name));
    });
  }

  it('come back as they were set, and no two are stored alike', () => {
    const random = new Random(SEED);
    const stored = new Map<string, string>();
    for (let drawn = 0; drawn < DRAWN; drawn++) {
      const name = draw(random);
      const layer = escapeXattr(name);
      assert.strictEqual(unescapeXattr(layer), name);
      assert.strictEqual(stored.get(layer) ?? name, name);
      stored.set(layer, name);
    }
  });

  it('of a layer are shown under a name that leads back to them, or are private', () => {
    const random = new Random(SEED);
    for (let drawn = 0; drawn < DRAWN; drawn++) {
      const layer = draw(random);
      const user = unescapeXattr(layer);
      if (user !== undefined) assert.strictEqual(escapeXattr(user), layer);
    }
  });
});
