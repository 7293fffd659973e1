/**
 * Protects what `tscr doctor` says: on simulated hosts with one piece missing each, the finding, its fix, and the way
 * that commands go then.
 */
import { assert } from 'chai';
import { examine, type Report } from '../../../runtime/doctor/examine.js';
import type { Finding } from '../../../runtime/doctor/finding.js';
import {
  ALL_CAPABILITIES,
  CAPABLE_PROGRAM,
  CGROUP_V2,
  type Changes,
  DIRECTORY_OF_ANN,
  DIRECTORY_OF_ROOT,
  MOUNTS,
  mountLine,
  NULL_DEVICE,
  PLAIN_PROGRAM,
  PRIVATE_DEVICE,
  STORE,
  simulatedHost,
  statusOf,
} from '../../support/doctor/simulated-host.js';
import { INIT_5_4, INIT_6_18 } from '../../support/protocol/init-bytes.js';

const examined = (changes: Changes = {}): Report => examine(simulatedHost(changes), STORE);

function findingOf({ findings }: Report, id: string): Finding {
  const found = findings.find((finding) => finding.id === id);
  assert.isDefined(found, id);
  return found as Finding;
}

/** Command to mode; of `tscr run` with its storage. */
function waysOf({ modes }: Report): Record<string, string> {
  const [run, images, mount, exec] = modes;
  return {
    run: run?.storage === undefined ? `${run?.mode}` : `${run.mode}, ${run.storage}`,
    images: `${images?.mode}`,
    mount: `${mount?.mode}`,
    exec: `${exec?.mode}`,
  };
}

/** An ordinary user with everything. */
const BEST = { run: 'ranges, unionfs', images: 'ranges', mount: 'fusermount3', exec: 'user-namespace' };
const ROOT: Changes = { uid: 0, texts: { '/proc/self/status': statusOf(ALL_CAPABILITIES) } };
const OTHER_STORE = 'mkdir -p -m 700 /var/tmp/tscr-1000 && export TSCR_ROOT=/var/tmp/tscr-1000';

const SEE_REFUSALS = 'journalctl -k | grep -iE "apparmor|selinux|denied"';

/** One piece that is missing, and all that follows from it. */
interface Lack {
  readonly what: string;
  readonly changes: Changes;
  readonly id: string;
  readonly status: 'missing' | 'warning';
  /** Undefined where no command helps. */
  readonly fix: string | undefined;
  /** For the user himself, not root. */
  readonly own?: true;
  /** What differs from the best. */
  readonly ways?: Partial<typeof BEST>;
}

const noNamespaces = { run: 'refused', images: 'one-id', exec: 'refused' } as const;
const noRanges = { run: 'one-id, unionfs', images: 'one-id' } as const;

const LACKS: readonly Lack[] = [
  {
    what: 'an old kernel',
    changes: { texts: { '/proc/sys/kernel/osrelease': '5.10.0-28-amd64\n' } },
    id: 'kernel.release',
    status: 'missing',
    fix: 'apt-get install -y linux-image-$(dpkg --print-architecture) && reboot',
    ways: { run: 'refused' },
  },
  {
    what: 'no /dev/fuse, for want of the module',
    changes: { files: { '/dev/fuse': undefined }, texts: { '/proc/filesystems': 'nodev\tproc\n' } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'modprobe fuse',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'no /dev/fuse, although the kernel has FUSE',
    changes: { files: { '/dev/fuse': undefined } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'mknod -m 666 /dev/fuse c 10 229',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'no /dev/fuse in a container of docker',
    changes: { files: { '/dev/fuse': undefined, '/.dockerenv': PLAIN_PROGRAM } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'docker run --device /dev/fuse ...',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'a file instead of /dev/fuse',
    changes: { files: { '/dev/fuse': PLAIN_PROGRAM } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'the null device instead of /dev/fuse',
    changes: { files: { '/dev/fuse': NULL_DEVICE } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'a /dev/fuse that is not ours to open',
    changes: { files: { '/dev/fuse': PRIVATE_DEVICE } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'chmod 666 /dev/fuse',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'a /dev/fuse without a driver',
    changes: { openRefusals: { '/dev/fuse': 'ENODEV' }, texts: { '/proc/filesystems': 'nodev\tproc\n' } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'modprobe fuse',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'a /dev/fuse that the devices of a container leave out',
    changes: { openRefusals: { '/dev/fuse': 'EPERM' }, files: { '/run/.containerenv': PLAIN_PROGRAM } },
    id: 'fuse.device',
    status: 'missing',
    fix: 'podman run --device /dev/fuse ...',
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'no /dev/fuse, and no overlayfs either',
    changes: { files: { '/dev/fuse': undefined }, overlay: false },
    id: 'fuse.device',
    status: 'missing',
    fix: 'mknod -m 666 /dev/fuse c 10 229',
    ways: { run: 'ranges, copy', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'no /dev/fuse in a container of tscr, which has no option for it',
    changes: {
      files: { '/dev/fuse': undefined },
      texts: {
        '/proc/self/mountinfo': `30 1 0:50 / / rw - fuse.unionfs tscr:0123 rw\n${MOUNTS}${CGROUP_V2}`,
      },
    },
    id: 'fuse.device',
    status: 'missing',
    fix: undefined,
    ways: { run: 'ranges, overlay', mount: 'refused', exec: 'refused' },
  },
  {
    what: 'a /proc of another pid namespace',
    changes: { texts: { '/proc/self/stat': '17 (node) R 1 17\n' } },
    id: 'kernel.proc',
    status: 'missing',
    fix: 'mount -t proc proc /proc',
    ways: { run: 'refused' },
  },
  {
    what: 'something that only a container meets',
    changes: { refusedContainer: 'tscr run: cannot mount "/proc": fsmount: EPERM; run "tscr doctor"' },
    id: 'run.trial',
    status: 'missing',
    fix: undefined,
    ways: { run: 'refused' },
  },
  {
    what: 'features of FUSE that came later',
    changes: { init: INIT_5_4 },
    id: 'fuse.features',
    status: 'warning',
    fix: undefined,
  },
  {
    what: 'a FUSE too old to be served',
    changes: { init: withMinor(INIT_5_4, 30) },
    id: 'fuse.features',
    status: 'missing',
    fix: 'apt-get install -y linux-image-$(dpkg --print-architecture) && reboot',
    ways: { run: 'refused', exec: 'refused' },
  },
  {
    what: 'an engine that refuses mounts',
    changes: { init: undefined, files: { '/.dockerenv': PLAIN_PROGRAM } },
    id: 'fuse.features',
    status: 'missing',
    fix: 'docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined ...',
    ways: { run: 'refused', exec: 'refused' },
  },
  {
    what: 'a security module that refuses mounts',
    changes: { init: undefined },
    id: 'fuse.features',
    status: 'missing',
    fix: SEE_REFUSALS,
    ways: { run: 'refused', exec: 'refused' },
  },
  {
    what: 'no fusermount3',
    changes: { files: { '/usr/bin/fusermount3': undefined } },
    id: 'fusermount.program',
    status: 'missing',
    fix: 'apt-get install -y fuse3',
    ways: { mount: 'exec-only' },
  },
  {
    what: 'a fusermount3 without its set-user-id bit',
    changes: { files: { '/usr/bin/fusermount3': PLAIN_PROGRAM } },
    id: 'fusermount.program',
    status: 'missing',
    fix: 'chown root /usr/bin/fusermount3 && chmod u+s /usr/bin/fusermount3',
    ways: { mount: 'exec-only' },
  },
  {
    what: 'no user_allow_other',
    changes: { texts: { '/etc/fuse.conf': '#user_allow_other\n' } },
    id: 'fusermount.allow-other',
    status: 'warning',
    fix: 'echo user_allow_other >> /etc/fuse.conf',
  },
  {
    what: 'a kernel without user namespaces',
    changes: { userNamespaces: false, files: { '/proc/self/ns/user': undefined } },
    id: 'userns.create',
    status: 'missing',
    fix: 'apt-get install -y linux-image-$(dpkg --print-architecture) && reboot',
    ways: noNamespaces,
  },
  {
    what: 'no unshare(1)',
    changes: { files: { '/usr/bin/unshare': undefined } },
    id: 'userns.create',
    status: 'missing',
    fix: 'apt-get install -y util-linux',
    ways: noNamespaces,
  },
  {
    what: 'no user namespaces allowed',
    changes: { userNamespaces: false, texts: { '/proc/sys/user/max_user_namespaces': '0\n' } },
    id: 'userns.create',
    status: 'missing',
    fix: 'sysctl -w user.max_user_namespaces=65536',
    ways: noNamespaces,
  },
  {
    what: "Debian's switch against user namespaces",
    changes: { userNamespaces: false, texts: { '/proc/sys/kernel/unprivileged_userns_clone': '0\n' } },
    id: 'userns.create',
    status: 'missing',
    fix: 'sysctl -w kernel.unprivileged_userns_clone=1',
    ways: noNamespaces,
  },
  {
    what: "AppArmor's restriction of Ubuntu 24.04",
    changes: {
      userNamespaces: false,
      texts: { '/proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1\n' },
    },
    id: 'userns.create',
    status: 'missing',
    fix: 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    ways: noNamespaces,
  },
  {
    what: 'an engine that refuses user namespaces',
    changes: { userNamespaces: false, files: { '/run/.containerenv': PLAIN_PROGRAM } },
    id: 'userns.create',
    status: 'missing',
    fix: 'podman run --security-opt seccomp=unconfined --security-opt apparmor=unconfined ...',
    ways: noNamespaces,
  },
  {
    what: 'a security module that refuses user namespaces',
    changes: { userNamespaces: false },
    id: 'userns.create',
    status: 'missing',
    fix: SEE_REFUSALS,
    ways: noNamespaces,
  },
  {
    what: 'no subordinate uids',
    changes: { texts: { '/etc/subuid': 'bob:100000:65536\n' } },
    id: 'subids.uids',
    status: 'missing',
    fix: 'usermod --add-subuids 231072-296607 ann',
    ways: noRanges,
  },
  {
    what: 'no subordinate gids, nor anybody with some',
    changes: { texts: { '/etc/subgid': undefined, '/etc/subuid': '1000:100000:65536\n' } },
    id: 'subids.gids',
    status: 'missing',
    fix: 'usermod --add-subgids 165536-231071 ann',
    ways: noRanges,
  },
  {
    what: 'no subordinate uids for a uid without a name',
    changes: { userName: undefined, texts: { '/etc/subuid': undefined, '/etc/subgid': undefined } },
    id: 'subids.uids',
    status: 'missing',
    fix: 'echo 1000:100000:65536 >> /etc/subuid',
    ways: noRanges,
  },
  {
    what: 'few subordinate uids',
    changes: { texts: { '/etc/subuid': 'ann:100000:1000\n' } },
    id: 'subids.uids',
    status: 'warning',
    fix: 'usermod --add-subuids 231072-296607 ann',
  },
  {
    what: 'a source of subordinate ids that nobody can ask',
    changes: { texts: { '/etc/nsswitch.conf': 'subid: sss\n' } },
    id: 'subids.gids',
    status: 'missing',
    fix: 'apt-get install -y uidmap',
    ways: noRanges,
  },
  {
    what: 'a source of subordinate ids that gives none, although the files do',
    changes: { texts: { '/etc/nsswitch.conf': 'SUBID:\t sss files\n' }, getsubids: ['', ''] },
    id: 'subids.gids',
    status: 'missing',
    fix: 'getsubids -g ann',
    own: true,
    ways: noRanges,
  },
  {
    what: 'no newuidmap',
    changes: { files: { '/usr/bin/newuidmap': undefined } },
    id: 'subids.newuidmap',
    status: 'missing',
    fix: 'apt-get install -y uidmap',
    ways: noRanges,
  },
  {
    what: 'a newgidmap without privilege',
    changes: { files: { '/usr/bin/newgidmap': PLAIN_PROGRAM } },
    id: 'subids.newgidmap',
    status: 'missing',
    fix: 'chown root /usr/bin/newgidmap && chmod u+s /usr/bin/newgidmap',
    ways: noRanges,
  },
  {
    what: 'no_new_privs',
    changes: { texts: { '/proc/self/status': statusOf('0000000000000000', 1) } },
    id: 'identity.privileges',
    status: 'warning',
    fix: undefined,
    ways: { ...noRanges, mount: 'exec-only' },
  },
  {
    what: 'overlayfs',
    changes: { overlay: false, texts: { '/proc/filesystems': '\tfuse\n' } },
    id: 'overlay.kernel',
    status: 'warning',
    fix: 'modprobe overlay',
  },
  {
    what: 'a kernel without system call filters',
    changes: {
      texts: { '/proc/sys/kernel/seccomp/actions_avail': undefined, '/proc/self/status': 'CapEff:\t0\n' },
    },
    id: 'seccomp.kernel',
    status: 'missing',
    fix: 'apt-get install -y linux-image-$(dpkg --print-architecture) && reboot',
    ways: { run: 'refused' },
  },
  {
    what: 'no libseccomp',
    changes: { libseccomp: false },
    id: 'seccomp.library',
    status: 'missing',
    fix: 'apt-get install -y libseccomp2',
    ways: { run: 'refused' },
  },
  {
    what: 'control groups of version 1',
    changes: {
      texts: { '/proc/self/mountinfo': MOUNTS + mountLine('/sys/fs/cgroup/memory', 'cgroup') },
    },
    id: 'cgroups.version',
    status: 'warning',
    fix: 'add systemd.unified_cgroup_hierarchy=1 to GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub && reboot',
  },
  {
    what: 'no control groups',
    changes: { texts: { '/proc/self/mountinfo': MOUNTS } },
    id: 'cgroups.version',
    status: 'warning',
    fix: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup',
  },
  {
    what: 'a control group that is not delegated',
    changes: { files: { '/sys/fs/cgroup/user.slice/session.scope/cgroup.procs': PLAIN_PROGRAM } },
    id: 'cgroups.version',
    status: 'warning',
    fix:
      "mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n'" +
      ' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload',
  },
  {
    what: 'a store that is not writable',
    changes: { trial: undefined },
    id: 'store.writable',
    status: 'missing',
    fix: OTHER_STORE,
    own: true,
    ways: { run: 'refused', images: 'refused' },
  },
  {
    what: 'a store on a read-only mount',
    changes: {
      trial: undefined,
      texts: { '/proc/self/mountinfo': mountLine('/home', 'ext4', 'ro,relatime') + CGROUP_V2 },
    },
    id: 'store.writable',
    status: 'missing',
    fix: 'mount -o remount,rw /home',
    ways: { run: 'refused', images: 'refused' },
  },
  {
    what: 'a store on NFS',
    changes: { texts: { '/proc/self/mountinfo': MOUNTS + CGROUP_V2 + mountLine('/home/ann', 'nfs4') } },
    id: 'store.local',
    status: 'warning',
    fix: OTHER_STORE,
    own: true,
  },
  {
    what: 'no xattrs anywhere, so that no other store is better',
    changes: { trial: { userXattrs: false }, trialElsewhere: { userXattrs: false } },
    id: 'store.xattrs',
    status: 'warning',
    fix: undefined,
    ways: { run: 'ranges, copy' },
  },
  {
    what: 'no xattrs in the store',
    changes: { trial: { userXattrs: false } },
    id: 'store.xattrs',
    status: 'warning',
    fix: OTHER_STORE,
    own: true,
    ways: { run: 'ranges, copy' },
  },
  {
    what: 'no symbolic links in the store',
    changes: { trial: { symlinks: false } },
    id: 'store.symlinks',
    status: 'missing',
    fix: OTHER_STORE,
    own: true,
    ways: { run: 'refused', images: 'refused' },
  },
  {
    what: 'a home directory without executables',
    changes: {
      texts: { '/proc/self/mountinfo': mountLine('/home', 'ext4', 'rw,noexec') + CGROUP_V2 },
    },
    id: 'store.exec',
    status: 'warning',
    fix: 'mount -o remount,exec /home',
  },
  {
    what: 'little space',
    changes: { trial: { free: 2 ** 20 } },
    id: 'store.space',
    status: 'warning',
    fix: 'tscr system prune',
    own: true,
  },
  {
    what: 'no HOME',
    changes: { home: undefined },
    id: 'environment.home',
    status: 'warning',
    fix: OTHER_STORE,
    own: true,
  },
  {
    what: 'a HOME of somebody else',
    changes: { files: { '/home/ann': DIRECTORY_OF_ROOT } },
    id: 'environment.home',
    status: 'warning',
    fix: OTHER_STORE,
    own: true,
  },
  {
    what: 'no XDG_RUNTIME_DIR in a session that has a directory',
    changes: { environment: { XDG_RUNTIME_DIR: undefined } },
    id: 'environment.runtime',
    status: 'warning',
    fix: 'export XDG_RUNTIME_DIR=/run/user/1000',
    own: true,
  },
  {
    what: 'no XDG_RUNTIME_DIR without a session',
    changes: { environment: { XDG_RUNTIME_DIR: '' }, files: { '/run/user/1000': undefined } },
    id: 'environment.runtime',
    status: 'warning',
    fix: 'loginctl enable-linger ann',
  },
  {
    what: 'no XDG_RUNTIME_DIR without systemd',
    changes: {
      environment: { XDG_RUNTIME_DIR: '' },
      files: { '/run/user/1000': undefined, '/run/systemd/system': undefined },
    },
    id: 'environment.runtime',
    status: 'warning',
    fix: 'mkdir -p -m 700 /tmp/run-ann && export XDG_RUNTIME_DIR=/tmp/run-ann',
    own: true,
  },
  {
    what: "an XDG_RUNTIME_DIR of somebody else's",
    changes: { files: { '/run/user/1000': DIRECTORY_OF_ROOT } },
    id: 'environment.runtime',
    status: 'warning',
    fix: 'export XDG_RUNTIME_DIR=/run/user/1000',
    own: true,
  },
];

/** An INIT of another minor version. */
function withMinor(init: Buffer, minor: number): Buffer {
  const MINOR_OFFSET = 44;
  const copy = Buffer.from(init);
  copy.writeUInt32LE(minor, MINOR_OFFSET);
  return copy;
}

describe('doctor: a user with everything', () => {
  it('has nothing to mend, and the best way everywhere', () => {
    const report = examined();
    assert.isEmpty(report.findings.filter(({ status }) => status !== 'ok'));
    assert.isTrue(report.ready);
    assert.deepEqual(waysOf(report), BEST);
  });

  it('gets file capabilities counted as privilege', () => {
    const files = { '/usr/bin/newuidmap': CAPABLE_PROGRAM, '/usr/bin/newgidmap': CAPABLE_PROGRAM };
    assert.deepEqual(waysOf(examined({ files })), BEST);
  });

  it("is told that the host's network brings abstract sockets with it", () => {
    const sockets = [
      'Num       RefCount Protocol Flags    Type St Inode Path',
      '0: 00000002 00000000 00010000 0001 01 101 @/tmp/.X11-unix/X0',
      '0: 00000003 00000000 00000000 0001 03 102 @/tmp/.X11-unix/X0',
      '0: 00000002 00000000 00010000 0001 01 103 /run/dbus/system_bus_socket',
      '0: 00000003 00000000 00000000 0001 03 104',
    ];
    const report = examined({ texts: { '/proc/net/unix': `${sockets.join('\n')}\n` } });
    const { status, detail, fix } = findingOf(report, 'network.host');
    assert.deepEqual({ status, fix, ready: report.ready }, { status: 'ok', fix: undefined, ready: true });
    assert.match(detail, /abstract sockets \(1 now\).*--network none/);
  });

  it('has stable keys', () => {
    assert.deepEqual(
      examined().findings.map(({ id }) => id),
      [
        'identity.admin',
        'kernel.release',
        'kernel.proc',
        'kernel.architecture',
        'fuse.device',
        'fuse.features',
        'fusermount.program',
        'fusermount.allow-other',
        'userns.create',
        'subids.uids',
        'subids.gids',
        'subids.newuidmap',
        'subids.newgidmap',
        'overlay.kernel',
        'seccomp.kernel',
        'seccomp.library',
        'cgroups.version',
        'network.host',
        'store.writable',
        'store.local',
        'store.xattrs',
        'store.copies',
        'store.symlinks',
        'store.exec',
        'store.space',
        'environment.home',
        'environment.runtime',
        'run.trial',
        'run.trial-single',
      ],
    );
  });
});

describe('doctor: one piece is missing', () => {
  for (const { what, changes, id, status, fix, own, ways } of LACKS) {
    it(what, () => {
      const report = examined(changes);
      const finding = findingOf(report, id);
      assert.equal(finding.status, status, finding.detail);
      assert.deepEqual(finding.fix, fix === undefined ? undefined : { command: fix, asRoot: own !== true });
      assert.deepEqual(waysOf(report), { ...BEST, ...ways });
      assert.equal(report.ready, ways?.run !== 'refused');
    });
  }

  it('every refusal names a finding that is missing', () => {
    for (const { what, changes } of LACKS) {
      const report = examined(changes);
      for (const { command, mode, because } of report.modes) {
        if (mode !== 'refused') continue;
        assert.isNotEmpty(because, `${what}: ${command}`);
        for (const id of because)
          assert.equal(findingOf(report, id).status, 'missing', `${what}: ${command}`);
      }
    }
  });

  it('a user without a home directory is told where a store may lie', () => {
    const report = examine(simulatedHost({ home: undefined }), undefined);
    assert.deepEqual(findingOf(report, 'store.writable').fix, { command: OTHER_STORE, asRoot: false });
    assert.isFalse(report.ready);
  });
});

describe('doctor: subordinate ids come from where newuidmap asks', () => {
  const SSS = '0: ann 2000000 65536\n1: ann 3000000 1000\n';
  const detail = (changes: Changes): string => findingOf(examined(changes), 'subids.uids').detail;

  it('the source of nsswitch.conf, asked through getsubids', () => {
    const texts = {
      '/etc/nsswitch.conf': 'passwd: files\n#subid: ldap\nsubid:\nsubid: sss\n',
      '/etc/subuid': undefined,
      '/etc/subgid': undefined,
    };
    const report = examined({ texts, getsubids: [SSS, SSS] });
    assert.deepEqual(waysOf(report), BEST);
    assert.equal(findingOf(report, 'subids.uids').detail, '"subid: sss" gives ann 66536 ids');
  });

  it('the files, if they are named or nothing is', () => {
    const getsubids = [SSS, SSS] as const;
    for (const line of ['', 'subid: files sss\n', '# subid: sss\n'])
      assert.equal(
        detail({ texts: { '/etc/nsswitch.conf': line }, getsubids }),
        '/etc/subuid gives ann 65536 ids',
        line,
      );
  });
});

describe('doctor: root', () => {
  it('needs none of what users need', () => {
    const files = {
      '/usr/bin/newuidmap': undefined,
      '/usr/bin/newgidmap': undefined,
      '/usr/bin/fusermount3': undefined,
    };
    const texts = { ...ROOT.texts, '/etc/subuid': undefined, '/etc/subgid': undefined };
    const report = examined({ ...ROOT, files, texts, userNamespaces: false, trial: { trustedXattrs: true } });
    assert.isEmpty(report.findings.filter(({ status }) => status !== 'ok'));
    assert.deepEqual(waysOf(report), {
      run: 'root, unionfs',
      images: 'root',
      mount: 'mount',
      exec: 'mount',
    });
  });

  it('keeps owners and marks even without trusted xattrs, and is told', () => {
    assert.equal(findingOf(examined(ROOT), 'store.xattrs').status, 'warning');
  });

  it("runs on the kernel's overlayfs without /dev/fuse, and on a copy without that", () => {
    const without = { ...ROOT, files: { '/dev/fuse': undefined } };
    assert.equal(waysOf(examined({ ...without, overlay: false }))['run'], 'root, copy');
    const report = examined(without);
    assert.equal(waysOf(report)['run'], 'root, overlay');
    assert.isTrue(report.ready);
  });

  it('is refused in a container without CAP_SYS_ADMIN and user namespaces', () => {
    const files = { '/.dockerenv': PLAIN_PROGRAM };
    const report = examined({ uid: 0, files, userNamespaces: false });
    assert.deepEqual(findingOf(report, 'identity.admin').fix, {
      command: 'docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined ...',
      asRoot: true,
    });
    assert.deepEqual(waysOf(report), { run: 'refused', images: 'root', mount: 'refused', exec: 'refused' });
  });
});

describe('doctor: packages have the names of the distribution', () => {
  const NAMES: readonly [release: string, command: string][] = [
    ['ID=ubuntu\nID_LIKE=debian\n', 'apt-get install -y uidmap'],
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\n', 'dnf install -y shadow-utils'],
    ['ID=alpine\n', 'apk add shadow-uidmap'],
    ['ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', 'zypper install -y shadow'],
    ['ID=arch\n', 'pacman -S --noconfirm shadow'],
    ['ID=unheard-of\n', 'apt-get install -y uidmap'],
  ];
  for (const [release, command] of NAMES) {
    it(command, () => {
      const report = examined({
        files: { '/usr/bin/newuidmap': undefined },
        texts: { '/etc/os-release': release },
      });
      assert.equal(findingOf(report, 'subids.newuidmap').fix?.command, command);
    });
  }
});

describe('doctor: what it does not take at face value', () => {
  it('features are those of the kernel that answered, not of its release', () => {
    const report = examined({ init: INIT_6_18, texts: { '/proc/sys/kernel/osrelease': '5.15.0\n' } });
    assert.equal(findingOf(report, 'fuse.features').detail, 'FUSE 7.45 with all optional features');
  });

  it('a store below a mount point with a space in its name lies on that mount', () => {
    const texts = { '/proc/self/mountinfo': MOUNTS + CGROUP_V2 + mountLine('/srv/a\\040b', 'cifs') };
    const host = simulatedHost({ texts, files: { '/srv/a b': DIRECTORY_OF_ANN } });
    assert.match(findingOf(examine(host, '/srv/a b/store'), 'store.local').detail, /^cifs /);
  });
});
