/**
 * Protects the loop's promises beyond single operations: one errno boundary, lookups that are taken back when their
 * reply does not arrive, and an INIT that is answered before anything else.
 */

import { closeSync, fstatSync, openSync } from 'node:fs';
import { assert } from 'chai';
import { Opcode, SIZEOF } from '../../../fs/protocol/abi.js';
import { Reply } from '../../../fs/protocol/encode.js';
import type { Connection } from '../../../fs/protocol/handshake.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { close, eventfd } from '../../../fs/sys/syscalls.js';
import type { Unique } from '../../../fs/transport/flush-message.js';
import { Session, type SessionOptions } from '../../../fs/transport/session.js';
import { dump, hex, NODE, reply, request } from '../../support/protocol/bytes.js';
import {
  type Answers,
  Harness,
  recording,
  standardError,
  temporaryFile,
} from '../../support/protocol/harness.js';
import { HEADER_LENGTH, INIT_6_18 } from '../../support/protocol/init-bytes.js';
import { ENTRY } from '../../support/protocol/requests.js';

const LOOKUP = request(Opcode.LOOKUP, hex('78 00'));
const MKDIR = request(Opcode.MKDIR, hex('ed 41 00 00 12 00 00 00 64 00'));
const STATFS = request(Opcode.STATFS, Buffer.alloc(0));
const READDIRPLUS = request(Opcode.READDIRPLUS, hex(`${'00 '.repeat(16)} 00 10 00 00 ${'00 '.repeat(20)}`));
const EMPTY = Buffer.alloc(0);

function connected(answers: Answers, fd?: number): Harness {
  return new Harness({ answers, init: INIT_6_18, ...(fd !== undefined && { fd }) });
}

/** Two entries, and then what `end` does. */
const listing = (end: () => void): Answers => ({
  readdirplus: (_node, _cookie, sink) => {
    sink.add('.', 1, 0o040000, 1, undefined);
    sink.add('a', 2, 0o100000, 3, () => ENTRY);
    sink.add('b', 2, 0o100000, 4, () => ENTRY);
    end();
  },
});

const throws = (error: unknown) => (): never => {
  throw error;
};

describe('transport/session: errors', () => {
  const ERRORS: readonly [string, unknown, number][] = [
    ['an errno', new Errno(E.ENOTEMPTY), E.ENOTEMPTY],
    ['an errno of a system call', new Errno(E.EDQUOT, 'mkdirat'), E.EDQUOT],
  ];
  for (const [what, error, code] of ERRORS) {
    it(`answers ${what} with its number and logs nothing`, () => {
      const harness = connected({ statfs: throws(error) });
      const log = standardError(() => {
        assert.strictEqual(dump(harness.answer(STATFS)), dump(reply(EMPTY, code)));
      });
      assert.strictEqual(log, '');
      harness.close();
    });
  }

  for (const [what, error] of [
    ['an Error', new TypeError('a bug')],
    ['something else', 'a bug'],
  ] as const) {
    it(`answers ${what} that is thrown with EIO, and logs it once`, () => {
      const harness = connected({ statfs: throws(error) });
      const log = standardError(() => {
        for (let time = 0; time < 3; time++) {
          assert.strictEqual(dump(harness.answer(STATFS)), dump(reply(EMPTY, E.EIO)));
        }
      });
      assert.lengthOf(log.match(/unionfs: STATFS: .*a bug/g) ?? [], 1);
      harness.close();
    });
  }

  it('an unanswered request that fails stays unanswered', () => {
    const harness = connected({});
    assert.isEmpty(harness.ask(request(Opcode.BATCH_FORGET, hex('09 00 00 00'))));
    harness.close();
  });
});

describe('transport/session: lookups that a reply counts', () => {
  const CASES: readonly [string, Buffer, Answers, number][] = [
    ['LOOKUP', LOOKUP, { lookup: () => ENTRY }, 1],
    ['MKDIR', MKDIR, { create: () => ENTRY }, 1],
    ['READDIRPLUS', READDIRPLUS, listing(() => {}), 2],
    ['LOOKUP of an absent name', LOOKUP, { lookup: () => ({ absentFor: 1 }) }, 0],
  ];
  const forgotten = ({ calls }: Harness) => calls.filter(([method]) => method === 'forget');
  const once = ['forget', ENTRY.nodeid, 1] as const;

  for (const [what, message, answers, count] of CASES) {
    it(`${what}: stay when it arrives`, () => {
      const harness = connected(answers);
      harness.answer(message);
      assert.isEmpty(forgotten(harness));
      harness.close();
    });

    it(`${what}: are taken back when it cannot be delivered`, () => {
      let harness: Harness | undefined;
      const log = standardError(() => {
        harness = connected(answers, openSync('/dev/full', 'r+'));
        harness.ask(message);
        harness.ask(message);
        harness.close();
      });
      if (harness === undefined) throw new Error('not run');
      assert.deepEqual(forgotten(harness), Array(2 * count).fill(once));
      assert.strictEqual(log, 'unionfs: the kernel refused a reply: ENOSPC\n');
    });
  }

  for (const [what, error] of [
    ['an errno', new Errno(E.EIO)],
    ['a bug', new Error('a bug')],
  ] as const) {
    it(`READDIRPLUS: are taken back when it fails half-way with ${what}`, () => {
      const harness = connected(listing(throws(error)));
      standardError(() => {
        assert.strictEqual(dump(harness.answer(READDIRPLUS)), dump(reply(EMPTY, E.EIO)));
      });
      assert.deepEqual(forgotten(harness), [once, once]);
      harness.close();
    });
  }

  it('are taken back once when it fails half-way and its error cannot be delivered either', () => {
    let calls: Harness['calls'] = [];
    standardError(() => {
      const harness = connected(listing(throws(new Errno(E.EIO))), openSync('/dev/full', 'r+'));
      harness.ask(READDIRPLUS);
      harness.close();
      calls = harness.calls;
    });
    assert.deepEqual(
      calls.filter(([method]) => method === 'forget'),
      [once, once],
    );
  });

  it('are not taken back again by the next request', () => {
    const harness = connected({ ...listing(throws(new Errno(E.EIO))), statfs: throws(new Errno(E.EIO)) });
    harness.answer(READDIRPLUS);
    harness.calls.length = 0;
    harness.answer(STATFS);
    assert.isEmpty(forgotten(harness));
    harness.close();
  });
});

describe('transport/session: INIT', () => {
  it('is answered, and the mount announced once', () => {
    const agreed: Connection[] = [];
    const harness = new Harness({ options: { onReady: (connection) => agreed.push(connection) } });
    const answer = harness.answer(INIT_6_18);
    assert.strictEqual(answer.length, 16 + 64);
    assert.strictEqual(answer.readUInt32LE(8), 2, 'unique');
    assert.deepEqual([answer.readUInt32LE(16), answer.readUInt32LE(20)], [7, 45]);
    assert.deepEqual(
      agreed.map(({ minor }) => minor),
      [45],
    );
    harness.close();
  });

  it('of a newer major version is answered with ours, and the next one counts', () => {
    const newer = Buffer.from(INIT_6_18);
    newer.writeUInt32LE(8, HEADER_LENGTH);
    const harness = new Harness();
    assert.strictEqual(harness.answer(newer).readUInt32LE(16), 7);
    assert.strictEqual(harness.ready, 0);
    assert.strictEqual(harness.answer(INIT_6_18).readUInt32LE(20), 45);
    assert.strictEqual(harness.ready, 1);
    harness.close();
  });

  it('of a kernel that is too old is answered EPROTO, and ends the session with the reason', () => {
    const older = Buffer.from(INIT_6_18);
    older.writeUInt32LE(30, HEADER_LENGTH + 4);
    const fd = temporaryFile();
    const harness = new Harness({ fd });
    assert.throws(() => harness.ask(older), 'unsupported FUSE version 7.30 of the kernel');
    assert.strictEqual(harness.written()[0]?.readInt32LE(4), -E.EPROTO);
    assert.strictEqual(harness.ready, 0);
    harness.close();
  });

  it('cut anywhere, it is answered once, and the session can still be initialised', () => {
    for (let length = HEADER_LENGTH; length < HEADER_LENGTH + 20; length++) {
      const harness = new Harness();
      const answers = harness.ask(INIT_6_18, length);
      assert.lengthOf(answers, 1, `${length} bytes`);
      assert.strictEqual(answers[0]?.readInt32LE(4), -E.EINVAL, `${length} bytes`);
      harness.answer(INIT_6_18);
      assert.strictEqual(harness.ready, 1);
      harness.close();
    }
  });

  it('comes first: other requests are not served before', () => {
    const harness = new Harness({ answers: { statfs: throws(new Error('called')) } });
    assert.strictEqual(dump(harness.answer(STATFS)), dump(reply(EMPTY, E.ENOSYS)));
    assert.isEmpty(harness.ask(request(Opcode.FORGET, Buffer.alloc(8))));
    assert.isEmpty(harness.calls);
    harness.close();
  });
});

describe('transport/session: fsync', () => {
  const FD = 7;
  const FSYNC = (dataOnly: boolean): Buffer =>
    request(Opcode.FSYNC, hex(`${'bb '.repeat(8)} ${dataOnly ? '01' : '00'} ${'00 '.repeat(7)}`));
  const flushing = (
    flush: SessionOptions['flusher']['flush'],
    unflushed = (): number | undefined => FD,
  ): Harness => new Harness({ answers: { unflushed }, init: INIT_6_18, options: { flusher: { flush } } });

  for (const dataOnly of [false, true]) {
    it(`is the flusher's${dataOnly ? ', of data only' : ''}`, () => {
      const asked: unknown[] = [];
      const harness = flushing((what) => {
        asked.push(what);
        return 0;
      });
      assert.strictEqual(dump(harness.answer(FSYNC(dataOnly))), dump(reply(EMPTY)));
      assert.deepEqual(asked, [{ fd: FD, dataOnly }]);
      harness.close();
    });
  }

  it('fails as the flusher says', () => {
    const harness = flushing(() => E.EIO);
    assert.strictEqual(dump(harness.answer(FSYNC(false))), dump(reply(EMPTY, E.EIO)));
    harness.close();
  });

  it('gets no answer here if the flusher answers later: a request by its number', () => {
    let unique: Buffer = EMPTY;
    let fd: number | undefined = FD;
    const later = (_what: unknown, asked: Unique): 'later' => {
      const answer = new Reply(SIZEOF.fuse_out_header);
      unique = answer.buffer.subarray(8, answer.finish(asked.uniqueLow, asked.uniqueHigh, 0));
      return 'later';
    };
    const harness = flushing(later, () => fd);
    assert.isEmpty(harness.ask(FSYNC(false)));
    assert.strictEqual(dump(unique), dump(reply(EMPTY).subarray(8)));
    fd = undefined;
    assert.strictEqual(
      dump(harness.answer(FSYNC(false))),
      dump(reply(EMPTY)),
      'the next has nothing to wait for',
    );
    harness.close();
  });

  it('is not asked for where the filesystem has nothing to flush, or fails', () => {
    const never = (): never => assert.fail('asked');
    for (const [unflushed, error] of [
      [() => undefined, 0],
      [throws(new Errno(E.ESTALE)), E.ESTALE],
    ] as const) {
      const harness = flushing(never, unflushed);
      assert.strictEqual(dump(harness.answer(FSYNC(false))), dump(reply(EMPTY, error)));
      harness.close();
    }
  });
});

describe('transport/session: the loop', () => {
  const options: SessionOptions = {
    wishes: { writeback: false, invalidation: 'explicit', acl: true, maxWrite: 4096, pageSize: 4096 },
    trace: false,
    onReady: () => {},
    flusher: { flush: () => 0 },
    background: { fds: [], run: () => 'done' },
  };

  it('serves what it reads until the connection is over', () => {
    let ready = 0;
    const fd = temporaryFile(INIT_6_18);
    new Session(fd, recording([], {}), { ...options, onReady: () => ready++ }).run();
    assert.strictEqual(ready, 1);
    assert.strictEqual(fstatSync(fd).size, INIT_6_18.length + 16 + 64);
    closeSync(fd);
  });

  it('counts what it is asked for, by name', () => {
    const harness = connected({ lookup: () => ({ absentFor: 0 }), statfs: throws(new Errno(E.EIO)) });
    for (const message of [LOOKUP, LOOKUP, STATFS, request(99, EMPTY)]) harness.ask(message);
    assert.deepEqual(harness.session.counts, { LOOKUP: 2, STATFS: 1 });
    harness.close();
  });

  it('ends with an error that it cannot mend', () => {
    const fd = openSync('/', 'r');
    const session = new Session(fd, recording([], {}), options);
    assert.throws(() => session.run(), 'read: EISDIR');
    closeSync(fd);
  });

  it('looks after background work when nothing comes, and ends when that says so', () => {
    const fd = eventfd();
    let asked = 0;
    const background = { fds: [], run: () => (asked++ === 0 ? ('again' as const) : ('end' as const)) };
    new Session(fd, recording([], {}), { ...options, background }).run();
    assert.strictEqual(asked, 2);
    close(fd);
  });

  it('traces a line per request when told to', () => {
    const harness = new Harness({
      answers: { lookup: () => ({ absentFor: 0 }), write: throws(new Errno(E.ENOSPC)) },
      init: INIT_6_18,
      options: { trace: true },
    });
    const write = request(Opcode.WRITE, hex(`${'00 '.repeat(16)} 03 00 00 00 ${'00 '.repeat(20)} 61 62 63`));
    const log = standardError(() => {
      harness.ask(LOOKUP);
      harness.ask(write);
    });
    assert.deepEqual(log.split('\n'), [
      `LOOKUP node=${NODE} pid=1234 {"name":"x"} = ok`,
      `WRITE node=${NODE} pid=1234 {"offset":0,"data":"3 bytes","killSetId":false} = ENOSPC`,
      '',
    ]);
    harness.close();
  });
});
