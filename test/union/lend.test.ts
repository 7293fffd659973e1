/**
 * Protects the rights of a server without privileges: where a mode of its own forbids what the kernel has allowed its
 * caller, the mode gives way for that one call and is there again after it, whatever happens; nobody else's inode, and
 * no bit that could not be given back, is touched.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert } from 'chai';
import { O } from '../../fs/sys/constants.js';
import { E, Errno, errnoName } from '../../fs/sys/errno.js';
import { close, openat } from '../../fs/sys/syscalls.js';
import { withOwnersRights } from '../../fs/union/layers/lend.js';
import { missingForFiles, requireConditions } from '../support/acceptance/conditions.js';
import { IS_ROOT, UNPRIVILEGED as USER } from '../support/privilege.js';
import { callsOf, failing } from '../support/union/faults.js';

const SUITE = 'union/lend';
const OTHER = 1;

/** Acts as an ordinary user. */
function asUser<T>(action: () => T, further: readonly number[] = []): T {
  const [groups, gid] = [process.getgroups?.() ?? [], process.getegid?.() ?? 0];
  process.setgroups?.([...further]);
  process.setegid?.(USER);
  process.seteuid?.(USER);
  try {
    return action();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(gid);
    process.setgroups?.(groups);
  }
}

interface Case {
  readonly what: string;
  readonly kind: 'directory' | 'file';
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly lends: boolean;
  /** The mode that the action sees, if it is lent. */
  readonly lent?: number;
}

const CASES: readonly Case[] = [
  { what: 'a directory of 0555', kind: 'directory', mode: 0o555, lends: true, lent: 0o755 },
  { what: 'a directory of 0', kind: 'directory', mode: 0, lends: true, lent: 0o700 },
  { what: 'a sticky directory', kind: 'directory', mode: 0o1500, lends: true, lent: 0o1700 },
  {
    what: 'a directory that passes its group on',
    kind: 'directory',
    mode: 0o2555,
    lends: true,
    lent: 0o2755,
  },
  { what: 'one of a group that is not his', kind: 'directory', mode: 0o2555, gid: OTHER, lends: false },
  {
    what: 'the same without set-group-id',
    kind: 'directory',
    mode: 0o555,
    gid: OTHER,
    lends: true,
    lent: 0o755,
  },
  { what: "another user's directory", kind: 'directory', mode: 0o555, uid: OTHER, lends: false },
  { what: 'a file of 0444', kind: 'file', mode: 0o444, lends: true, lent: 0o644 },
  { what: 'a file of 0', kind: 'file', mode: 0, lends: true, lent: 0o600 },
  { what: 'a program of 0555', kind: 'file', mode: 0o555, lends: true, lent: 0o755 },
  { what: "another user's file", kind: 'file', mode: 0o444, uid: OTHER, lends: false },
];

// Who is no root can be nobody else.
(IS_ROOT ? describe : (): void => {})(SUITE, () => {
  let root = '';
  before(function () {
    requireConditions(this, SUITE, missingForFiles());
  });
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'unionfs-lend-'));
    chmodSync(root, 0o755);
    chownSync(root, USER, USER);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const at = (...names: string[]): string => join(root, ...names);
  const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

  function make({ kind, mode, uid = USER, gid = USER }: Omit<Case, 'what' | 'lends'>): void {
    if (kind === 'directory') mkdirSync(at('x'));
    else writeFileSync(at('x'), '');
    chownSync(at('x'), uid, gid);
    chmodSync(at('x'), mode);
  }

  /** What needs the right: a new name in a directory, or opening a file for writing. */
  const use = (dirfd: number, kind: Case['kind']): void =>
    close(
      kind === 'directory'
        ? openat(dirfd, 'x/new', O.WRONLY | O.CREAT | O.EXCL, 0o600)
        : openat(dirfd, 'x', O.RDWR),
    );

  /** Does something with the open root. */
  function withRoot<T>(action: (dirfd: number) => T): T {
    const dirfd = openSync(root, 'r');
    try {
      return action(dirfd);
    } finally {
      closeSync(dirfd);
    }
  }

  const outcome = (action: () => unknown): string => {
    try {
      action();
      return 'done';
    } catch (error) {
      if (error instanceof Errno) return errnoName(error.code);
      throw error;
    }
  };

  for (const { what, lends, lent, ...inode } of CASES) {
    it(`${what}: ${lends ? 'lent for the call' : 'refused'}, and as it was afterwards`, () => {
      make(inode);
      const seen: number[] = [];
      const said = withRoot((dirfd) =>
        asUser(() =>
          outcome(() =>
            withOwnersRights([{ dirfd, name: 'x' }], () => {
              seen.push(modeOf(at('x')));
              use(dirfd, inode.kind);
            }),
          ),
        ),
      );
      assert.equal(said, lends ? 'done' : 'EACCES');
      assert.deepEqual(seen, [inode.mode, lends ? lent : inode.mode]);
      assert.equal(modeOf(at('x')), inode.mode);
    });
  }

  it('what is allowed anyway is done once, and no mode changes', () => {
    make({ kind: 'directory', mode: 0o555 });
    let calls = 0;
    const result = withRoot((dirfd) =>
      withOwnersRights([{ dirfd, name: 'x' }], () => {
        calls += 1;
        return modeOf(at('x'));
      }),
    );
    assert.deepEqual([result, calls], [0o555, 1]);
  });

  it('another error than EACCES is not helped', () => {
    make({ kind: 'directory', mode: 0o555 });
    let calls = 0;
    withRoot((dirfd) =>
      assert.throws(
        () =>
          withOwnersRights([{ dirfd, name: 'x' }], () => {
            calls += 1;
            throw new Errno(E.ENOSPC, 'openat');
          }),
        Errno,
        'ENOSPC',
      ),
    );
    assert.equal(calls, 1);
  });

  it('a descriptor is lent by itself, and stays open', () => {
    make({ kind: 'directory', mode: 0o555 });
    const fd = openSync(at('x'), 'r');
    try {
      asUser(() =>
        withOwnersRights([{ dirfd: fd, name: '' }], () => close(openat(fd, 'new', O.CREAT, 0o600))),
      );
      assert.equal(modeOf(at('x')), 0o555);
      assert.deepEqual(readdirSync(at('x')), ['new']);
      assert.isTrue(outcome(() => close(openat(fd, '.', O.RDONLY))) === 'done');
    } finally {
      closeSync(fd);
    }
  });

  it('whatever the action does with the names, each inode has its own mode again', () => {
    make({ kind: 'directory', mode: 0o555 });
    mkdirSync(at('y'));
    chownSync(at('y'), USER, USER);
    chmodSync(at('y'), 0o500);
    withRoot((dirfd) =>
      asUser(() =>
        withOwnersRights(
          [
            { dirfd, name: 'x' },
            { dirfd, name: 'gone' },
            { dirfd, name: 'y' },
          ],
          () => {
            use(dirfd, 'directory');
            renameSync(at('x'), at('z'));
            renameSync(at('y'), at('x'));
          },
        ),
      ),
    );
    assert.deepEqual([modeOf(at('z')), modeOf(at('x'))], [0o555, 0o500]);
  });

  it('the same inode twice is lent once more and given back in turn; no descriptor is left', () => {
    make({ kind: 'directory', mode: 0o500 });
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const fd = openSync(at('x'), 'r');
    asUser(() =>
      withOwnersRights(
        [
          { dirfd: fd, name: '' },
          { dirfd: fd, name: '.' },
        ],
        () => {
          if (modeOf(at('x')) === 0o500) throw new Errno(E.EACCES, 'openat');
        },
      ),
    );
    closeSync(fd);
    assert.deepEqual([modeOf(at('x')), open()], [0o500, before]);
  });

  it('a group that is one of his further ones is his', () => {
    make({ kind: 'directory', mode: 0o2555, gid: OTHER });
    withRoot((dirfd) =>
      asUser(() => withOwnersRights([{ dirfd, name: 'x' }], () => use(dirfd, 'directory')), [OTHER]),
    );
    assert.equal(modeOf(at('x')), 0o2555);
  });

  it('a symlink is not followed', () => {
    make({ kind: 'file', mode: 0o444 });
    symlinkSync('x', at('link'));
    const said = withRoot((dirfd) =>
      asUser(() => outcome(() => withOwnersRights([{ dirfd, name: 'link' }], () => use(dirfd, 'file')))),
    );
    assert.deepEqual([said, modeOf(at('x'))], ['EACCES', 0o444]);
  });

  it('the mode comes back when the action fails, and when any one call does', () => {
    make({ kind: 'directory', mode: 0o500 });
    const attempt = (dirfd: number) => (): void =>
      withOwnersRights([{ dirfd, name: 'x' }], () => {
        if (modeOf(at('x')) === 0o500) throw new Errno(E.EACCES, 'openat');
        close(openat(dirfd, '.', O.RDONLY));
        throw new Errno(E.EIO, 'openat');
      });
    withRoot((dirfd) =>
      asUser(() => {
        const count = callsOf(() => void outcome(attempt(dirfd))).length;
        assert.isAbove(count, 3);
        const open = readdirSync('/proc/self/fd').length;
        for (let call = 0; call < count; call++) {
          outcome(() => failing(call, E.EPERM, attempt(dirfd)));
          assert.deepEqual(
            [modeOf(at('x')), readdirSync('/proc/self/fd').length],
            [0o500, open],
            `call ${call}`,
          );
        }
      }),
    );
  });
});
