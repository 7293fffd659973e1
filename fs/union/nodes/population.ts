/**
 * How much of the tree is remembered: the nodes that the kernel knows, and the listings.
 *
 * Rules: the kernel forgets what it does not use when memory is short, which is too late for who has less of it. Above a
 * bound it is asked to, the oldest first (FUSE_NOTIFY_PRUNE, Linux 6.18); it keeps what is open, mounted on, or has
 * something below it. Before that there is no such request: invalidating a name would unmount what is mounted on it.
 * Listings hold names that the kernel need not know; above a bound of names the oldest listings go.
 */
import type { NodeId } from '../../protocol/filesystem.js';
import { DirectoryNode, type Node } from './node.js';

/** Names cost a fifth of what nodes do. */
const NAMES_PER_NODE = 4;
/** After how many further nodes the kernel is asked again. */
const stepOf = (limit: number): number => Math.max(Math.floor(limit / 64), 16);
/** For how many it is asked at once, at most. */
const ASKED_AT_ONCE = 16_384;

/** The way to the kernel. */
export interface Pruning {
  /** Whether the kernel can be asked, and has done what it was last asked for. */
  isIdle(): boolean;
  /** Asks it to forget those of the nodes that it does not use. */
  ask(nodes: readonly NodeId[]): void;
}

export class Population {
  /** Undefined where nobody can be asked. */
  readonly #pruning: Pruning | undefined;
  readonly #nodes = new Map<NodeId, Node>();
  readonly #limit: number;
  /** How many nodes there are when the kernel is asked next. */
  #crowd: number;
  /** The next node to ask for: a Map is ordered by age, and its iterators stay valid after deletions. */
  #ages: Iterator<NodeId> = this.#nodes.keys();
  readonly #listings = new Map<DirectoryNode, number>();
  #names = 0;

  /** @param limit most nodes that are to be remembered */
  constructor(limit = Number.POSITIVE_INFINITY, pruning?: Pruning) {
    this.#pruning = pruning;
    this.#limit = limit;
    this.#crowd = limit;
  }

  get size(): number {
    return this.#nodes.size;
  }

  get(id: NodeId): Node | undefined {
    return this.#nodes.get(id);
  }

  all(): IterableIterator<Node> {
    return this.#nodes.values();
  }

  add(node: Node): void {
    this.#nodes.set(node.id, node);
    if (this.#nodes.size > this.#crowd) this.#thin();
  }

  delete(node: Node): void {
    this.#nodes.delete(node.id);
    if (node instanceof DirectoryNode) this.#forgetListing(node);
    if (this.#nodes.size <= this.#limit) this.#crowd = this.#limit;
  }

  #thin(): void {
    const step = stepOf(this.#limit);
    this.#crowd = this.#nodes.size + step;
    if (this.#pruning?.isIdle() !== true) return;
    const oldest: NodeId[] = [];
    const excess = Math.min(this.#nodes.size - this.#limit + step, ASKED_AT_ONCE);
    for (let looked = 0; looked < excess; looked++) {
      const { value, done } = this.#ages.next();
      if (done === true) {
        this.#ages = this.#nodes.keys();
        break;
      }
      if ((this.#nodes.get(value)?.lookups ?? 0) > 0) oldest.push(value);
    }
    if (oldest.length > 0) this.#pruning.ask(oldest);
  }

  /** A directory's names have been listed, from the beginning. */
  listed(directory: DirectoryNode, names: number): void {
    this.#forgetListing(directory);
    this.#listings.set(directory, names);
    this.#names += names;
    for (const oldest of this.#listings.keys()) {
      if (this.#names <= this.#limit * NAMES_PER_NODE || oldest === directory) return;
      this.#forgetListing(oldest);
      oldest.listing = undefined;
    }
  }

  #forgetListing(directory: DirectoryNode): void {
    this.#names -= this.#listings.get(directory) ?? 0;
    this.#listings.delete(directory);
  }
}
