/**
 * Notifications to the kernel: invalidation of its caches.
 *
 * Rules: the serving thread never writes them, because a write may block until a request is answered (it locks the
 * directory): a deadlock. It puts them into a ring in shared memory, and the notifier thread (`notifier.ts`) writes them in
 * order. The ring is bounded; the serving thread queues what does not fit. One kind is written by the serving thread
 * before its reply: the attributes of the node of the current request have changed.
 * The kernel takes no lock for it, and the request holds the inode (fuse_reverse_inval_inode, negative offset).
 */
import { Worker } from 'node:worker_threads';
import { FUSE_EXPIRE_ONLY, FUSE_PRUNE_MINOR_VERSION, NotifyCode, SIZEOF } from '../protocol/abi.js';
import type { NodeId, Notifier } from '../protocol/filesystem.js';
import type { Connection } from '../protocol/handshake.js';
import { allocate, tryWrite } from '../sys/syscalls.js';
import type { NotifierData } from './notifier.js';
import type { MessageRing } from './ring.js';

/** struct fuse_notify_inval_inode_out. */
const SIZEOF_INVAL_INODE = 24;

/** struct fuse_out_header of a notification: unique 0, the code in place of an error. */
function notification(code: number, bodyLength: number): Buffer {
  const length = SIZEOF.fuse_out_header + bodyLength;
  const message = Buffer.alloc(Math.ceil(length / 4) * 4);
  message.writeUInt32LE(length, 0);
  message.writeInt32LE(code, 4);
  return message;
}

/** struct fuse_notify_inval_inode_out: attributes and the whole of the cached data or listing. */
export function encodeInvalidateInode(node: NodeId): Buffer {
  const message = notification(NotifyCode.INVAL_INODE, SIZEOF_INVAL_INODE);
  message.writeBigUInt64LE(BigInt(node), SIZEOF.fuse_out_header);
  return message;
}

/** Tells the kernel behind `fd` at once that attributes of the current request's node have changed, and no data. */
export function attributesNotifier(fd: number): (node: NodeId) => void {
  const memory = allocate(SIZEOF.fuse_out_header + SIZEOF_INVAL_INODE);
  return (node) => {
    const message = encodeInvalidateInode(node);
    message.writeBigInt64LE(-1n, SIZEOF.fuse_out_header + 8); // offset: negative leaves the data alone
    memory.bytes.set(message);
    tryWrite(fd, memory, message.length);
  };
}

/** struct fuse_notify_inval_entry_out. With `expireOnly`, what is mounted below the name is left alone. */
export function encodeInvalidateEntry(parent: NodeId, name: string, expireOnly: boolean): Buffer {
  const message = notification(NotifyCode.INVAL_ENTRY, 16 + name.length + 1);
  message.writeBigUInt64LE(BigInt(parent), SIZEOF.fuse_out_header);
  message.writeUInt32LE(name.length, SIZEOF.fuse_out_header + 8);
  message.writeUInt32LE(expireOnly ? FUSE_EXPIRE_ONLY : 0, SIZEOF.fuse_out_header + 12);
  message.write(name, SIZEOF.fuse_out_header + 16, 'latin1');
  return message;
}

/** struct fuse_notify_prune_out and the nodes: those that are not in use are to be forgotten. */
export function encodePrune(nodes: readonly NodeId[]): Buffer {
  const message = notification(NotifyCode.PRUNE, SIZEOF_PRUNE + nodes.length * SIZEOF_NODE);
  message.writeUInt32LE(nodes.length, SIZEOF.fuse_out_header);
  nodes.forEach((node, index) => {
    const at = SIZEOF.fuse_out_header + SIZEOF_PRUNE + index * SIZEOF_NODE;
    message.writeUInt32LE(node % TWO_32, at);
    message.writeUInt32LE(Math.floor(node / TWO_32), at + 4);
  });
  return message;
}

const SIZEOF_PRUNE = 16;
const SIZEOF_NODE = 8;
const TWO_32 = 2 ** 32;
/** Nodes in one message: half a page. */
const PRUNED_AT_ONCE = 256;

/** The serving thread's end. */
export class NotifyQueue implements Notifier {
  readonly #ring: MessageRing;
  readonly #start: (shared: SharedArrayBuffer) => void;
  #isStarted = false;
  #waiting: Buffer[] = [];
  /** How many there have been, modulo 2^32. */
  #posted = 0;
  /** The last one that asked for nodes. */
  #asked = 0;
  /** Where an entry cannot expire, dropping it would unmount what is mounted below. */
  #canExpire = true;
  #canPrune = false;

  /** @param start starts the thread that writes what comes through the ring */
  constructor(ring: MessageRing, start: (shared: SharedArrayBuffer) => void) {
    this.#ring = ring;
    this.#start = start;
  }

  /** Where messages are to be expected, the thread is there before the first. */
  start(): void {
    if (!this.#isStarted) this.#start(this.#ring.shared);
    this.#isStarted = true;
  }

  /** Ends the thread, which still writes what it has got. */
  stop(): void {
    this.#ring.stop();
  }

  /** Takes what the kernel can do: let an entry expire (Linux 6.2), be asked to forget nodes (6.18). */
  agree({ flags, minor }: Pick<Connection, 'flags' | 'minor'>): void {
    this.#canExpire = flags.has('HAS_EXPIRE_ONLY');
    this.#canPrune = minor >= FUSE_PRUNE_MINOR_VERSION;
  }

  invalidateEntry(parent: NodeId, name: string, mayHoldMounts: boolean): void {
    if (mayHoldMounts && !this.#canExpire) return;
    this.#post(encodeInvalidateEntry(parent, name, this.#canExpire));
  }

  invalidateInode(node: NodeId): number {
    return this.#post(encodeInvalidateInode(node));
  }

  isDelivered(notification: number): boolean {
    return ((this.#ring.handled - notification) | 0) >= 0;
  }

  /** Asks the kernel to forget those of the nodes that it does not use. */
  ask(nodes: readonly NodeId[]): void {
    for (let from = 0; from < nodes.length; from += PRUNED_AT_ONCE) {
      this.#asked = this.#post(encodePrune(nodes.slice(from, from + PRUNED_AT_ONCE)));
    }
    this.flush(); // a reader of listings makes hundreds of nodes at each request
  }

  /** Whether the kernel can be asked, and all that was asked for is delivered. */
  isIdle(): boolean {
    return this.#canPrune && this.isDelivered(this.#asked);
  }

  #post(message: Buffer): number {
    this.start();
    this.#waiting.push(message);
    this.#posted = (this.#posted + 1) | 0;
    return this.#posted;
  }

  /** Hands over as much as the ring takes; false if something is left. */
  flush(): boolean {
    if (this.#waiting.length === 0) return true;
    const rest = this.#waiting.findIndex((message) => !this.#ring.push(message));
    this.#waiting = rest < 0 ? [] : this.#waiting.slice(rest);
    return rest < 0;
  }
}

/** Starts the thread that writes notifications; it needs nothing of this one's event loop, and ends with it. */
export function startNotifier(fd: number, shared: SharedArrayBuffer): void {
  const workerData: NotifierData = { fd, shared };
  const thread = new Worker(new URL('./notifier.js', import.meta.url), { workerData });
  thread.on('error', () => {}); // the kernel is told nothing more
}
