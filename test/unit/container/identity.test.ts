/**
 * Protects what is answered where one id is all there is: who may become whom, and which calls are asked about at all.
 */
import { assert } from 'chai';
import { ARCHITECTURES, type ArchitectureName } from '../../../fs/sys/architecture.js';
import { BPF, VERDICT } from '../../../fs/sys/classic-bpf.js';
import { S } from '../../../fs/sys/constants.js';
import { E, Errno } from '../../../fs/sys/errno.js';
import { OWNER_CALLS } from '../../../runtime/container/owners/calls.js';
import { KEEP, ownerFilter } from '../../../runtime/container/owners/filter.js';
import {
  changed,
  type Identity,
  idFor,
  idsFor,
  withGroups,
} from '../../../runtime/container/owners/identity.js';

const identity = (uid: Identity['uid'], gid: Identity['gid'] = [0, 0, 0]): Identity => ({ uid, gid });
const ROOT = identity([0, 0, 0]);
const USER = identity([33, 33, 33], [33, 33, 33]);

type Case = readonly [
  before: Identity,
  call: string,
  args: readonly number[],
  after: Identity | 'EPERM' | 'EINVAL',
];

/** As setuid(2), setreuid(2) and setresuid(2) say. */
const CHANGES: readonly Case[] = [
  [ROOT, 'setuid', [33], identity([33, 33, 33])],
  [ROOT, 'setgid', [33], identity([0, 0, 0], [33, 33, 33])],
  [ROOT, 'setresuid', [KEEP, 33, KEEP], identity([0, 33, 0])],
  [identity([0, 33, 0]), 'setresuid', [KEEP, 0, KEEP], ROOT],
  [identity([0, 33, 0]), 'setuid', [0], ROOT],
  [ROOT, 'setreuid', [33, 33], identity([33, 33, 33])],
  [ROOT, 'setreuid', [KEEP, 33], identity([0, 33, 33])],
  [identity([0, 33, 0]), 'setreuid', [33, 0], identity([33, 0, 0])],
  [USER, 'setuid', [0], 'EPERM'],
  [USER, 'setgid', [0], 'EPERM'],
  [USER, 'setresuid', [0, 0, 0], 'EPERM'],
  [USER, 'setreuid', [KEEP, 0], 'EPERM'],
  [ROOT, 'setuid', [KEEP], 'EINVAL'],
];

describe('container/owners: identities', () => {
  for (const [before, call, args, after] of CHANGES) {
    it(`${before.uid} after ${call}(${args}) is ${typeof after === 'string' ? after : after.uid}`, () => {
      assert.deepEqual(
        outcome(() => changed(before, call, args, true)),
        after,
      );
    });
  }

  it('who became somebody with his capabilities kept goes on to his group', () => {
    const after = changed(identity([33, 33, 33]), 'setresgid', [34, 34, 34], true);
    assert.deepEqual(after, identity([33, 33, 33], [34, 34, 34]));
  });

  it('without the capability nobody becomes anybody', () => {
    assert.strictEqual(
      outcome(() => changed(ROOT, 'setuid', [33], false)),
      'EPERM',
    );
    assert.strictEqual(
      outcome(() => withGroups(ROOT, [33], false)),
      'EPERM',
    );
  });

  it('calls that ask are told apart', () => {
    const who = identity([1, 2, 3], [4, 5, 6]);
    const calls = ['getuid', 'geteuid', 'getgid', 'getegid', 'getresuid', 'setuid'];
    assert.deepEqual(
      calls.map((call) => idFor(who, call)),
      [1, 2, 4, 5, undefined, undefined],
    );
    assert.deepEqual(
      [idsFor(who, 'getresuid'), idsFor(who, 'getresgid'), idsFor(who, 'getuid')],
      [[1, 2, 3], [4, 5, 6], undefined],
    );
  });
});

function outcome<T>(attempt: () => T): T | 'EPERM' | 'EINVAL' {
  try {
    return attempt();
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return error.code === E.EPERM ? 'EPERM' : 'EINVAL';
  }
}

/** What the kernel would decide: the instructions that these filters are made of. */
function verdict(program: Buffer, audit: number, call: number, args: readonly number[]): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call, 0);
  data.writeUInt32LE(audit, 4);
  for (const [index, value] of args.entries()) data.writeUInt32LE(value, 16 + 8 * index);
  let loaded = 0;
  for (let at = 0; at < program.length; at += 8) {
    const [code, value] = [program.readUInt16LE(at), program.readUInt32LE(at + 4)];
    if (code === BPF.RET) return value;
    if (code === BPF.LOAD) loaded = data.readUInt32LE(value);
    else if (code === BPF.AND) loaded &= value;
    else if (code === BPF.JEQ) at += 8 * program.readUInt8(at + (loaded === value ? 2 : 3));
    else if (code === BPF.JSET) at += 8 * program.readUInt8(at + ((loaded & value) !== 0 ? 2 : 3));
    else assert.fail(`instruction ${code}`);
  }
  return assert.fail('no verdict');
}

describe('container/owners: the filter', () => {
  const ids = (owner: number, uid: number, gid: number): number[] => {
    const args = [7, 7, 7, 7, 7];
    args.splice(owner, 2, uid, gid);
    return args;
  };

  for (const architecture of ['x64', 'arm64'] satisfies ArchitectureName[]) {
    const program = ownerFilter({ uid: 0, gid: 1000 }, architecture, false);
    const decide = (call: number, args: readonly number[]): number =>
      verdict(program, ARCHITECTURES[architecture].audit, call, args);

    for (const { name, numbers, chown, stat, mknod } of OWNER_CALLS) {
      const number = numbers[architecture];
      if (number === undefined) continue;
      it(`${architecture}: ${name} is asked about where it concerns ids that do not exist`, () => {
        if (mknod !== undefined) {
          const at = (mode: number): number[] => ids(mknod.mode, mode, 0x103);
          for (const type of [S.IFCHR, S.IFBLK])
            assert.strictEqual(decide(number, at(type | 0o4666)), VERDICT.ASK);
          for (const type of [0, S.IFREG, S.IFIFO, S.IFSOCK])
            assert.strictEqual(decide(number, at(type | 0o666)), VERDICT.ALLOW);
          return;
        }
        if (stat?.mask !== undefined) {
          for (const [mask, expected] of [
            [0x7ff, VERDICT.ASK],
            [0x08, VERDICT.ASK],
            [0x10, VERDICT.ASK],
            [0x7e7, VERDICT.ALLOW],
          ] as const)
            assert.strictEqual(decide(number, ids(stat.mask, mask, 0)), expected);
          return;
        }
        if (chown === undefined) {
          assert.strictEqual(decide(number, [0, 0, 0]), VERDICT.ASK);
          return;
        }
        const every = ownerFilter({ uid: 0, gid: 1000 }, architecture, true);
        const { audit } = ARCHITECTURES[architecture];
        assert.strictEqual(verdict(every, audit, number, ids(chown.owner, 0, 1000)), VERDICT.ASK);
        for (const uid of [0, KEEP]) {
          for (const gid of [1000, KEEP]) {
            assert.strictEqual(decide(number, ids(chown.owner, uid, gid)), VERDICT.ALLOW);
          }
        }
        for (const [uid, gid] of [
          [1000, 1000],
          [0, 0],
          [KEEP, 0],
          [5, KEEP],
        ] as const) {
          assert.strictEqual(decide(number, ids(chown.owner, uid, gid)), VERDICT.ASK);
        }
      });
    }

    it(`${architecture}: who is not root inside is not told whose files are`, () => {
      const kept = ownerFilter({ uid: 1000, gid: 1000 }, architecture, false);
      for (const { numbers, stat } of OWNER_CALLS) {
        const number = numbers[architecture];
        if (number === undefined || stat === undefined) continue;
        const args = ids(stat.mask ?? 0, 0x7ff, 0);
        assert.strictEqual(verdict(kept, ARCHITECTURES[architecture].audit, number, args), VERDICT.ALLOW);
      }
    });

    it(`${architecture}: no other call is asked about, nor any of another architecture`, () => {
      const asked = new Set(OWNER_CALLS.map(({ numbers }) => numbers[architecture]));
      for (let call = 0; call < 512; call++) {
        if (!asked.has(call)) assert.strictEqual(decide(call, [5, 5, 5, 5, 5]), VERDICT.ALLOW);
        assert.strictEqual(verdict(program, 0x40000003, call, [5, 5, 5, 5, 5]), VERDICT.ALLOW);
      }
    });
  }
});
