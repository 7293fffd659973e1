/**
 * Protects what inherits and follows POSIX ACLs where the union keeps modes itself. The oracle is the kernel, on the
 * filesystem of the temporary directory: what it makes of the same ACLs and modes.
 */
import { assert } from 'chai';
import { S } from '../../fs/sys/constants.js';
import { Errno } from '../../fs/sys/errno.js';
import { afterChmod, given, inherited, namesSomebody } from '../../fs/union/owners/acl.js';
import { useScratch } from '../support/image/scratch.js';
import { Random } from '../support/random.js';
import { run } from '../support/run.js';

const SEED = 31;
const CASES = 150;
const ANY_RIGHTS = 8;
const MODES = 0o1000;
const TAGS = { owner: 1, user: 2, group: 4, named: 8, mask: 16, others: 32 } as const;
const NOBODY = 0xffffffff;

interface Case {
  readonly acl: string;
  /** What is asked for, and what chmod(2) is given later. */
  readonly mode: number;
  readonly changed: number;
}

interface Seen {
  readonly mode: number;
  readonly acl: string | null;
}

/** What the kernel makes of a case: a file and a directory that inherit, a file that is given the ACL, and chmod(2). */
type Outcome = Readonly<Record<'file' | 'directory' | 'given' | 'after', Seen>> & {
  readonly passedOn: string;
};

const ORACLE = `
import json, os, sys
NAMES = { which: 'system.posix_acl_' + which for which in ('access', 'default') }
def acl(path, which):
    try: return os.getxattr(path, NAMES[which]).hex()
    except OSError: return None
def seen(path): return { 'mode': os.stat(path).st_mode, 'acl': acl(path, 'access') }
def outcome(case):
    value = bytes.fromhex(case['acl'])
    os.mkdir('parent'); os.setxattr('parent', NAMES['default'], value)
    os.close(os.open('parent/file', os.O_CREAT, case['mode'])); os.mkdir('parent/directory', case['mode'])
    result = { 'file': seen('parent/file'), 'directory': seen('parent/directory'), 'passedOn': acl('parent/directory', 'default') }
    os.chmod('parent/file', case['mode']); os.setxattr('parent/file', NAMES['access'], value)
    result['given'] = seen('parent/file')
    os.chmod('parent/file', case['changed']); result['after'] = seen('parent/file')
    os.unlink('parent/file'); os.rmdir('parent/directory'); os.rmdir('parent')
    return result
os.umask(0o077)
print(json.dumps([outcome(case) for case in json.loads(sys.argv[1])]))
`;

function value(entries: readonly (readonly [tag: number, rights: number, id: number])[]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  entries.forEach(([tag, rights, id], index) => {
    bytes.writeUInt16LE(tag, 4 + index * 8);
    bytes.writeUInt16LE(rights, 6 + index * 8);
    bytes.writeUInt32LE(id, 8 + index * 8);
  });
  return bytes;
}

/** Any that posix_acl_valid takes. */
function draw(random: Random): Case {
  const rights = (): number => random.below(ANY_RIGHTS);
  const [users, groups, mask] = [random.below(3), random.below(3), random.below(2)];
  const named = (tag: number, count: number) =>
    Array.from({ length: count }, (_, index) => [tag, rights(), 10 + index] as const);
  const acl = value([
    [TAGS.owner, rights(), NOBODY],
    ...named(TAGS.user, users),
    [TAGS.group, rights(), NOBODY],
    ...named(TAGS.named, groups),
    ...(users + groups + mask > 0 ? [[TAGS.mask, rights(), NOBODY] as const] : []),
    [TAGS.others, rights(), NOBODY],
  ]);
  return { acl: acl.toString('hex'), mode: random.below(MODES), changed: random.below(MODES) };
}

describe('union/acl', () => {
  const scratch = useScratch();

  it('inherits, changes modes and follows them as the kernel has it', () => {
    const random = new Random(SEED);
    const cases = Array.from({ length: CASES }, () => draw(random));
    const printed = run('python3', ['-c', ORACLE, JSON.stringify(cases)], { cwd: scratch.fresh('oracle') });
    const outcomes = JSON.parse(printed) as Outcome[];
    const hex = ({ mode, acl }: ReturnType<typeof given>): Seen => ({
      mode,
      acl: acl?.toString('hex') ?? null,
    });
    cases.forEach(({ acl, mode, changed }, index) => {
      const bytes = Buffer.from(acl, 'hex');
      const set = given(bytes, S.IFREG | mode);
      const ours: Outcome = {
        file: hex(inherited(bytes, S.IFREG | mode)),
        directory: hex(inherited(bytes, S.IFDIR | mode)),
        passedOn: acl,
        given: hex(set),
        after: {
          mode: S.IFREG | changed,
          acl: set.acl === undefined ? null : afterChmod(set.acl, changed).toString('hex'),
        },
      };
      assert.deepEqual(ours, outcomes[index], `case ${index}: ${acl} ${mode.toString(8)}`);
    });
  });

  it('knows who is named', () => {
    const plain = [
      [TAGS.owner, 7, NOBODY],
      [TAGS.group, 5, NOBODY],
      [TAGS.mask, 5, NOBODY],
      [TAGS.others, 0, NOBODY],
    ] as const;
    assert.isFalse(namesSomebody(value(plain)));
    assert.isTrue(namesSomebody(value([...plain, [TAGS.named, 5, 10]])));
  });

  for (const [what, bytes] of [
    ['nothing', []],
    ['another version', [1, 0, 0, 0]],
    ['half an entry', [2, 0, 0, 0, 1, 0, 7, 0]],
  ] as const) {
    it(`${what} is no ACL`, () => {
      assert.throws(() => given(Buffer.from(bytes), 0), Errno, 'EINVAL');
    });
  }
});
