/**
 * Removes images: `rmi` and `prune`.
 *
 * Rules, as docker's: of several names only the given one is removed; the last name, or an ID, means the image. An image
 * with several names is not removed by its ID, nor one that a lease says is in use, except with --force. Even then leased
 * layers stay. Only leases say who uses what (`leases.ts`).
 */
import { UsageError } from '../../../fs/index.js';
import type { StoredImage } from '../oci.js';
import { familiar, formatReference, hexOf, parseReference, withDefaultTag } from '../reference.js';
import type { DamagedImage } from './layout.js';
import { readLeases } from './leases.js';
import type { Choice, Removable, Removal, Store } from './store.js';

/** Removes an image or one of its names. Throws `UsageError`. */
export async function removeImage(store: Store, text: string, force: boolean): Promise<Removal> {
  return store.remove(({ damaged }) => {
    const broken = damaged.find((one) => isMeant(one, text));
    if (broken !== undefined) return choiceOf(broken, fullName(text));
    const image = store.find(text);
    const name = image.names.find((full) => full === fullName(text));
    if (!force && (name === undefined || image.names.length === 1)) refuse(store, image, text, name);
    return choiceOf(image, name);
  });
}

/** A name of an image with several, or the image. */
function choiceOf(image: Removable, name: string | undefined): Choice {
  const isOneOfSeveral = name !== undefined && image.names.includes(name) && image.names.length > 1;
  return isOneOfSeveral ? { names: [name], images: [] } : { names: [], images: [image] };
}

/** Whether `text` is a name or the manifest digest of an unreadable image. */
const isMeant = ({ names, manifestDigest }: DamagedImage, text: string): boolean =>
  names.some((full) => full === fullName(text)) ||
  (/^(sha256:)?[0-9a-f]{12,64}$/.test(text) && hexOf(manifestDigest).startsWith(text.replace('sha256:', '')));

/** Removes the images that nobody uses: those without a name, or all. */
export async function pruneImages(store: Store, all: boolean): Promise<Removal> {
  return store.remove(({ images }): Choice => {
    const used = new Set(readLeases(store.root).leases.map(({ image }) => image));
    const unused = images.filter(({ id, names }) => !used.has(id) && (all || names.length === 0));
    return { names: [], images: unused };
  });
}

function refuse(store: Store, image: StoredImage, text: string, name: string | undefined): void {
  const user = readLeases(store.root).leases.find((lease) => lease.image === image.id)?.holder;
  if (user !== undefined) {
    throw new UsageError(
      `${user.kind} "${user.name}" uses image "${text}"; remove the ${user.kind} first, or use --force`,
    );
  }
  if (name === undefined && image.names.length > 1) {
    const names = image.names.map((full) => `"${familiar(full)}"`).join(', ');
    throw new UsageError(
      `image "${text}" has several names: ${names}; remove them one by one, or use --force`,
    );
  }
}

/** The stored form of a typed name; undefined if it is not a valid name. */
function fullName(text: string): string | undefined {
  try {
    return formatReference(withDefaultTag(parseReference(text)));
  } catch {
    return undefined;
  }
}
