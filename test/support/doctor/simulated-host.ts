/**
 * A machine made of tables. As it stands, it is Debian 12 on which an ordinary user, "ann", has everything; each test
 * takes one piece away.
 */
import type { DirectoryTrial, Host, HostFile, Outcome } from '../../../runtime/host/host.js';
import { INIT_6_18 } from '../protocol/init-bytes.js';

export const UID = 1000;
const PID = 4711;
export const STORE = '/home/ann/.local/share/tscr';

const file = (mode: number, more: Partial<HostFile> = {}): HostFile => ({
  kind: 'file',
  mode,
  uid: 0,
  readable: true,
  writable: false,
  executable: (mode & 0o111) !== 0,
  hasCapabilities: false,
  ...more,
});
const directory = (uid: number): HostFile => file(0o755, { kind: 'directory', uid, writable: uid === UID });

const FUSE = { kind: 'character device', device: '10:229' } as const;
export const DEVICE = file(0o666, { ...FUSE, writable: true });
/** What sandboxes put over what they hide. */
export const NULL_DEVICE = file(0o666, { ...FUSE, device: '1:3', writable: true });
/** No more than the owner may use it. */
export const PRIVATE_DEVICE = file(0o600, { ...FUSE, readable: false });
export const SET_USER_ID = file(0o4755);
export const PLAIN_PROGRAM = file(0o755);
export const CAPABLE_PROGRAM = file(0o755, { hasCapabilities: true });
export const DIRECTORY_OF_ROOT = directory(0);
export const DIRECTORY_OF_ANN = directory(UID);

const FILES: Readonly<Record<string, HostFile>> = {
  '/': DIRECTORY_OF_ROOT,
  '/dev/fuse': DEVICE,
  '/usr/bin/newuidmap': SET_USER_ID,
  '/usr/bin/newgidmap': SET_USER_ID,
  '/usr/bin/fusermount3': SET_USER_ID,
  '/usr/bin/unshare': PLAIN_PROGRAM,
  '/proc/self/ns/user': file(0o444),
  '/home/ann': DIRECTORY_OF_ANN,
  '/run/user/1000': DIRECTORY_OF_ANN,
  '/run/systemd/system': DIRECTORY_OF_ROOT,
  '/sys/fs/cgroup/user.slice/session.scope/cgroup.procs': file(0o644, { uid: UID, writable: true }),
};

export const mountLine = (mountpoint: string, type: string, options = 'rw,relatime'): string =>
  `30 1 8:1 / ${mountpoint} ${options} shared:1 - ${type} ${type} rw\n`;

export const MOUNTS = mountLine('/', 'ext4') + mountLine('/home', 'ext4');
export const CGROUP_V2 = mountLine('/sys/fs/cgroup', 'cgroup2');

export const statusOf = (capabilities: string, noNewPrivileges = 0): string =>
  `CapEff:\t${capabilities}\nNoNewPrivs:\t${noNewPrivileges}\nSeccomp:\t0\nSeccomp_filters:\t0\n`;
export const ALL_CAPABILITIES = '000001ffffffffff';

const TEXTS: Readonly<Record<string, string>> = {
  '/etc/os-release': 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n',
  '/etc/subuid': 'bob:100000:65536\nann:165536:65536\n',
  '/etc/subgid': 'bob:100000:65536\nann:165536:65536\n',
  '/etc/fuse.conf': '# comment\nuser_allow_other\n',
  '/proc/filesystems': 'nodev\tproc\n\text4\nnodev\toverlay\n\tfuse\n',
  '/proc/self/status': statusOf('0000000000000000'),
  '/proc/self/stat': '4711 (node) R 1 4711\n',
  '/proc/self/uid_map': '         0          0 4294967295\n',
  '/proc/self/mountinfo': MOUNTS + CGROUP_V2,
  '/proc/self/cgroup': '0::/user.slice/session.scope\n',
  '/proc/sys/kernel/osrelease': '6.1.0-18-amd64\n',
  '/proc/sys/kernel/seccomp/actions_avail':
    'kill_process kill_thread trap errno user_notif trace log allow\n',
  '/proc/sys/user/max_user_namespaces': '96343\n',
  '/sys/fs/cgroup/user.slice/session.scope/cgroup.controllers': 'cpu memory pids\n',
};

const TRIAL: DirectoryTrial = {
  userXattrs: true,
  trustedXattrs: false,
  tmpfile: true,
  reflink: false,
  symlinks: true,
  free: 50 * 2 ** 30,
};

/** What a simulated host has differently; undefined takes a file away. */
export interface Changes {
  readonly uid?: number;
  readonly userName?: string | undefined;
  readonly home?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly texts?: Readonly<Record<string, string | undefined>>;
  readonly files?: Readonly<Record<string, HostFile | undefined>>;
  /** A user namespace can be made. */
  readonly userNamespaces?: boolean;
  /** What open(2) says although the permissions allow it, by path. */
  readonly openRefusals?: Readonly<Record<string, string>>;
  /** What getsubids(1) prints for uids and for gids; it is not installed if left out. */
  readonly getsubids?: readonly [uids: string, gids: string];
  /** The kernel's first message on /dev/fuse; undefined if FUSE cannot be mounted. */
  readonly init?: Buffer | undefined;
  readonly overlay?: boolean;
  readonly libseccomp?: boolean;
  /** What a container that is tried complains of; undefined lets it run. */
  readonly refusedContainer?: string;
  /** Undefined: the store's directory is not writable. */
  readonly trial?: Partial<DirectoryTrial> | undefined;
  /** Of all other directories. */
  readonly trialElsewhere?: Partial<DirectoryTrial>;
}

export function simulatedHost(changes: Changes = {}): Host {
  const uid = changes.uid ?? UID;
  const texts = { ...TEXTS, ...changes.texts };
  const files = { ...FILES, ...changes.files };
  return {
    pid: PID,
    uid,
    gid: uid,
    userName: 'userName' in changes ? changes.userName : uid === 0 ? 'root' : 'ann',
    home: 'home' in changes ? changes.home : '/home/ann',
    architecture: 'x64',
    nodeVersion: '20.20.2',
    environment: {
      PATH: '/usr/local/bin:/usr/bin',
      XDG_RUNTIME_DIR: '/run/user/1000',
      ...changes.environment,
    },
    read: (path) => texts[path],
    stat: (path) => files[path],
    openRefusal: (path) => changes.openRefusals?.[path] ?? refusalOf(files[path]),
    run: (program, args) => answer(changes, files, program, args),
    tryDirectory: (path) => {
      if (!path.startsWith('/home')) return { ...TRIAL, ...changes.trialElsewhere };
      return 'trial' in changes && changes.trial === undefined ? undefined : { ...TRIAL, ...changes.trial };
    },
    hasLibseccomp: () => changes.libseccomp ?? true,
  };
}

const SUCCESS: Outcome = { status: 0, stdout: Buffer.alloc(0), stderr: '' };
const FAILURE: Outcome = { status: 1, stdout: Buffer.alloc(0), stderr: 'Operation not permitted' };

function refusalOf(device: HostFile | undefined): string | undefined {
  if (device === undefined) return 'ENOENT';
  return device.readable && device.writable ? undefined : 'EACCES';
}

function answer(
  changes: Changes,
  files: Readonly<Record<string, HostFile | undefined>>,
  program: string,
  args: readonly string[],
): Outcome | undefined {
  const said = changes.getsubids?.[args[0] === '-g' ? 1 : 0];
  if (program === 'getsubids' && said !== undefined) return { ...SUCCESS, stdout: Buffer.from(said) };
  if (program === '/bin/sh') {
    return changes.refusedContainer === undefined
      ? SUCCESS
      : { ...FAILURE, stderr: `${changes.refusedContainer}\n` };
  }
  if (program !== 'unshare' || files['/usr/bin/unshare'] === undefined) return undefined;
  if (args.includes('--user') && changes.userNamespaces === false) return FAILURE;
  const script = args.find((word) => word.includes('mount -n')) ?? '';
  if (script.includes('/dev/fuse')) {
    const init = 'init' in changes ? changes.init : INIT_6_18;
    return init === undefined ? FAILURE : { ...SUCCESS, stdout: init };
  }
  if (script.includes('overlay')) return changes.overlay === false ? FAILURE : SUCCESS;
  return SUCCESS;
}
