/**
 * Protects what the kernel is told of changes: the bytes of notifications, that every one arrives, whole and in
 * order, through a ring that wraps and fills up, and that the thread at its other end can always be stopped.
 */
import { closeSync, readSync } from 'node:fs';
import { assert } from 'chai';
import { FUSE_PRUNE_MINOR_VERSION } from '../../../fs/protocol/abi.js';
import type { NodeId } from '../../../fs/protocol/filesystem.js';
import {
  attributesNotifier,
  encodeInvalidateEntry,
  encodeInvalidateInode,
  NotifyQueue,
} from '../../../fs/transport/notify.js';
import { MessageRing } from '../../../fs/transport/ring.js';
import { dump, hex } from '../../support/protocol/bytes.js';
import { temporaryFile } from '../../support/protocol/harness.js';
import { Random } from '../../support/random.js';

const SEED = 5;
const NODE = 0x100000007 as NodeId;
/** The ring's control words: how much was written and read. */
const WRITTEN = 0;
const READ = 1;
const CAPACITY = 256 * 1024;
const PREFIX = 4;

describe('transport/notify: bytes', () => {
  it('INVAL_INODE names the node and all of its data', () => {
    const expected = hex(`
      28 00 00 00              # len 40
      02 00 00 00              # FUSE_NOTIFY_INVAL_INODE
      00 00 00 00 00 00 00 00  # unique 0
      07 00 00 00 01 00 00 00  # ino
      00 00 00 00 00 00 00 00  # off
      00 00 00 00 00 00 00 00  # len: to the end
    `);
    assert.strictEqual(dump(encodeInvalidateInode(NODE)), dump(expected));
  });

  it('INVAL_INODE with a negative offset is written at once, and names attributes alone', () => {
    const fd = temporaryFile();
    attributesNotifier(fd)(NODE);
    const expected = hex(`
      28 00 00 00              # len 40
      02 00 00 00              # FUSE_NOTIFY_INVAL_INODE
      00 00 00 00 00 00 00 00  # unique 0
      07 00 00 00 01 00 00 00  # ino
      ff ff ff ff ff ff ff ff  # off -1
      00 00 00 00 00 00 00 00  # len
    `);
    const written = Buffer.alloc(2 * expected.length);
    const length = readSync(fd, written, 0, written.length, 0);
    closeSync(fd);
    assert.strictEqual(dump(written.subarray(0, length)), dump(expected));
  });

  for (const [what, expireOnly, flags] of [
    ['lets the name expire', true, '01'],
    ['drops the name', false, '00'],
  ] as const) {
    it(`INVAL_ENTRY ${what}; only the padding to 4 bytes is not in its length`, () => {
      const expected = hex(`
        22 00 00 00              # len 34
        03 00 00 00              # FUSE_NOTIFY_INVAL_ENTRY
        00 00 00 00 00 00 00 00  # unique 0
        07 00 00 00 01 00 00 00  # parent
        01 00 00 00              # namelen
        ${flags} 00 00 00        # flags FUSE_EXPIRE_ONLY
        e4 00                    # name, NUL
        00 00                    # padding
      `);
      assert.strictEqual(dump(encodeInvalidateEntry(NODE, '\xe4', expireOnly)), dump(expected));
    });
  }
});

/** The ring's words, to look at and to begin elsewhere than at 0. */
const control = (ring: MessageRing): Int32Array => new Int32Array(ring.shared, 0, 2);

function beginAt(position: number): MessageRing {
  const ring = new MessageRing();
  control(ring).fill(position);
  return ring;
}

/** The next message; an empty ring would wait forever. */
function take(ring: MessageRing): Buffer {
  const [written, read] = control(ring);
  const message = written === read ? undefined : ring.pop();
  if (message === undefined) throw new Error('the ring is empty');
  return Buffer.from(message);
}

/** A message of `length` bytes that no other one is like. */
function numbered(number: number, length: number): Buffer {
  const message = Buffer.alloc(length, number & 0xff);
  message.writeUInt32LE(number, 0);
  return message;
}

describe('transport/notify: the ring', () => {
  const STARTS: readonly [string, number][] = [
    ['the beginning', 0],
    ['just before its end', CAPACITY - 8],
    ['just before its counters turn negative', 0x7fffffff - 3],
    ['negative counters', -0x80000000],
    ['just before its counters are 0 again', -4],
  ];
  for (const [what, position] of STARTS) {
    it(`hands messages over whole and in order, from ${what}`, () => {
      const random = new Random(SEED);
      const ring = beginAt(position);
      let [pushed, popped, bytes] = [0, 0, 0];
      const lengths: number[] = [];
      while (bytes < 3 * CAPACITY) {
        if (random.below(3) > 0) {
          const length = 4 * (1 + random.below(80));
          if (ring.push(numbered(pushed, length))) {
            lengths.push(length);
            pushed++;
            bytes += length;
          }
        } else if (popped < pushed) {
          const expected = numbered(popped, lengths[popped] ?? 0);
          const message = take(ring);
          if (!message.equals(expected))
            assert.strictEqual(dump(message), dump(expected), `message ${popped}`);
          popped++;
        }
      }
      assert.isAbove(popped, 1000);
    });

    it(`takes what just fills it and refuses more until there is room, from ${what}`, () => {
      const ring = beginAt(position);
      const length = 4096 - PREFIX;
      const count = CAPACITY / 4096;
      for (let number = 0; number < count; number++)
        assert.isTrue(ring.push(numbered(number, length)), `${number}`);
      assert.isFalse(ring.push(numbered(count, 4)));
      assert.strictEqual(take(ring).readUInt32LE(0), 0);
      assert.isTrue(ring.push(numbered(count, length)));
      assert.isFalse(ring.push(numbered(count, 4)));
      for (let number = 1; number <= count; number++) {
        assert.isTrue(take(ring).equals(numbered(number, length)), `${number}`);
      }
      const [written, read] = control(ring);
      assert.strictEqual(written, read);
    });
  }

  it('refusing a message leaves it as it was', () => {
    const ring = new MessageRing();
    while (ring.push(numbered(1, 1020)));
    const before = Buffer.from(new Uint8Array(ring.shared));
    assert.isFalse(ring.push(numbered(2, 2040)));
    assert.isTrue(Buffer.from(new Uint8Array(ring.shared)).equals(before));
  });

  it('is the same ring for whoever shares its memory', () => {
    const ring = new MessageRing();
    const other = new MessageRing(ring.shared);
    ring.push(numbered(7, 8));
    assert.strictEqual(dump(take(other)), dump(numbered(7, 8)));
    assert.strictEqual(control(ring)[READ], control(ring)[WRITTEN]);
  });

  it('gives what is left, and then ends, when it is stopped', () => {
    const ring = new MessageRing();
    ring.push(numbered(1, 4));
    ring.stop();
    assert.strictEqual(dump(take(ring)), dump(numbered(1, 4)));
    assert.isUndefined(ring.pop());
  });

  it('does not let its reader sleep through a stop that comes just before it falls asleep', () => {
    const ring = new MessageRing();
    const results: string[] = [];
    whileWaiting(
      () => ring.stop(),
      (result) => results.push(result),
      () => assert.isUndefined(ring.pop()),
    );
    assert.notInclude(results, 'timed-out');
  });

  it('does not let its reader sleep through a message that comes just before it falls asleep', () => {
    const ring = new MessageRing();
    const results: string[] = [];
    whileWaiting(
      () => ring.push(numbered(1, 4)),
      (result) => results.push(result),
      () => assert.isDefined(ring.pop()),
    );
    assert.notInclude(results, 'timed-out');
  });
});

const LONG_ENOUGH_MS = 50;

/** Runs `action` with an Atomics.wait before which `first` happens, and which gives up instead of sleeping forever. */
function whileWaiting(first: () => unknown, report: (result: string) => void, action: () => void): void {
  const { wait } = Atomics;
  Atomics.wait = ((array: Int32Array, index: number, value: number, timeout?: number) => {
    first();
    const result = wait(array, index, value, timeout ?? LONG_ENOUGH_MS);
    if (timeout === undefined) report(result);
    return result;
  }) as typeof wait;
  try {
    action();
  } finally {
    Atomics.wait = wait;
  }
}

describe('transport/notify: the queue', () => {
  it('hands nothing over before it is flushed, and then everything in order', () => {
    const ring = new MessageRing();
    const queue = new NotifyQueue(ring, () => {});
    queue.invalidateEntry(NODE, 'a', false);
    queue.invalidateInode(NODE);
    assert.strictEqual(control(ring)[WRITTEN], 0);
    assert.isTrue(queue.flush());
    assert.strictEqual(dump(take(ring)), dump(encodeInvalidateEntry(NODE, 'a', true)));
    assert.strictEqual(dump(take(ring)), dump(encodeInvalidateInode(NODE)));
    assert.isTrue(queue.flush());
  });

  it('keeps what the ring has no room for, in order, and says so', () => {
    const ring = new MessageRing();
    const queue = new NotifyQueue(ring, () => {});
    const count = CAPACITY / 32;
    for (let number = 1; number <= count; number++) queue.invalidateInode(number as NodeId);
    assert.isFalse(queue.flush());
    assert.isFalse(queue.flush(), 'still no room');
    queue.invalidateInode((count + 1) as NodeId);
    for (let number = 1; number <= count + 1; number++) {
      assert.strictEqual(dump(take(ring)), dump(encodeInvalidateInode(number as NodeId)), `${number}`);
      queue.flush();
    }
    assert.isTrue(queue.flush());
  });

  it('spares what may hold mounts where a kernel cannot let names expire', () => {
    const ring = new MessageRing();
    const queue = new NotifyQueue(ring, () => {});
    queue.agree({ flags: new Set(), minor: FUSE_PRUNE_MINOR_VERSION });
    queue.invalidateEntry(NODE, 'directory', true);
    queue.invalidateEntry(NODE, 'file', false);
    queue.flush();
    assert.strictEqual(dump(take(ring)), dump(encodeInvalidateEntry(NODE, 'file', false)));
    assert.strictEqual(control(ring)[READ], control(ring)[WRITTEN]);
  });

  it('is never idle, so that nothing is asked, before a kernel has said that it can forget nodes', () => {
    const queue = new NotifyQueue(new MessageRing(), () => {});
    assert.isFalse(queue.isIdle());
    queue.agree({ flags: new Set(['HAS_EXPIRE_ONLY']), minor: FUSE_PRUNE_MINOR_VERSION - 1 });
    assert.isFalse(queue.isIdle());
    queue.agree({ flags: new Set(['HAS_EXPIRE_ONLY']), minor: FUSE_PRUNE_MINOR_VERSION });
    assert.isTrue(queue.isIdle());
  });
});
