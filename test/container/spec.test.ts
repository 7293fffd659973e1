/**
 * Protects the check of config.json: what cannot be honoured is refused by its name, before anything is started; and
 * the specification that `tscr spec` writes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assert } from 'chai';
import { checkSpec } from '../../runtime/container/spec/check-spec.js';
import { defaultSpec } from '../../runtime/container/spec/default-spec.js';
import { outcome, shell, useBundles } from '../support/container/bundles.js';

const CLI = fileURLToPath(new URL('../../bin/tscr', import.meta.url));

type Json = Record<string, unknown>;

/** What is missing on the way to a property, complete. */
const PARENTS: Readonly<Record<string, () => unknown>> = {
  'process.rlimits[]': () => ({ type: 'RLIMIT_CORE', soft: 1, hard: 1 }),
  'mounts[]': () => ({ destination: '/x', type: 'tmpfs', source: 'x' }),
  'linux.devices[]': () => ({ path: '/dev/x', type: 'c', major: 1, minor: 3 }),
  'linux.namespaces': () => namespaces('mount', 'pid', 'ipc'),
  'linux.seccomp': () => ({ defaultAction: 'SCMP_ACT_ERRNO' }),
  'linux.seccomp.syscalls[]': () => ({ names: ['read'], action: 'SCMP_ACT_ERRNO' }),
  'linux.seccomp.syscalls[].args[]': () => ({ index: 0, value: 1, op: 'SCMP_CMP_EQ' }),
  'linux.resources.devices[]': () => ({ allow: true }),
};

/** The default specification with one property, by its dotted path, set; "[]" is the only element of a list. */
function withProperty(path: string, value: unknown): Json {
  const spec = structuredClone(defaultSpec()) as unknown as Json;
  const names = path.split('.');
  const last = names.pop() ?? '';
  let way = '';
  const parent = names.reduce((object, name) => {
    way += way === '' ? name : `.${name}`;
    const key = name.replace('[]', '');
    if (key !== name) {
      const only = PARENTS[way]?.() ?? {};
      object[key] = [only];
      return only as Json;
    }
    object[key] ??= PARENTS[way]?.() ?? {};
    return object[key] as Json;
  }, spec);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return spec;
}

function namespaces(...types: readonly string[]): object[] {
  return types.map((type) => ({ type }));
}

/** All of config.md and config-linux.md, v1.2 and what v1.3 adds. */
const PROPERTIES: readonly string[] = `
  ociVersion root.path root.readonly hostname domainname annotations
  hooks.prestart hooks.createRuntime hooks.createContainer hooks.startContainer hooks.poststart hooks.poststop
  solaris windows vm zos freebsd
  process.terminal process.consoleSize process.cwd process.env process.args process.commandLine process.rlimits[].type
  process.rlimits[].soft process.rlimits[].hard process.apparmorProfile process.capabilities.effective
  process.capabilities.bounding process.capabilities.inheritable process.capabilities.permitted
  process.capabilities.ambient process.noNewPrivileges process.oomScoreAdj process.scheduler.policy
  process.scheduler.nice process.scheduler.priority process.scheduler.flags process.scheduler.runtime
  process.scheduler.deadline process.scheduler.period process.selinuxLabel process.ioPriority.class
  process.ioPriority.priority process.execCPUAffinity.initial process.execCPUAffinity.final process.user.uid
  process.user.gid process.user.umask process.user.additionalGids process.user.username
  mounts[].destination mounts[].source mounts[].type mounts[].options mounts[].uidMappings mounts[].gidMappings
  linux.namespaces linux.uidMappings linux.gidMappings linux.timeOffsets.monotonic linux.timeOffsets.boottime
  linux.devices[].type linux.devices[].path linux.devices[].major linux.devices[].minor linux.devices[].fileMode
  linux.devices[].uid linux.devices[].gid linux.netDevices linux.cgroupsPath
  linux.resources.unified linux.resources.pids.limit linux.resources.devices[].allow linux.resources.devices[].type
  linux.resources.devices[].major linux.resources.devices[].minor linux.resources.devices[].access
  linux.resources.memory.limit linux.resources.memory.reservation linux.resources.memory.swap
  linux.resources.memory.kernel linux.resources.memory.kernelTCP linux.resources.memory.swappiness
  linux.resources.memory.disableOOMKiller linux.resources.memory.useHierarchy linux.resources.memory.checkBeforeUpdate
  linux.resources.cpu.shares linux.resources.cpu.quota linux.resources.cpu.burst linux.resources.cpu.period
  linux.resources.cpu.realtimeRuntime linux.resources.cpu.realtimePeriod linux.resources.cpu.cpus
  linux.resources.cpu.mems linux.resources.cpu.idle linux.resources.blockIO.weight linux.resources.blockIO.leafWeight
  linux.resources.blockIO.weightDevice linux.resources.blockIO.throttleReadBpsDevice
  linux.resources.blockIO.throttleWriteBpsDevice linux.resources.blockIO.throttleReadIOPSDevice
  linux.resources.blockIO.throttleWriteIOPSDevice linux.resources.hugepageLimits linux.resources.network.classID
  linux.resources.network.priorities linux.resources.rdma
  linux.intelRdt.closID linux.intelRdt.schemata linux.intelRdt.l3CacheSchema linux.intelRdt.memBwSchema
  linux.intelRdt.enableMonitoring linux.memoryPolicy.mode linux.memoryPolicy.nodes linux.memoryPolicy.flags linux.sysctl
  linux.seccomp.defaultAction linux.seccomp.defaultErrnoRet linux.seccomp.architectures linux.seccomp.flags
  linux.seccomp.listenerPath linux.seccomp.listenerMetadata linux.seccomp.syscalls[].names
  linux.seccomp.syscalls[].action linux.seccomp.syscalls[].errnoRet linux.seccomp.syscalls[].args[].index
  linux.seccomp.syscalls[].args[].value linux.seccomp.syscalls[].args[].valueTwo linux.seccomp.syscalls[].args[].op
  linux.rootfsPropagation linux.maskedPaths linux.readonlyPaths linux.mountLabel linux.personality.domain
  linux.personality.flags`
  .trim()
  .split(/\s+/);

type Pair = readonly [good: unknown, bad: unknown];
const NUMBER: Pair = [1, 'one'];
const STRINGS: Pair = [['/a'], [1]];
const CAPABILITIES: Pair = [['CAP_KILL'], [1]];

/** Applied properties: a value that is taken, and one that the check refuses by name, since it reads the property. */
const APPLIED: Readonly<Record<string, Pair>> = {
  ociVersion: ['1.2.0', 1],
  'root.path': ['r', 1],
  'root.readonly': [true, 'yes'],
  hostname: ['h', 1],
  domainname: ['d', 1],
  'process.cwd': ['/', 1],
  'process.env': [['A=1'], [1]],
  'process.args': STRINGS,
  'process.rlimits[].type': ['RLIMIT_CPU', 1],
  'process.rlimits[].soft': NUMBER,
  'process.rlimits[].hard': NUMBER,
  'process.capabilities.effective': CAPABILITIES,
  'process.capabilities.bounding': CAPABILITIES,
  'process.capabilities.inheritable': CAPABILITIES,
  'process.capabilities.permitted': CAPABILITIES,
  'process.capabilities.ambient': CAPABILITIES,
  'process.noNewPrivileges': [true, 1],
  'process.oomScoreAdj': NUMBER,
  'process.user.uid': NUMBER,
  'process.user.gid': NUMBER,
  'process.user.umask': NUMBER,
  'process.user.additionalGids': [[1], ['x']],
  'mounts[].destination': ['/y', 1],
  'mounts[].source': ['/', 1],
  'mounts[].type': ['tmpfs', 1],
  'mounts[].options': [['ro'], [1]],
  'linux.namespaces': [namespaces('mount', 'pid', 'uts'), 1],
  'linux.devices[].type': ['u', 'x'],
  'linux.devices[].path': ['/dev/y', 'y'],
  'linux.devices[].major': NUMBER,
  'linux.devices[].minor': NUMBER,
  'linux.devices[].fileMode': NUMBER,
  'linux.devices[].uid': NUMBER,
  'linux.devices[].gid': NUMBER,
  'linux.cgroupsPath': ['/a/b', 1],
  'linux.resources.devices[].allow': [false, 1],
  'linux.resources.devices[].type': ['c', 'x'],
  'linux.resources.devices[].major': NUMBER,
  'linux.resources.devices[].minor': NUMBER,
  'linux.resources.devices[].access': ['r', 'x'],
  'linux.sysctl': [{ 'net.ipv4.ip_forward': '1' }, 1],
  'linux.seccomp.defaultAction': ['SCMP_ACT_ALLOW', 1],
  'linux.seccomp.defaultErrnoRet': NUMBER,
  'linux.seccomp.architectures': [['SCMP_ARCH_X86'], [1]],
  'linux.seccomp.flags': [['SECCOMP_FILTER_FLAG_LOG'], [1]],
  'linux.seccomp.syscalls[].names': [['read'], [1]],
  'linux.seccomp.syscalls[].action': ['SCMP_ACT_ALLOW', 1],
  'linux.seccomp.syscalls[].errnoRet': [1, 2 ** 16],
  'linux.seccomp.syscalls[].args[].index': NUMBER,
  'linux.seccomp.syscalls[].args[].value': NUMBER,
  'linux.seccomp.syscalls[].args[].valueTwo': NUMBER,
  'linux.seccomp.syscalls[].args[].op': ['SCMP_CMP_NE', 1],
  'linux.rootfsPropagation': ['private', 'x'],
  'linux.maskedPaths': STRINGS,
  'linux.readonlyPaths': STRINGS,
};

/** What the specification lets, or makes, a runtime ignore: unknown annotations, the size of no terminal. */
const IGNORED: Readonly<Record<string, unknown>> = {
  annotations: { 'org.example.unknown': 'x' },
  'process.consoleSize': { height: 24, width: 80 },
};

const IDS = [{ containerID: 0, hostID: 1, size: 1 }];
const HOOK = [{ path: '/bin/true' }];
const DEVICE = [{ major: 8, minor: 0, rate: 1 }];

/** The others, each with a value that asks for something. */
const NOT_SUPPORTED: Readonly<Record<string, unknown>> = {
  ...Object.fromEntries(
    ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'].map(
      (name) => [`hooks.${name}`, HOOK],
    ),
  ),
  ...Object.fromEntries(['solaris', 'windows', 'vm', 'zos', 'freebsd'].map((name) => [name, { a: 1 }])),
  'process.terminal': true,
  'process.commandLine': 'x',
  'process.apparmorProfile': 'x',
  'process.selinuxLabel': 'x',
  'process.user.username': 'x',
  'process.scheduler.policy': 'SCHED_BATCH',
  'process.scheduler.flags': ['SCHED_FLAG_RECLAIM'],
  ...numbers('process.scheduler', ['nice', 'priority', 'runtime', 'deadline', 'period']),
  'process.ioPriority.class': 'IOPRIO_CLASS_IDLE',
  'process.ioPriority.priority': 0,
  'process.execCPUAffinity.initial': '0',
  'process.execCPUAffinity.final': '0',
  'mounts[].uidMappings': IDS,
  'mounts[].gidMappings': IDS,
  'linux.uidMappings': IDS,
  'linux.gidMappings': IDS,
  'linux.timeOffsets.monotonic': { secs: 1 },
  'linux.timeOffsets.boottime': { nanosecs: 1 },
  'linux.netDevices': { eth0: {} },
  'linux.resources.unified': { 'memory.high': 'max' },
  'linux.resources.pids.limit': 0,
  ...numbers('linux.resources.memory', ['limit', 'reservation', 'swap', 'kernel', 'kernelTCP', 'swappiness']),
  'linux.resources.memory.disableOOMKiller': true,
  'linux.resources.memory.useHierarchy': true,
  'linux.resources.memory.checkBeforeUpdate': true,
  ...numbers('linux.resources.cpu', [
    ...['shares', 'quota', 'burst', 'period', 'realtimeRuntime', 'realtimePeriod', 'idle'],
  ]),
  'linux.resources.cpu.cpus': '0',
  'linux.resources.cpu.mems': '0',
  ...numbers('linux.resources.blockIO', ['weight', 'leafWeight']),
  'linux.resources.blockIO.weightDevice': DEVICE,
  'linux.resources.blockIO.throttleReadBpsDevice': DEVICE,
  'linux.resources.blockIO.throttleWriteBpsDevice': DEVICE,
  'linux.resources.blockIO.throttleReadIOPSDevice': DEVICE,
  'linux.resources.blockIO.throttleWriteIOPSDevice': DEVICE,
  'linux.resources.hugepageLimits': [{ pageSize: '2MB', limit: 0 }],
  'linux.resources.network.classID': 1,
  'linux.resources.network.priorities': [{ name: 'lo', priority: 0 }],
  'linux.resources.rdma': { mlx: {} },
  'linux.intelRdt.closID': 'x',
  'linux.intelRdt.schemata': ['x'],
  'linux.intelRdt.l3CacheSchema': 'x',
  'linux.intelRdt.memBwSchema': 'x',
  'linux.intelRdt.enableMonitoring': true,
  'linux.memoryPolicy.mode': 'MPOL_BIND',
  'linux.memoryPolicy.nodes': '0',
  'linux.memoryPolicy.flags': ['MPOL_F_STATIC_NODES'],
  'linux.seccomp.listenerPath': '/x',
  'linux.seccomp.listenerMetadata': 'x',
  'linux.mountLabel': 'x',
  'linux.personality.domain': 'LINUX32',
  'linux.personality.flags': ['x'],
};

/** 0 asks for something, too. */
function numbers(parent: string, names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [`${parent}.${name}`, 0]));
}

describe('container: config.json', () => {
  const bundles = useBundles();

  const REFUSED: readonly [path: string, value: unknown, message: RegExp][] = [
    ['ociVersion', undefined, /"ociVersion" is missing/],
    ['ociVersion', '2.0.0', /ociVersion "2.0.0"/],
    ['hooks', { prestart: [{ path: '/bin/true' }] }, /"hooks.prestart" is not supported/],
    ['process', undefined, /"process" is missing/],
    ['process.terminal', true, /"process.terminal" is not supported/],
    ['process.args', [], /"process.args" is empty/],
    ['process.args', 'true', /"process.args" is not a list/],
    ['process.args', ['a\0b'], /process.args\[0\]/],
    ['process.cwd', 'relative', /"process.cwd" is "relative"/],
    ['process.env', ['NOVALUE'], /"NOVALUE"/],
    ['process.user.uid', -1, /"process.user.uid" is -1/],
    ['process.apparmorProfile', 'x', /"process.apparmorProfile" is not supported/],
    ['process.selinuxLabel', 'x', /"process.selinuxLabel" is not supported/],
    ['process.capabilities', { bounding: ['CAP_X'] }, /capability "CAP_X"/],
    ['process.rlimits', [{ type: 'RLIMIT_X', soft: 1, hard: 1 }], /limit "RLIMIT_X"/],
    ['process.rlimits', [{ type: 'RLIMIT_CPU', soft: 2, hard: 1 }], /"RLIMIT_CPU": soft/],
    [
      'process.rlimits',
      [
        { type: 'RLIMIT_CPU', soft: 1, hard: 1 },
        { type: 'RLIMIT_CPU', soft: 1, hard: 1 },
      ],
      /"RLIMIT_CPU" twice/,
    ],
    ['mounts', [{ destination: '/x', type: 'tmpfs', options: ['idmap'] }], /option "idmap" of mount "\/x"/],
    ['mounts', [{ destination: '/x', source: '/', options: ['rbind', 'ridmap'] }], /option "ridmap"/],
    ['linux.netDevices', { eth0: {} }, /"linux.netDevices.eth0" is not supported/],
    ['linux.resources', { unified: { 'memory.high': '' } }, /"linux.resources.unified.memory.high"/],
    [
      'linux.seccomp',
      { defaultAction: 'SCMP_ACT_ALLOW', defaultErrnoRet: 1 },
      /"linux.seccomp.defaultErrnoRet" is not allowed/,
    ],
    ['root', undefined, /"root" is missing/],
    ['mounts', [{ destination: 'x', type: 'tmpfs' }], /"mounts.destination" is "x"/],
    ['mounts', [{ destination: '/.', type: 'tmpfs' }], /mount on "\/"/],
    ['mounts', [{ destination: '/x', options: ['bind'] }], /"\/x" has no source/],
    ['mounts', [{ destination: '/x', source: '/', options: ['bind', 'huh'] }], /option "huh" of mount "\/x"/],
    [
      'mounts',
      [{ destination: '/x', type: 'tmpfs', uidMappings: [{}, { a: 1 }] }],
      /"mounts\[0\].uidMappings" is not supported/,
    ],
    ['linux.namespaces', namespaces('mount', 'pid', 'user'), /type "user" are not supported/],
    ['linux.namespaces', namespaces('mount', 'pid', 'time'), /type "time" are not supported/],
    ['linux.namespaces', namespaces('mount', 'pid', 'pid'), /"pid" twice/],
    ['linux.namespaces', namespaces('pid'), /must have "mount"/],
    ['linux.namespaces', [{ type: 'mount' }, { type: 'pid', path: '/x' }], /joining .* "pid"/],
    ['linux.uidMappings', [{ containerID: 0, hostID: 1, size: 1 }], /"linux.uidMappings" is not supported/],
    ['linux.sysctl', { 'kernel.panic': '1' }, /"kernel.panic" is not namespaced/],
    ['linux.sysctl', { 'net.ipv4/../../kernel.x': '1' }, /is not namespaced/],
    ['linux.rootfsPropagation', 'shared', /"shared"; supported: private/],
    ['linux.maskedPaths', ['x'], /linux.maskedPaths\[0\]/],
    ['linux.seccomp', { syscalls: [] }, /defaultAction/],
  ];
  for (const [path, value, message] of REFUSED) {
    it(`refuses ${path} ${JSON.stringify(value)}`, () => {
      assert.throws(() => checkSpec(withProperty(path, value)), message);
    });
  }

  it('refuses limits, which are not applied, by name', () => {
    checkSpec(defaultSpec());
    const limited = withProperty('linux.resources', { devices: [], memory: { limit: 1 } });
    assert.throws(() => checkSpec(limited), /"linux.resources.memory.limit" is not supported/);
  });

  it('takes what asks for nothing, and what the specification says to ignore', () => {
    for (const [path, value] of [
      ['hooks', { prestart: [] }],
      ['linux.resources', { memory: {}, devices: null, unified: {} }],
      ['linux.intelRdt', {}],
      ['linux.timeOffsets', { monotonic: {} }],
      ...Object.entries(IGNORED),
    ] as const)
      checkSpec(withProperty(path, value));
  });

  describe('every property of the specification is applied, refused by its name, or ignored as it says', () => {
    it('each is in one list', () => {
      const lists = [...Object.keys(APPLIED), ...Object.keys(NOT_SUPPORTED), ...Object.keys(IGNORED)];
      assert.deepEqual(lists.sort(), [...PROPERTIES].sort());
    });
    for (const [path, value] of Object.entries(NOT_SUPPORTED)) {
      it(`${path} is refused`, () => {
        const name = path.replaceAll('[]', '[0]');
        assert.throws(() => checkSpec(withProperty(path, value)), `"${name}`);
      });
    }
    for (const [path, [good, bad]] of Object.entries(APPLIED)) {
      it(`${path} is checked`, () => {
        checkSpec(withProperty(path, good));
        const name = path.split(/[.[\]]+/).findLast((part) => part !== '') ?? '';
        assert.throws(() => checkSpec(withProperty(path, bad)), name);
      });
    }
  });

  it('takes what real runc writes', () => {
    const bundle = bundles.bundle();
    outcome('rm', [bundle.at('config.json')]);
    assert.equal(outcome('runc', ['spec', '--bundle', bundle.directory]).status, 0);
    bundle.change((spec) => ({ ...spec, process: { ...spec.process, terminal: false } }));
    assert.equal(bundle.exec('id -u').stdout, '0\n');
  });

  it('`tscr spec` writes one that ours, runc and crun run; never over an old one', () => {
    const bundle = bundles.bundle();
    outcome('rm', [bundle.at('config.json')]);
    const spec = (): object => outcome(CLI, ['spec', '--bundle', bundle.directory]);
    assert.deepEqual(spec(), { status: 0, stdout: '', stderr: '' });
    const written = readFileSync(bundle.at('config.json'), 'utf8');
    assert.deepEqual(JSON.parse(written), defaultSpec());
    const path = bundle.at('config.json');
    assert.deepEqual(spec(), {
      status: 125,
      stdout: '',
      stderr: `tscr spec: "${path}" already exists; remove it first\n`,
    });
    assert.equal(readFileSync(path, 'utf8'), written);
    bundle.change((old) => ({ ...old, process: { ...old.process, args: shell('echo hello') } }));
    for (const ran of [bundle.run(), bundle.runc(), bundle.crun()])
      assert.deepEqual(ran, { status: 0, stdout: 'hello\n', stderr: '' });
  });

  it('says what is wrong with the file itself', () => {
    const bundle = bundles.bundle();
    writeFileSync(bundle.at('config.json'), '{');
    assert.equal(bundle.run().stderr, `tscr run: "${bundle.at('config.json')}" is not valid JSON\n`);
    outcome('rm', [bundle.at('config.json')]);
    assert.equal(bundle.run().stderr, `tscr run: cannot read "${bundle.at('config.json')}": ENOENT\n`);
  });
});
