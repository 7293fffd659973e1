/**
 * What the merged view shows under a name, given what each layer holds: a pure function, no I/O, no Node.
 *
 * Compare ovl_lookup in fs/overlayfs/namei.c.
 */

export type Kind = 'file' | 'symlink' | 'special';
/** A deleted name: a 0/0 character device, a `.wh.NAME` beside it, or an overlay.whiteout xattr on an empty file. */
export type WhiteoutForm = 'device' | 'dot-wh' | 'xattr';
/** A directory that does not merge with those below: an xattr, a `.wh..wh..opq` inside, or a `.wh.NAME` beside it. */
export type OpaqueForm = 'xattr' | 'dot-wh-opq' | 'dot-wh';

/** What one layer holds under one name. */
export type LayerEntry =
  | { readonly is: 'absent' }
  | { readonly is: 'whiteout'; readonly form: WhiteoutForm }
  | {
      readonly is: 'directory';
      readonly opaque?: OpaqueForm;
      /** Where its lower directories are: an absolute path, or another name in the same parent. */
      readonly redirect?: string;
    }
  | { readonly is: Kind };

export const ABSENT: LayerEntry = { is: 'absent' };

/** What ended the search downwards, and in which layer. */
export interface Cover {
  readonly layer: number;
  readonly why: 'nondirectory' | 'whiteout' | 'opaque' | 'covered by a directory';
}

/** What the merged view shows. Layers are numbered from the top. */
export type View =
  | { readonly shows: 'nothing'; readonly cover?: Cover }
  | { readonly shows: Kind; readonly layer: number; readonly cover: Cover }
  | { readonly shows: 'directory'; readonly layers: readonly number[]; readonly cover?: Cover };

/**
 * Merges what layers hold, the top one first; the first is numbered `from`. Entries are only taken as far down as the
 * answer depends on them, so they may be fetched lazily.
 *
 * The topmost entry wins. Directories merge with directories below them until an opaque one, a whiteout or another
 * kind of entry ends the merge.
 */
export function merge(entries: Iterable<LayerEntry>, from = 0): View {
  const layers: number[] = [];
  const directory = (cover: Cover): View =>
    layers.length === 0 ? { shows: 'nothing', cover } : { shows: 'directory', layers, cover };
  let layer = from - 1;
  for (const entry of entries) {
    layer++;
    if (entry.is === 'absent') continue;
    if (entry.is === 'whiteout') return directory({ layer, why: 'whiteout' });
    if (entry.is !== 'directory') {
      if (layers.length > 0) return directory({ layer, why: 'covered by a directory' });
      return { shows: entry.is, layer, cover: { layer, why: 'nondirectory' } };
    }
    layers.push(layer);
    if (entry.opaque !== undefined) return directory({ layer, why: 'opaque' });
  }
  return layers.length === 0 ? { shows: 'nothing' } : { shows: 'directory', layers };
}
