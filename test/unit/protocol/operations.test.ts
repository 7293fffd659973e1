/**
 * Protects the table of operations: each request is decoded into the right call and answered with the right bytes,
 * and no request, however short, gets anything but exactly one answer (or none, where the protocol wants none).
 */
import { assert } from 'chai';
import { Opcode } from '../../../fs/protocol/abi.js';
import { operationOf, operations } from '../../../fs/protocol/operations.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { dump, reply, request } from '../../support/protocol/bytes.js';
import { Harness, standardError } from '../../support/protocol/harness.js';
import { HEADER_LENGTH, INIT_5_4, INIT_6_18 } from '../../support/protocol/init-bytes.js';
import { EXAMPLES, type Example } from '../../support/protocol/requests.js';
import { Random } from '../../support/random.js';

const SEED = 11;
const FUZZED = 3000;
/** Bytes that an earlier, longer message may have left behind the current one. */
const STALE = [0x00, 0x41, 0xff];

function withHarness<T>({ answers = {}, old }: Partial<Example>, use: (harness: Harness) => T): T {
  const harness = new Harness({ answers, init: old ? INIT_5_4 : INIT_6_18 });
  try {
    return use(harness);
  } finally {
    harness.close();
  }
}

/** The whole of what must be written for an example. */
function expectedReply(example: Example): Buffer[] {
  if (example.reply === 'none') return [];
  return [reply(example.reply, example.error === undefined ? 0 : E[example.error])];
}

const shown = (messages: readonly Buffer[]): string[] => messages.map(dump);

describe('protocol/operations: bytes to calls, results to bytes', () => {
  for (const example of EXAMPLES) {
    it(example.what, () => {
      withHarness(example, (harness) => {
        const answers = harness.ask(request(example.opcode, example.body));
        assert.deepEqual(harness.calls, [...example.calls]);
        assert.deepEqual(shown(answers), shown(expectedReply(example)));
      });
    });
  }

  it('has an example of every operation', () => {
    assert.sameMembers([...new Set(EXAMPLES.map(({ opcode }) => opcode))], Object.values(Opcode));
  });

  it('names every operation as the kernel does, and leaves unanswered only what must be', () => {
    for (const [name, opcode] of Object.entries(Opcode)) assert.strictEqual(operations[opcode].name, name);
    const unanswered = Object.values(operations).filter((row) => row.unanswered === true);
    assert.sameMembers(
      unanswered.map(({ name }) => name),
      ['FORGET', 'BATCH_FORGET', 'INTERRUPT', 'NOTIFY_REPLY'],
    );
  });
});

describe('protocol/operations: short messages', () => {
  for (const example of EXAMPLES) {
    const { what, opcode, body, needs = body.length } = example;
    it(`${what}: cut anywhere behind the header, it is answered once`, () => {
      withHarness(example, (harness) => {
        const message = request(opcode, body);
        const malformed = example.reply === 'none' ? [] : [reply(Buffer.alloc(0), E.EINVAL)];
        for (let length = HEADER_LENGTH; length < message.length; length++) {
          for (const stale of STALE) {
            harness.calls.length = 0;
            const answers = harness.ask(message, length, stale);
            const told = `${length} of ${message.length} bytes`;
            const complete = length >= HEADER_LENGTH + needs;
            assert.deepEqual(harness.calls, complete ? [...example.calls] : [], told);
            assert.deepEqual(shown(answers), shown(complete ? expectedReply(example) : malformed), told);
          }
        }
      });
    });
  }

  it('a message without a whole header gets no answer, and is mentioned once', () => {
    withHarness({}, (harness) => {
      const message = request(Opcode.STATFS, Buffer.alloc(0));
      const log = standardError(() => {
        for (let length = 0; length < HEADER_LENGTH; length++) assert.isEmpty(harness.ask(message, length));
      });
      assert.isEmpty(harness.calls);
      assert.strictEqual(log, 'unionfs: a message of 0 bytes is too short for a header\n');
    });
  });

  it('BATCH_FORGET that claims more than it holds forgets nothing', () => {
    withHarness({}, (harness) => {
      const body = Buffer.alloc(8 + 16);
      body.writeUInt32LE(0xffffffff, 0);
      assert.isEmpty(harness.ask(request(Opcode.BATCH_FORGET, body)));
      assert.isEmpty(harness.calls);
    });
  });
});

describe('protocol/operations: hostile messages', () => {
  for (const opcode of [0, 7, 19, 54, 55, 4096, 0x7fffffff, 0xffffffff]) {
    it(`answers ENOSYS to the unknown opcode ${opcode}`, () => {
      withHarness({}, (harness) => {
        assert.isUndefined(operationOf(opcode));
        const answers = harness.ask(request(opcode, Buffer.alloc(16)));
        assert.deepEqual(shown(answers), shown([reply(Buffer.alloc(0), E.ENOSYS)]));
        assert.isEmpty(harness.calls);
      });
    });
  }

  /** Where in the body the offset stands that must not be rounded. */
  const PLACES: readonly [keyof typeof Opcode, number][] = [
    ['WRITE', 8],
    ['FALLOCATE', 8],
    ['FALLOCATE', 16],
    ['COPY_FILE_RANGE', 32],
  ];
  for (const [name, at] of PLACES) {
    it(`refuses ${name} beyond 2^53 - 1 with EFBIG (offset at ${at})`, () => {
      withHarness({}, (harness) => {
        const body = Buffer.alloc(56);
        body.writeBigUInt64LE(2n ** 63n - 4096n, at);
        const answer = harness.answer(request(Opcode[name], body));
        assert.strictEqual(dump(answer), dump(reply(Buffer.alloc(0), E.EFBIG)));
        assert.isEmpty(harness.calls);
      });
    });
  }

  it('gives READ no more room than the reply has', () => {
    const all = (_node: unknown, _offset: unknown, into: Uint8Array): number => into.length;
    withHarness({ answers: { read: all } }, (harness) => {
      const body = Buffer.alloc(40);
      body.writeUInt32LE(0xffffffff, 16);
      const answer = harness.answer(request(Opcode.READ, body));
      assert.strictEqual(answer.length, harness.session.input.length);
    });
  });

  for (const name of ['READDIR', 'READDIRPLUS'] as const) {
    for (const size of [512, 0xffffffff]) {
      it(`ends ${name} with the space that the caller has, or with the reply: ${size} bytes`, () => {
        const endless = (
          _node: unknown,
          _cookie: number,
          sink: { add(...args: unknown[]): boolean },
        ): void => {
          for (let cookie = 1; sink.add('name', 1, 0o100000, cookie, undefined); cookie++);
        };
        withHarness({ answers: { readdir: endless, readdirplus: endless } }, (harness) => {
          const body = Buffer.alloc(40);
          body.writeUInt32LE(size, 16);
          const space = Math.min(size, harness.session.input.length - 16);
          const given = harness.answer(request(Opcode[name], body)).length - 16;
          assert.isAtMost(given, space);
          assert.isAbove(given, space - 256);
        });
      });
    }
  }

  it(`survives ${FUZZED} random messages with one answer each`, () => {
    const random = new Random(SEED);
    const opcodes = Object.values(Opcode);
    // Every call fails in a way of everyday, so that any arguments will do.
    const harness = new Harness({ init: INIT_6_18, answers: refusing() });
    for (let drawn = 0; drawn < FUZZED; drawn++) {
      const opcode = random.pick(opcodes);
      const body = Buffer.from(
        Array.from({ length: random.below(120) }, () => random.below(4) * random.below(86)),
      );
      const answers = harness.ask(request(opcode, body));
      const expected = operations[opcode].unanswered === true ? 0 : 1;
      if (answers.length !== expected) assert.fail(`${opcode}: ${answers.length} answers to ${dump(body)}`);
    }
    harness.close();
  });
});

/** A filesystem that refuses everything. */
function refusing(): object {
  const refuse = (): never => {
    throw new Errno(E.EPERM);
  };
  return new Proxy({}, { get: () => refuse });
}
