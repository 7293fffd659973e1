/**
 * Tests of the union and its mount that fail for who is not root, and why: what the kernel refuses him.
 *
 * Rules: the list is held against what fails (suite.test.ts), and printed in docs/conformance.md. A title is that of a
 * test, or of a suite, all of whose tests fail.
 */
import { type Mode, WHO } from './namespace.js';

export interface Exception {
  readonly reason: string;
  readonly modes: readonly Mode[];
  /** Titles by file, from test/. Files that are not run in a mode do not matter there. */
  readonly tests: Readonly<Record<string, readonly string[]>>;
}

/** The list as it stands in docs/conformance.md. */
export function table(exceptions: readonly Exception[]): string {
  const rows = exceptions.map(({ reason, modes, tests }) => {
    const titles = Object.entries(tests).map(([file, all]) => `${file}: ${all.join('; ')}`);
    return `| ${reason} | ${modes.map((mode) => WHO[mode]).join(', ')} | ${titles.join('<br>')} |`;
  });
  return ['| reason | who | tests |', '|---|---|---|', ...rows].join('\n');
}

const BOTH: readonly Mode[] = ['namespace', 'user'];

export const EXCEPTIONS: readonly Exception[] = [
  {
    reason:
      "directories of lower layers are not renamed (EXDEV): a redirect is believed only if the host's root wrote it",
    modes: BOTH,
    tests: {
      'union/engine': [
        'union/engine directories stay whole when they, and then what is in them, move on and on',
      ],
      'mount/fuse-native': ['fuse-native renames directories of lower layers'],
      'crash/mount-commit-point': [
        'mount/commit-point a rename of a directory, renameat2(2) number 2 fails: EIO',
      ],
      'mount/rename': [
        'rename a directory that has moved into a new one is found again when the kernel has forgotten it',
        'rename open files and the working directory go with a directory that moves',
        'rename RENAME_NOREPLACE refuses a name that is taken, in whichever layer, and takes one that is deleted',
        'rename RENAME_EXCHANGE swaps files, directories, and one with the other, across layers and directories',
      ],
    },
  },
  {
    reason: 'mknod of devices is refused, and there they cannot be opened',
    modes: BOTH,
    tests: {
      'mount/names': ['names that would be read as deletions other devices are made'],
      'cli/options': ['unionfs mount: options devices work, but not with -o nodev'],
      'acceptance/tree': ['acceptance: comparing trees sees another device number, and nothing else'],
    },
  },
  {
    reason: 'there are no loop devices, and filesystems on disk are not mounted',
    modes: ['namespace'],
    tests: {
      'mount/filesystems': ['ext4', 'xfs', 'btrfs']
        .map((name) => `filesystems of layers upper on ${name}`)
        .concat(['squashfs', 'erofs'].map((name) => `filesystems of layers lower on ${name}`)),
      'mount/layers': ['layers on a filesystem of their own'],
    },
  },
  {
    reason: 'the immutable and append-only flags take CAP_LINUX_IMMUTABLE of the host',
    modes: ['namespace'],
    tests: {
      'mount/flags': [
        'inode flags of files that are made in the union are kept, shown and obeyed',
        'inode flags of lower entries protect them until they are taken away',
        'inode flags an append-only file of a lower layer takes appends alone, before the copy and after it',
      ],
    },
  },
  {
    reason:
      '`trusted.` attributes are neither set nor shown; in one of them a layer says that a file has no data',
    modes: BOTH,
    tests: {
      'mount/data': ['file data a metadata-only copy shows its attributes, and never the wrong data: EIO'],
    },
  },
  {
    reason: 'a symlink has `trusted.` attributes only',
    modes: ['namespace'],
    tests: {
      'acceptance/tree': [
        'acceptance: comparing trees sees an empty attribute of a symlink, and nothing else',
      ],
    },
  },
  {
    reason:
      "`security.` attributes are the host's root's on his filesystems; `xattr_permissions=2` needs none",
    modes: ['namespace'],
    tests: {
      'mount/ownership': [
        'ownership as root xattr_permissions=1 keeps owners, modes and devices where root alone can write them',
      ],
    },
  },
  {
    reason:
      "upper's filesystem clears set-id bits at every write of a server without CAP_FSETID of the host; a plain directory keeps them where a mapping changes the file",
    modes: ['namespace'],
    tests: {
      'mount/attributes': [
        'attributes set-id bits go as on the filesystem below: change through a mapping by somebody else, and by root',
      ],
    },
  },
  {
    reason: "fusermount3, a set-user-id program of the host's root, has no effect in a user namespace",
    modes: ['namespace'],
    tests: {
      'mount/ordinary-user': [
        'mount: ordinary users through fusermount3: a union is mounted, changed, busy, unmounted and mounted again',
        'mount: ordinary users a mount without upper is read-only, and flags that users may give arrive',
        'mount: ordinary users others get in when the user asks for it and fuse.conf allows it',
        'mount: ordinary users what others make is refused as by fuse-overlayfs, and the user may use all of his groups',
      ],
    },
  },
  {
    reason: "mount(8)'s helpers are in /sbin, and it works for root only",
    modes: BOTH,
    tests: { 'cli/overlay': ['cli: in place of fuse-overlayfs: mounts by mount(8), from a line of fstab'] },
  },
  {
    reason: 'kernel overlayfs, with which the test compares, takes a user namespace',
    modes: ['user'],
    tests: {
      'mount/experiments': [
        'experiments 20: a descriptor and a mapping that are older than the copy-up the mapping stays with the old data on kernel overlayfs, which is the difference we document',
      ],
      'mount/rename': ['rename shows the same on kernel overlayfs'],
      'mount/whiteouts': [
        'whiteouts what the union writes means the same to the kernel: deletions, re-creations, opaque directories',
        'whiteouts in lower layers the kernel agrees on the forms that it reads',
        'whiteouts in upper layers the kernel agrees on the forms that it reads',
      ],
    },
  },
  {
    reason: 'an ordinary user gives no file away and becomes nobody else',
    modes: ['user'],
    tests: {
      'mount/data': [
        'file data what a user may not read or write stays out of reach, though opens do not reach the server',
      ],
      'mount/fuse-native': [
        'fuse-native changes modes, owners, sizes and times',
        'fuse-native keeps out everybody else: what they made would be the mounting user’s, set-user-id files too',
      ],
    },
  },
  {
    reason: 'fusermount3 mounts with nosuid and nodev',
    modes: ['user'],
    tests: { 'mount/fuse-native': ['fuse-native mounts, and says what it cannot do'] },
  },
];
