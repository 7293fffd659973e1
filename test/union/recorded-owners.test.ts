/**
 * Protects owners, modes, types, ACLs and capabilities where an attribute keeps them: whatever is made, given away and
 * changed, at once and after a remount, the union shows what it shows where inodes keep them, and no inode on disk is
 * anybody else's, a device, or has a set-id bit. The oracle is the filesystem below a union of ordinary inodes.
 */
import {
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { assert } from 'chai';
import type { AttributeChanges, Caller, NewInode, NodeId } from '../../fs/protocol/filesystem.js';
import { ACL, PR, S, SECBIT_NO_SETUID_FIXUP } from '../../fs/sys/constants.js';
import { E, Errno, errnoName } from '../../fs/sys/errno.js';
import { getxattrat, prctl } from '../../fs/sys/syscalls.js';
import type { UnionFilesystem } from '../../fs/union/filesystem.js';
import { InodeSet } from '../../fs/union/layers/inode-set.js';
import { keepingXattr, type Ownership, parseOverride } from '../../fs/union/owners/id-mapping.js';
import { deviceName } from '../../fs/union/owners/virtual-owners.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_HOST_ROOT } from '../support/privilege.js';
import { UNCHANGED } from '../support/protocol/bytes.js';
import { Random } from '../support/random.js';
import { acl } from '../support/union/acts.js';
import { CALLER, type Connections, Disk, lookup, NO_PRUNING } from '../support/union/disk.js';
import { callsOf, failing } from '../support/union/faults.js';
import { inode } from '../support/union/model.js';

const SUITE = 'union/recorded owners';
const SEED = 41;
const STEPS = 400;
const ROOT = 1 as NodeId;
const CAPABILITY = 'security.capability';
/** struct vfs_cap_data: version 2, one permitted bit. */
const CAPABLE = Buffer.from([0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const KEEPS = ['user', 'privileged'] as const;

const empty = (): ReturnType<typeof inode> => inode('directory', 'layer', { mode: 0o755 });

/** The same lower layer for every union: files, a directory and a symlink of several owners. */
function write(disk: Disk): void {
  disk.write(empty(), [empty()]);
  const lower = (...names: string[]): string => disk.path('lower1', ...names);
  mkdirSync(lower('low'));
  writeFileSync(lower('low', 'file'), 'lower');
  writeFileSync(lower('low', 'twin'), 'twin');
  symlinkSync('target', lower('low', 'link'));
  for (const [name, uid] of [
    ['file', 1000],
    ['twin', 0],
  ] as const)
    chownSync(lower('low', name), uid, uid);
}

/** What a union shows of one name. */
function shown(fs: UnionFilesystem, parent: NodeId, name: string) {
  const entry = lookup(fs, parent, name);
  if (entry === undefined) return 'nothing';
  const { mode, uid, gid, nlink, rdevMajor, rdevMinor } = entry.attributes;
  const xattrs = fs.listxattr(CALLER, entry.nodeid).sort();
  const values = xattrs.map((attribute) =>
    Buffer.from(fs.getxattr(entry.nodeid, attribute) ?? []).toString('hex'),
  );
  const isLink = (mode & S.IFMT) === S.IFLNK;
  const isDirectory = (mode & S.IFMT) === S.IFDIR;
  return {
    mode: mode.toString(8),
    owner: [uid, gid],
    links: isDirectory ? 0 : nlink,
    device: [rdevMajor, rdevMinor],
    target: isLink ? fs.readlink(entry.nodeid) : '',
    xattrs,
    values,
  };
}

/** What an operation says. */
function outcome(act: () => unknown): string {
  try {
    act();
    return 'done';
  } catch (error) {
    if (error instanceof Errno) return errnoName(error.code);
    throw error;
  }
}

const CALLERS: readonly Caller[] = [
  { uid: 0, gid: 0, pid: 1 },
  { uid: 1000, gid: 1001, pid: 1 },
  { uid: 7, gid: 0, pid: 1 },
];

const NODES = [S.IFREG, S.IFIFO, S.IFSOCK, S.IFCHR, S.IFBLK];
const PLAIN = [S.IFREG, S.IFDIR];
const MODED = [...NODES, S.IFDIR];
const LINKED = [...NODES, S.IFLNK];
const ANY = [...MODED, S.IFLNK];

/** What mkdir(2) takes of a mode. */
const MKDIR_TAKES = 0o1777;

function newInode(random: Random): NewInode {
  const umask = random.pick([0, 0o22, 0o77]);
  const permissions = random.below(0o10000);
  if (random.below(4) === 0) return { kind: 'symlink', target: random.pick(['a', '../somewhere/else']) };
  if (random.below(3) === 0) return { kind: 'directory', mode: S.IFDIR | (permissions & MKDIR_TAKES), umask };
  const mode = random.pick(NODES) | permissions;
  return { kind: 'node', mode, major: 1 + random.below(3), minor: random.below(300), umask };
}

type Step = (fs: UnionFilesystem) => unknown;

const NAMES = ['a', 'b', 'c', 'd'];
const PARENTS = [[], ['low'], ['made']];
const LOWER_NAMES = ['file', 'twin', 'link'];

/** A step that any union can be asked for: each finds its own nodes. */
function draw(random: Random): { step: Step; parent: readonly string[]; name: string } {
  const parent = random.pick(PARENTS);
  const name = random.pick(parent[0] === 'low' ? [...NAMES, ...LOWER_NAMES] : NAMES);
  const caller = random.pick(CALLERS);
  const at = (fs: UnionFilesystem): NodeId =>
    parent.reduce<NodeId>((node, each) => found(fs, node, each), ROOT);
  /** On kinds that the kernel passes the request on for. */
  const on =
    (kinds: readonly number[], use: (fs: UnionFilesystem, node: NodeId) => unknown): Step =>
    (fs) => {
      const node = found(fs, at(fs), name);
      return kinds.includes(fs.getattr(node).attributes.mode & S.IFMT) ? use(fs, node) : undefined;
    };
  const change = (kinds: readonly number[], changes: Partial<AttributeChanges>): Step =>
    on(kinds, (fs, node) => fs.setattr(CALLER, node, { ...UNCHANGED, ...changes }));
  const made = newInode(random);
  const value = acl(random.below(8));
  const permissions = random.below(0o10000);
  const killSetGid = random.below(2) === 0;
  const owner = { uid: random.pick([0, 5, 1000]), gid: random.pick([0, 6, 1001]) };
  const create: Step = (fs) => {
    if (lookup(fs, at(fs), name) !== undefined) throw new Errno(E.EEXIST); // as the kernel says it
    fs.create(caller, at(fs), name, made);
  };
  const step = random.pick<Step>([
    create,
    create,
    create,
    (fs) => {
      const node = found(fs, at(fs), name);
      if ((fs.getattr(node).attributes.mode & S.IFMT) === S.IFDIR) fs.rmdir(at(fs), name);
      else fs.unlink(at(fs), name);
    },
    change(MODED, { mode: permissions }),
    change(ANY, { uid: owner.uid }),
    change(ANY, { gid: owner.gid }),
    change(ANY, owner),
    change(MODED, { ...owner, mode: permissions }),
    on(MODED, (fs, node) => fs.setxattr(node, ACL.ACCESS, value, 0, killSetGid)),
    on([S.IFDIR], (fs, node) => fs.setxattr(node, ACL.DEFAULT, value, 0, false)),
    on(MODED, (fs, node) => fs.removexattr(node, ACL.ACCESS)),
    on([S.IFREG], (fs, node) => fs.setxattr(node, CAPABILITY, CAPABLE, 0, false)),
    on(PLAIN, (fs, node) => fs.setxattr(node, 'user.note', Buffer.from('note'), 0, false)),
    on(PLAIN, (fs, node) => fs.removexattr(node, 'user.note')),
    on([S.IFREG], (fs, node) => fs.write(CALLER, node, 0, Buffer.from('text'), false)),
    on(LINKED, (fs, node) => {
      const free = NAMES.find((other) => lookup(fs, at(fs), other) === undefined);
      if (free !== undefined) fs.link(node, at(fs), free);
    }),
  ]);
  return { step, parent, name };
}

function found(fs: UnionFilesystem, parent: NodeId, name: string): NodeId {
  const entry = lookup(fs, parent, name);
  if (entry === undefined) throw new Errno(E.ENOENT);
  return entry.nodeid;
}

/** Uses a union that keeps owners in inodes, or in an attribute. */
function withUnion<T>(ownership: Ownership | undefined, use: (disk: Disk) => T, parts: Connections = {}): T {
  const disk = new Disk('never', ownership && { ownership });
  const umask = process.umask(0);
  prctl(PR.SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP); // as the serving thread does
  try {
    write(disk);
    disk.open(parts);
    return use(disk);
  } finally {
    disk.union.credentials.actAs(CALLER);
    prctl(PR.SET_SECUREBITS, 0);
    disk.remove();
    process.umask(umask);
  }
}

/** After each step of a history what it said and shows; at the end, what the next mount shows of every name. */
function history(disk: Disk): unknown[] {
  const random = new Random(SEED);
  const fs = disk.filesystem;
  const told: unknown[] = [];
  const { nodeid } = fs.create(CALLER, ROOT, 'made', { kind: 'directory', mode: S.IFDIR | 0o775, umask: 0 });
  fs.setattr(CALLER, nodeid, { ...UNCHANGED, gid: 1001, mode: 0o2775 });
  for (let number = 0; number < STEPS; number++) {
    const { step, parent, name } = draw(random);
    const said = outcome(() => step(fs));
    const node = parent.reduce<NodeId>((at, each) => found(fs, at, each), ROOT);
    told.push({ number, said, at: [...parent, name], shown: shown(fs, node, name) });
  }
  disk.peek((next) => {
    for (const parent of PARENTS) {
      const node = parent.reduce<NodeId>((at, each) => found(next, at, each), ROOT);
      for (const name of [...NAMES, ...LOWER_NAMES]) told.push([...parent, name, shown(next, node, name)]);
    }
  });
  return told;
}

/** Everything in upper is the server's own, of a kind that anybody can make, and lends nobody a right. */
function checkDisk(directory: string, attribute: string): number {
  let checked = 0;
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const stat = lstatSync(path);
    if (stat.isCharacterDevice() && stat.rdev === 0) continue; // a whiteout
    assert.deepEqual([stat.uid, stat.gid], [process.geteuid?.(), process.getegid?.()], path);
    assert.isTrue(stat.isFile() || stat.isDirectory() || stat.isSymbolicLink(), path);
    if (!stat.isSymbolicLink()) {
      assert.equal(stat.mode & 0o6022, 0, path);
      const fd = openSync(path, 'r');
      const value = getxattrat(fd, '', attribute) ?? assert.fail(`${path} has no ${attribute}`);
      closeSync(fd);
      parseOverride(value, stat.mode);
    }
    checked += 1;
    if (stat.isDirectory()) checked += checkDisk(path, attribute);
  }
  return checked;
}

// Devices and every id, with which to compare, are the host's root's.
(IS_HOST_ROOT ? describe : (): void => {})(SUITE, () => {
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });

  let plain: unknown[] = [];
  before(() => {
    plain = withUnion(undefined, history);
  });

  for (const keep of KEEPS) {
    it(`of "${keep}" are shown as inodes' are, after each of ${STEPS} steps and to the next mount`, () => {
      withUnion({ keep }, (disk) => {
        for (const [at, told] of history(disk).entries()) assert.deepEqual(told, plain[at]);
        assert.isAbove(checkDisk(disk.path('upper'), keepingXattr(keep)), 10);
        assert.isEmpty(disk.leftovers());
      });
    });
  }

  const make = (fs: UnionFilesystem, name: string, mode: number): NodeId =>
    fs.create(CALLER, ROOT, name, { kind: 'node', mode, major: 1, minor: 3, umask: 0 }).nodeid;
  const CHANGES: Readonly<Record<string, (fs: UnionFilesystem, node: NodeId) => unknown>> = {
    chown: (fs, node) => fs.setattr(CALLER, node, { ...UNCHANGED, uid: 5 }),
    chmod: (fs, node) => fs.setattr(CALLER, node, { ...UNCHANGED, mode: 0o751 }),
    'chown and chmod': (fs, node) => fs.setattr(CALLER, node, { ...UNCHANGED, gid: 6, mode: 0o751 }),
    'set an ACL': (fs, node) => fs.setxattr(node, ACL.ACCESS, acl(3), 0, false),
    'set an ACL that takes set-group-id': (fs, node) => fs.setxattr(node, ACL.ACCESS, acl(3), 0, true),
  };
  for (const [what, change] of Object.entries(CHANGES)) {
    for (const hasAcl of [false, true]) {
      it(`${what} of a file ${hasAcl ? 'with' : 'without'} an ACL: all or nothing, whichever call fails`, () => {
        withUnion({ keep: 'user' }, (disk) => {
          const fs = disk.filesystem;
          const fresh = (name: string): NodeId => {
            const node = make(fs, name, S.IFREG | 0o6755);
            if (hasAcl) fs.setxattr(node, ACL.ACCESS, acl(7), 0, false);
            return node;
          };
          const changed = fresh('changed');
          const count = callsOf(() => change(fs, changed)).length;
          const after = shown(fs, ROOT, 'changed');
          for (let at = 0; at < count; at++) {
            const node = fresh(`f${at}`);
            const before = shown(fs, ROOT, `f${at}`);
            const said = outcome(() => failing(at, E.EIO, () => change(fs, node)));
            const now = shown(fs, ROOT, `f${at}`);
            assert.include(
              [JSON.stringify(before), JSON.stringify(after)],
              JSON.stringify(now),
              `call ${at}`,
            );
            if (said === 'done') assert.deepEqual(now, after, `call ${at}`);
          }
        });
      });
    }
  }

  it('an owner that is given past the kernel is recorded and known; what is none is refused', () => {
    const secret = 'system.unionfs.owner.secret';
    withUnion({ keep: 'user' }, ({ filesystem: fs }) => {
      const node = make(fs, 'f', S.IFREG | 0o4755);
      const give = (): void => fs.setxattr(node, secret, Buffer.from('5:6'), 0, false);
      assert.equal(outcome(give), 'EOPNOTSUPP', 'of a mount without such a way');
    });
    const inodes = new InodeSet();
    let told = 0;
    const notifier = { invalidateEntry: () => {}, invalidateInode: () => 0, isDelivered: () => true };
    const kernel = { notifier, attributesChanged: () => void told++, pruning: NO_PRUNING };
    const test = ({ filesystem: fs }: Disk): void => {
      const node = make(fs, 'f', S.IFREG | 0o4755);
      const give = (value: string) => (): void => fs.setxattr(node, secret, Buffer.from(value), 0, false);
      const given = (): string | undefined => fs.getxattr(node, secret)?.toString();
      assert.deepEqual([given(), inodes.has(fs.getattr(node).attributes.ino)], ['0:0', false]);
      assert.equal(outcome(give('5')), 'EINVAL');
      assert.equal(told, 0);
      give('5:6')();
      assert.deepEqual([given(), told], ['5:6', 1]);
      assert.equal(fs.getattr(node).attributes.mode, S.IFREG | 0o755);
      assert.isTrue(inodes.has(fs.getattr(node).attributes.ino));
      give('4294967295:7')();
      assert.equal(given(), '5:7');
    };
    withUnion({ keep: 'user' }, test, { kernel, virtualOwners: { secret, inodes } });
  });

  it('a device that is asked for past the kernel is an unnamed inode, which gets its name by link(2)', () => {
    const secret = 'secret';
    const test = ({ filesystem: fs }: Disk): void => {
      const device = { mode: S.IFCHR | 0o620, major: 1, minor: 5 };
      const entry = lookup(fs, ROOT, deviceName(secret, device)) ?? assert.fail('no device');
      assert.deepInclude(entry.attributes, { mode: device.mode, rdevMajor: 1, rdevMinor: 5, nlink: 1 });
      assert.equal(entry.entryTimeout, 0);
      fs.link(entry.nodeid, ROOT, 'zero');
      assert.deepInclude(shown(fs, ROOT, 'zero') as object, { device: [1, 5], links: 1 });
      assert.equal(
        outcome(() => lookup(fs, ROOT, deviceName(secret, { ...device, major: 0, minor: 0 }))),
        'EPERM',
      );
      assert.isUndefined(lookup(fs, ROOT, `${secret}:1`));
    };
    withUnion({ keep: 'user' }, test, { virtualOwners: { secret, inodes: new InodeSet() } });
  });
});
