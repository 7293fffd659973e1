/**
 * The names of a merged directory, each with a cookie that stays with it.
 *
 * Rule: READDIR carries no handle, so the cookie of a name must not depend on what else comes and goes: names are
 * kept in the order of their cookies, and a cookie is given once. (An index as cookie loses half of the entries of
 * a scandir + unlink loop.) What is made after a reader has begun has a higher cookie than all he will be given, or who
 * renames each name that he reads would never be done; it comes with the next beginning, anybody's.
 */
import type { U64 } from '../../sys/stat.js';

export interface ListedName {
  readonly name: string;
  readonly cookie: number;
  /** File type bits, and the inode number as the topmost layer's directory tells it. */
  type: number;
  ino: U64;
  /** How many of the directory's layers, from the top, do not hold the name. */
  skip: number;
  gone: boolean;
}

/** Cookies 1 and 2 belong to "." and "..". */
const FIRST_COOKIE = 3;
/** Removed names are swept out once they outnumber the present ones by this many. */
const SWEEP_SLACK = 256;

export class Listing {
  #ordered: ListedName[] = [];
  readonly #byName = new Map<string, ListedName>();
  #nextCookie = FIRST_COOKIE;
  /** The last cookie at the most recent start of a listing. */
  #end = Number.POSITIVE_INFINITY;
  /** A layer changed behind the mount's back: merge again at the next look. */
  stale = false;

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): ListedName | undefined {
    return this.#byName.get(name);
  }

  names(): IterableIterator<ListedName> {
    return this.#byName.values();
  }

  /** Adds a name, or corrects what is known of it; its cookie stays. */
  add(name: string, type: number, ino: U64, skip = 0): void {
    const known = this.#byName.get(name);
    if (known !== undefined) {
      known.type = type;
      known.ino = ino;
      known.skip = skip;
      return;
    }
    const listed = { name, cookie: this.#nextCookie++, type, ino, skip, gone: false };
    this.#byName.set(name, listed);
    this.#ordered.push(listed);
  }

  remove(name: string): void {
    const listed = this.#byName.get(name);
    if (listed === undefined) return;
    listed.gone = true;
    this.#byName.delete(name);
    if (this.#ordered.length > 2 * this.#byName.size + SWEEP_SLACK) {
      this.#ordered = this.#ordered.filter((entry) => !entry.gone);
    }
  }

  /** The present names after `cookie`, in cookie order, as far as they were there when reading began. */
  *after(cookie: number): Generator<ListedName> {
    if (cookie < FIRST_COOKIE) this.#end = this.#nextCookie - 1;
    const ordered = this.#ordered;
    let low = 0;
    let high = ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ordered[middle] as ListedName).cookie <= cookie) low = middle + 1;
      else high = middle;
    }
    for (let index = low; index < ordered.length; index++) {
      const listed = ordered[index] as ListedName;
      if (listed.cookie > this.#end) return;
      if (!listed.gone) yield listed;
    }
  }
}
