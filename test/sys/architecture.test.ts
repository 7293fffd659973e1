/**
 * Protects the tables of machines, and the layouts and numbers that are taken to be the same on all of them: a C
 * compiler holds them against the kernel's own headers (linux-libc-dev, libc6-dev).
 *
 * Rule: nothing is run, so a cross compiler checks another machine from here. For 64-bit Arm, with Debian's packages
 * gcc-aarch64-linux-gnu and libc6-dev-arm64-cross:
 *
 *     CC=aarch64-linux-gnu-gcc npx mocha --no-config dist/test/sys/architecture.test.js
 */
import { spawnSync } from 'node:child_process';
import { constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { SIZEOF } from '../../fs/protocol/abi.js';
import { ARCHITECTURES, type ArchitectureName, architectureOf } from '../../fs/sys/architecture.js';
import {
  AT,
  CLONE,
  IN,
  LOCK,
  MOUNT_ATTR,
  MS,
  O,
  PR,
  RENAME,
  RESOLVE,
  S,
  SEEK,
} from '../../fs/sys/constants.js';
import { STATX_SIZE } from '../../fs/sys/stat.js';
import { getpagesize } from '../../fs/sys/syscalls.js';
import { OWNER_CALLS } from '../../runtime/container/owners/calls.js';

/** A C expression and the value that the code takes it to have. */
type Claim = readonly [expression: string, value: number];

const HEADERS = [
  'linux/types.h',
  'linux/fcntl.h',
  'linux/stat.h',
  'linux/mount.h',
  'linux/openat2.h',
  'linux/fs.h',
  'linux/inotify.h',
  'linux/sched.h',
  'linux/prctl.h',
  'linux/filter.h',
  'linux/capability.h',
  'sys/resource.h',
  'linux/time_types.h',
  'linux/if.h',
  'linux/keyctl.h',
  'linux/fuse.h',
  'linux/seccomp.h',
  'linux/audit.h',
  'asm/statfs.h',
  'asm/poll.h',
  'asm/stat.h',
  'asm/unistd.h',
];

const NAMES = Object.keys(ARCHITECTURES) as ArchitectureName[];
const MACROS: Readonly<Record<ArchitectureName, string>> = {
  x64: '__x86_64__',
  arm64: '__aarch64__',
};

/** Every claim that does not hold is one line of the compiler's. */
function refutedBy(compiler: string, source: string): string {
  const args = ['-fsyntax-only', '-std=gnu11', '-x', 'c', '-'];
  const { status, stderr, error } = spawnSync(compiler, args, { input: source, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return status === 0 ? '' : stderr;
}

const assertion = ([expression, value]: Claim): string =>
  `_Static_assert((${expression}) == (${value}LL), "${expression}");`;

const includes = HEADERS.map((name) => `#include <${name}>`).join('\n');
const COMPILER = process.env['CC'] || 'gcc';

const numbers = (prefix: string, table: Readonly<Record<string, number>>): Claim[] =>
  Object.entries(table).map(([name, value]) => [`${prefix}${name}`, value]);

/** The calls that are answered in place of the kernel, as far as the machine has them. */
const ownerCalls = (machine: ArchitectureName): Claim[] =>
  OWNER_CALLS.flatMap(({ name, numbers: known }): Claim[] => {
    const number = known[machine];
    return number === undefined ? [] : [[`__NR_${name}`, number]];
  });

const offsets = (struct: string, fields: Readonly<Record<string, number>>): Claim[] =>
  Object.entries(fields).map(([name, at]) => [`__builtin_offsetof(struct ${struct}, ${name})`, at]);

const sizes = (table: Readonly<Record<string, number>>): Claim[] =>
  Object.entries(table).map(([struct, size]) => [`sizeof(struct ${struct})`, size]);

const { DIRECTORY, NOFOLLOW, TMPFILE, ...sameFlags } = O;
const { ATIME, ...attributes } = MOUNT_ATTR;

const NUMBERS: Readonly<Record<string, readonly Claim[]>> = {
  'flags of open(2)': [
    ...numbers('O_', sameFlags),
    ['O_TMPFILE & ~O_DIRECTORY', TMPFILE & ~DIRECTORY],
    ['O_DIRECTORY & O_NOFOLLOW', DIRECTORY & NOFOLLOW],
  ],
  'file types': numbers('S_', S),
  'flags of the *at calls': numbers('AT_', AT),
  'flags of mount(2)': numbers('MS_', MS),
  'mount attributes': [...numbers('MOUNT_ATTR_', attributes), ['MOUNT_ATTR__ATIME', ATIME]],
  'openat2(2)': numbers('RESOLVE_', RESOLVE),
  namespaces: numbers('CLONE_', CLONE),
  'inotify(7)': numbers('IN_', IN),
  'prctl(2)': numbers('PR_', PR),
  'flock(2)': numbers('LOCK_', LOCK),
  'lseek(2)': numbers('SEEK_', SEEK),
  'renameat2(2)': numbers('RENAME_', RENAME),
  'ioctl(2)': [
    ['FICLONE', 0x40049409],
    ['SECCOMP_IOCTL_NOTIF_RECV', 0xc0502100],
    ['SECCOMP_IOCTL_NOTIF_SEND', 0xc0182101],
    ['SECCOMP_IOCTL_NOTIF_ID_VALID', 0x40082102],
  ],
  'architectures of a filter': [
    ['AUDIT_ARCH_X86_64', ARCHITECTURES.x64.audit],
    ['AUDIT_ARCH_AARCH64', ARCHITECTURES.arm64.audit],
    ['AUDIT_ARCH_ARM', 0x40000028],
  ],
  'system calls with one number': [
    ['__NR_open_tree', 428],
    ['__NR_move_mount', 429],
    ['__NR_fsopen', 430],
    ['__NR_fsconfig', 431],
    ['__NR_fsmount', 432],
    ['__NR_pidfd_open', 434],
    ['__NR_close_range', 436],
    ['__NR_pidfd_getfd', 438],
    ['__NR_openat2', 437],
    ['__NR_mount_setattr', 442],
  ],
};

const LAYOUTS: Readonly<Record<string, readonly Claim[]>> = {
  statx: [
    ...sizes({ statx: STATX_SIZE }),
    ...offsets('statx', {
      stx_blksize: 4,
      stx_attributes: 8,
      stx_nlink: 16,
      stx_uid: 20,
      stx_gid: 24,
      stx_mode: 28,
      stx_ino: 32,
      stx_size: 40,
      stx_blocks: 48,
      stx_atime: 64,
      stx_ctime: 96,
      stx_mtime: 112,
      stx_rdev_major: 128,
      stx_rdev_minor: 132,
      stx_dev_major: 136,
      stx_dev_minor: 140,
      stx_mnt_id: 144,
    }),
  ],
  statfs: [
    ...sizes({ statfs: 120 }),
    ...offsets('statfs', { f_type: 0, f_bsize: 8, f_blocks: 16, f_bfree: 24, f_bavail: 32, f_files: 40 }),
    ...offsets('statfs', { f_ffree: 48, f_namelen: 64, f_frsize: 72 }),
  ],
  pollfd: [...sizes({ pollfd: 8 }), ...offsets('pollfd', { fd: 0, events: 4, revents: 6 })],
  inotify_event: offsets('inotify_event', { wd: 0, mask: 4, cookie: 8, len: 12, name: 16 }),
  'times and limits': [
    ...sizes({ __kernel_timespec: 16, rlimit: 16 }),
    ...offsets('__kernel_timespec', { tv_sec: 0, tv_nsec: 8 }),
    ...offsets('rlimit', { rlim_cur: 0, rlim_max: 8 }),
  ],
  'mounts and paths': sizes({ open_how: 24, mount_attr: 32 }),
  'system call filters': [
    ...sizes({ sock_fprog: 16, sock_filter: 8 }),
    ...offsets('sock_fprog', { len: 0, filter: 8 }),
    ...offsets('sock_filter', { code: 0, jt: 2, jf: 3, k: 4 }),
    ...sizes({ seccomp_notif: 80, seccomp_notif_resp: 24 }),
    ...offsets('seccomp_notif', { id: 0, pid: 8, data: 16 }),
    ...offsets('seccomp_notif_resp', { id: 0, val: 8, error: 16, flags: 20 }),
    ...offsets('seccomp_data', { nr: 0, arch: 4, args: 16 }),
  ],
  capabilities: sizes({ __user_cap_header_struct: 8, __user_cap_data_struct: 12 }),
  'messages of sockets': [
    ...sizes({ msghdr: 56, iovec: 16, cmsghdr: 16 }),
    ...offsets('msghdr', { msg_iov: 16, msg_iovlen: 24, msg_control: 32, msg_controllen: 40 }),
    ...offsets('cmsghdr', { cmsg_len: 0, cmsg_level: 8, cmsg_type: 12 }),
  ],
  ifreq: [...sizes({ ifreq: 40 }), ...offsets('ifreq', { ifr_ifru: 16 })],
  'messages of FUSE': sizes(SIZEOF),
};

describe(`architecture: what the kernel's headers say (${COMPILER})`, () => {
  for (const [what, claims] of [...Object.entries(NUMBERS), ...Object.entries(LAYOUTS)]) {
    it(what, () => {
      assert.equal(refutedBy(COMPILER, [includes, ...claims.map(assertion)].join('\n')), '');
    });
  }

  it("the machine's own table", () => {
    const tables = NAMES.flatMap((name) => {
      const { SYS, O: flags, stat } = ARCHITECTURES[name];
      const layout = [
        ...sizes({ stat: stat.size }),
        ...offsets('stat', { st_uid: stat.st_uid, st_gid: stat.st_uid + 4 }),
      ];
      const claims = [...numbers('__NR_', SYS), ...ownerCalls(name), ...numbers('O_', flags), ...layout];
      return [`#ifdef ${MACROS[name]}`, ...claims.map(assertion), '#define SERVED', '#endif'];
    });
    const source = [includes, ...tables, '#ifndef SERVED', '#error no table', '#endif'].join('\n');
    assert.equal(refutedBy(COMPILER, source), '');
  });

  it('a wrong claim is refuted', () => {
    assert.match(refutedBy(COMPILER, `${includes}\n${assertion(['O_CREAT', 1])}`), /static assertion failed/);
  });
});

describe('architecture: the tables', () => {
  it("64-bit Arm has the kernel's generic system call numbers", () => {
    const claims = [...numbers('__NR_', ARCHITECTURES.arm64.SYS), ...ownerCalls('arm64')];
    // As arch/arm64/include/uapi/asm/unistd.h has it.
    const header = ['#define __ARCH_WANT_NEW_STAT', '#include <asm-generic/unistd.h>'];
    const source = [...header, ...claims.map(assertion)].join('\n');
    assert.equal(refutedBy(COMPILER, source), '');
  });

  it('this machine opens files with the flags that Node was built with', () => {
    const { DIRECTORY, NOFOLLOW, DIRECT } = architectureOf(process.arch).O;
    assert.deepEqual(
      [DIRECTORY, NOFOLLOW, DIRECT],
      [constants.O_DIRECTORY, constants.O_NOFOLLOW, constants.O_DIRECT],
    );
  });

  it('a page is what getconf(1) says', () => {
    const { stdout } = spawnSync('getconf', ['PAGESIZE'], { encoding: 'utf8' });
    assert.equal(getpagesize(), Number(stdout));
  });

  it('other machines are refused, in one line, before anything else', () => {
    const disguise = 'data:text/javascript,Object.defineProperty(process, "arch", { value: "riscv64" })';
    for (const [program, failure] of [
      ['tscr', 125],
      ['unionfs', 1],
    ] as const) {
      const path = fileURLToPath(new URL(`../../cli/${program}/${program}.js`, import.meta.url));
      const args = ['--import', disguise, path, '--version'];
      const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
      assert.deepEqual(
        { status, stderr },
        {
          status: failure,
          stderr: `${program}: unsupported processor architecture "riscv64"; use x64 or arm64\n`,
        },
      );
    }
  });
});
