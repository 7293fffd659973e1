/** What manual and reference pages say beside the help: exit codes, variables, files, other pages. */

export interface Notes {
  readonly title: string;
  readonly summary: string;
  readonly exit: readonly (readonly [code: string, meaning: string])[];
  readonly environment: readonly (readonly [name: string, meaning: string])[];
  readonly files: readonly (readonly [path: string, meaning: string])[];
  readonly examples: readonly string[];
  readonly seeAlso: readonly string[];
}

export const NOTES: Readonly<Record<string, Notes>> = {
  unionfs: {
    title: 'union filesystem',
    summary:
      'unionfs shows several directories as one: lower layers, which it never changes, and an upper layer, which takes all changes. It has the semantics of the kernel\'s overlayfs and serves the mount over FUSE. Ordinary users mount through fusermount3, or see a union in a namespace of their own with "unionfs exec".',
    exit: [
      ['0', 'success'],
      ['1', 'an error; "unionfs exec" has other codes'],
      [
        '125, 126, 127',
        '"unionfs exec": its own error; the command is not executable; the command is not found',
      ],
    ],
    environment: [
      ['UNIONFS_MOUNT', '"unionfs exec" sets it for the command: the path of the union'],
      ['TMPDIR', 'where "unionfs exec" makes its mountpoint'],
      ['NO_COLOR', 'no colours'],
    ],
    files: [
      ['.NAME.unionfs-work', 'beside the upper layer NAME: the work directory, unless --workdir names one'],
    ],
    examples: [
      'unionfs mount --lower /a:/b --upper /changes /merged',
      'unionfs diff /merged',
      'unionfs umount /merged',
      'unionfs exec --lower /opt/data --upper changes -- ./job',
    ],
    seeAlso: ['unionfs-overlay(1)', 'tscr(1)', 'fusermount3(1)', 'mount(8)'],
  },
  tscr: {
    title: 'container runtime',
    summary:
      'tscr loads and makes images and runs containers of them, as root or as an ordinary user, without a daemon. A container\'s root is a union of the image\'s layers (unionfs(1)). "tscr doctor" says what works on this host and how to get what is missing.',
    exit: [
      ['125', 'an error of tscr itself'],
      ['126', 'the command of the container is not executable'],
      ['127', 'the command of the container is not found'],
      ['128 + n', 'signal n killed the command'],
      ['other', "the command's own exit code"],
    ],
    environment: [
      ['TSCR_ROOT', 'the store, unless --root names one'],
      ['TSCR_RUN', 'the state of this node (default: $XDG_RUNTIME_DIR/tscr, /tmp/tscr-UID)'],
      ['XDG_DATA_HOME', "where ordinary users' stores are (default: ~/.local/share)"],
      ['SOURCE_DATE_EPOCH', 'the time of what commit, import and from-host make'],
      ['NO_COLOR', 'no colours'],
    ],
    files: [
      ['/var/lib/tscr', "root's store"],
      ['~/.local/share/tscr', "an ordinary user's store"],
      ['/etc/subuid, /etc/subgid', 'further ids of ordinary users'],
    ],
    examples: [
      'tscr load -i debian.tar',
      'tscr run --rm debian:12 cat /etc/os-release',
      'tscr run --name work debian:12 apt-get install -y gcc',
      'tscr commit work debian:gcc',
    ],
    seeAlso: ['unionfs(1)', 'newuidmap(1)', 'user_namespaces(7)'],
  },
};
