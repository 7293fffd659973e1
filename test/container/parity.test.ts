/**
 * Protects what a command in a container sees: the same as under runc and crun in the same bundle.
 *
 * One script prints every aspect in sections; each section is compared by itself.
 */
import { assert } from 'chai';
import { DEFAULT_CAPABILITIES, DEFAULT_MOUNTS } from '../../runtime/container/spec/default-spec.js';
import { defaultSeccomp } from '../../runtime/container/spec/seccomp-default.js';
import {
  type Bundle,
  type BundleOptions,
  type Outcome,
  shell,
  useBundles,
} from '../support/container/bundles.js';

type Peer = 'runc' | 'crun';
const BOTH: readonly Peer[] = ['runc', 'crun'];

interface Section {
  readonly what: string;
  readonly script: string;
  /** Whose answer must be ours; where a peer is left out, the reason stands beside it. */
  readonly peers: readonly Peer[];
  /** Takes away what may differ. */
  readonly normalize?: (text: string) => string;
}

const sorted = (text: string): string => text.split('\n').sort().join('\n');

/**
 * Deliberate differences of the mount list: our control groups are read-only at the top too and show the unified
 * hierarchy; the size of the empty directory over a masked one.
 */
/** Our root has no devices (`device-guard.ts`); theirs leave that to control groups. */
const comparableMounts = (text: string): string =>
  text
    .replace(/^(\S+ \/ \S+ \S*),nodev/m, '$1')
    .split('\n')
    .filter((line) => !line.includes('/sys/fs/cgroup'))
    .map((line) => line.replace(/,(size=4k|nr_inodes=\d)/g, ''))
    .join('\n');

const SECTIONS: readonly Section[] = [
  {
    what: 'ids, capabilities, no_new_privs, seccomp and signals',
    script: `grep -E '^(Uid|Gid|Groups|Umask|Cap|NoNewPrivs|Seccomp:|SigBlk|SigIgn|Speculation)' /proc/self/status`,
    peers: BOTH,
  },
  // crun orders and marks mounts in its own way.
  { what: 'mounts', script: 'cat /proc/self/mounts', peers: ['runc'], normalize: comparableMounts },
  {
    what: 'device nodes and links',
    script: `find /dev | sort | while read -r f; do stat -c '%n %A %u %g %t:%T' "$f"; readlink "$f"; done`,
    peers: ['runc'], // crun binds a console and makes other links
  },
  { what: 'environment', script: 'env', peers: BOTH, normalize: sorted },
  { what: 'limits', script: 'ulimit -aH; ulimit -aS', peers: BOTH },
  { what: 'host name', script: 'hostname', peers: BOTH },
  {
    what: 'working directory',
    script: 'pwd; ls -ld .',
    peers: ['runc'],
    normalize: (text) => text.replace(/\d+:\d+/, ''),
  },
  { what: 'open descriptors', script: 'ls /proc/self/fd | wc -l', peers: BOTH },
  { what: 'session and process group', script: 'cut -d" " -f4,5,6 /proc/self/stat', peers: BOTH },
  { what: 'out-of-memory score', script: 'cat /proc/self/oom_score_adj', peers: BOTH },
  { what: 'the first process', script: 'cat /proc/1/comm; cut -d" " -f1-6 /proc/1/stat', peers: BOTH },
  { what: 'network interfaces', script: 'ip link show lo | grep -o "LOOPBACK.*UP"', peers: BOTH },
  {
    what: 'port of unprivileged servers',
    script: 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start',
    peers: BOTH,
  },
  {
    what: 'what is masked',
    script:
      'for f in kcore timer_list keys; do head -c 1 /proc/$f 2>&1 | wc -c; done; ls /sys/firmware | wc -l',
    peers: BOTH,
  },
  {
    what: 'what cannot be written',
    script: `for f in /proc/sys/kernel/domainname /proc/sysrq-trigger /sys/x /etc/new /proc/bus/x /run-me; do
      (echo x >> $f) 2>/dev/null && echo "$f written" || echo "$f refused"; done`,
    peers: BOTH,
  },
  {
    what: 'what is on tmpfs mounts',
    script: `stat -c '%n %A %u:%g' /dev/shm /scratch /kept 2>&1; touch /scratch/x && echo made; (cd /scratch && cp /bin/busybox . && ./busybox true) 2>&1 | wc -l`,
    peers: ['runc'], // crun gives /kept another mode
  },
];

const SEPARATOR = '=====';
const SCRIPT = SECTIONS.map(({ script }) => `(${script}) 2>&1\necho ${SEPARATOR}`).join('\n');

function sectionsOf(name: string, { status, stdout, stderr }: Outcome): string[] {
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' }, name);
  return stdout.split(`${SEPARATOR}\n`);
}

const SCRATCH = {
  destination: '/scratch',
  type: 'tmpfs',
  source: 'tmpfs',
  options: ['nosuid', 'nodev', 'noexec', 'size=64k', 'mode=755', 'uid=3'],
};
const KEPT = { destination: '/kept', type: 'tmpfs', source: 'tmpfs', options: ['ro', 'mode=755'] };

const CASES: Readonly<Record<string, BundleOptions>> = {
  'the default specification': {},
  'the default specification with the system call filter and a read-only root': {
    root: { readonly: true },
    linux: { seccomp: defaultSeccomp(DEFAULT_CAPABILITIES) },
  },
  'a user of many groups, with limits, mounts and sysctls': {
    process: {
      user: { uid: 1000, gid: 1000, additionalGids: [5, 44], umask: 0o077 },
      env: ['PATH=/bin', 'A=1', 'B=x y', 'A=2'],
      cwd: '/made/for/it',
      noNewPrivileges: false,
      oomScoreAdj: 500,
      capabilities: {
        bounding: ['CAP_CHOWN', 'CAP_NET_BIND_SERVICE', 'CAP_KILL'],
        effective: ['CAP_NET_BIND_SERVICE'],
        permitted: ['CAP_NET_BIND_SERVICE', 'CAP_KILL'],
        inheritable: ['CAP_NET_BIND_SERVICE'],
        ambient: ['CAP_NET_BIND_SERVICE'],
      },
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: 256, hard: 512 },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
        { type: 'RLIMIT_NPROC', soft: 1000, hard: 2000 },
      ],
    },
    linux: {
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '80' },
      seccomp: defaultSeccomp(['CAP_CHOWN']),
    },
    spec: { mounts: [...DEFAULT_MOUNTS, SCRATCH, KEPT] },
    tree: { kept: {} },
  },
  'no limits and no capabilities at all': {
    process: { capabilities: {}, rlimits: [] },
    linux: { maskedPaths: [], readonlyPaths: [] },
  },
};

describe('container: a command sees what it sees under runc and crun', () => {
  const bundles = useBundles();
  for (const [name, options] of Object.entries(CASES)) {
    describe(name, () => {
      let bundle: Bundle;
      let ours: string[];
      const theirs = { runc: [] as string[], crun: [] as string[] };
      before(() => {
        bundle = bundles.bundle({ ...options, process: { ...options.process, args: shell(SCRIPT) } });
        ours = sectionsOf('ours', bundle.run());
        for (const peer of BOTH) theirs[peer] = sectionsOf(peer, bundle[peer]());
      });
      SECTIONS.forEach(({ what, peers, normalize = (text) => text }, index) => {
        it(what, () => {
          const [text = ''] = ours.slice(index);
          assert.isNotEmpty(text);
          for (const peer of peers)
            assert.equal(normalize(text), normalize(theirs[peer][index] ?? ''), `ours and ${peer}'s`);
        });
      });
    });
  }
});
