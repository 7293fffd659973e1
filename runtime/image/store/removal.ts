/**
 * Removes images: `rmi` and `prune`.
 *
 * Rules, as docker's: of several names only the given one is removed; the last name, or an ID, means the image. An image
 * with several names is not removed by its ID, nor one that a container uses, except with --force. Even then the layers of
 * a container stay until it is removed.
 */
import { UsageError } from '../../../fs/index.js';
import { listRecords } from '../../container/records/containers.js';
import type { StoredImage } from '../oci.js';
import { familiar, formatReference, hexOf, parseReference, withDefaultTag } from '../reference.js';
import type { DamagedImage } from './layout.js';
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

/** Removes the images that no container uses: those without a name, or all. */
export async function pruneImages(store: Store, all: boolean): Promise<Removal> {
  return store.remove(({ images }): Choice => {
    const used = new Set(listRecords(store.root).map(({ image }) => image.id));
    const unused = images.filter(({ id, names }) => !used.has(id) && (all || names.length === 0));
    return { names: [], images: unused };
  });
}

function refuse(store: Store, image: StoredImage, text: string, name: string | undefined): void {
  const user = listRecords(store.root).find((record) => record.image.id === image.id);
  if (user !== undefined) {
    throw new UsageError(
      `container "${user.name}" uses image "${text}"; remove the container first, or use --force`,
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
