/**
 * Protects the host's devices from containers: a node can be made, shipped by an image, or shown by a volume, but it opens
 * nothing, to root in the container as to others, with control groups and without. What every program expects of /dev
 * works all the same, and a node that was made is kept.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { assert } from 'chai';
import { deviceList } from '../../runtime/container/cgroup/device-list.js';
import { ACCESS, type DeviceRule, isAllowed, rulesOf } from '../../runtime/container/cgroup/device-rules.js';
import { DRIVERS } from '../../runtime/container/records/record.js';
import { Tscr } from '../support/container/tscr.js';
import { usePlace } from '../support/mount/place.js';
import { waitUntil } from '../support/mount/processes.js';

const SUITE = 'tscr: devices';
const SECRET = 'HOST-SECRET';
const DISK_BYTES = 1024 * 1024;
/** A group may go at any moment; what is gone is not left. */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return 'gone';
  }
}

/** Hides the control groups from a command, as a container without them does. */
const WITHOUT_GROUPS = [
  'unshare',
  '--mount',
  'sh',
  '-c',
  'mount -t tmpfs none /sys/fs/cgroup; exec "$@"',
  'sh',
];

/** Hides the controller of version 1, as a machine with version 2 alone. */
const WITHOUT_VERSION_1 = [
  ...['unshare', '--mount', 'sh', '-c'],
  ...['umount /sys/fs/cgroup/devices 2>/dev/null; exec "$@"', 'sh'],
];

describe(SUITE, function () {
  this.timeout(120_000);
  const place = usePlace(SUITE, ['losetup']);
  let tscr: Tscr;
  let disk: string;
  let numbers: string;

  before(() => {
    tscr = new Tscr(place.path('store'), place.path('run'));
    tscr.succeed(['image', 'from-host', 'sh,mknod,dd,head,cat,chmod,mkdir,ls,id,stat', '-t', 'host:1']);
    writeFileSync(place.path('disk.img'), SECRET);
    truncateSync(place.path('disk.img'), DISK_BYTES);
    disk = execFileSync('losetup', ['-f', '--show', place.path('disk.img')], { encoding: 'utf8' }).trim();
    const [major, minor] = execFileSync('stat', ['-c', '%t %T', disk], { encoding: 'utf8' })
      .trim()
      .split(' ');
    numbers = `b ${Number.parseInt(major ?? '', 16)} ${Number.parseInt(minor ?? '', 16)}`;
    mkdirSync(place.path('volume'));
    execFileSync('mknod', ['-m', '666', place.path('volume/disk'), ...numbers.split(' ')]);
    // An image that brings the node.
    tscr.succeed(['run', '--name', 'maker', 'host:1', 'sh', '-c', `mknod -m 666 /disk ${numbers}`]);
    tscr.succeed(['commit', 'maker', 'brings:1']);
    tscr.succeed(['rm', 'maker']);
  });
  after(() => {
    execFileSync('losetup', ['-d', disk]);
  });
  afterEach(() => {
    assert.equal(readFileSync(place.path('disk.img'), 'latin1').slice(0, SECRET.length), SECRET, 'the disk');
    assert.deepEqual(tscr.leftovers(), []);
    waitUntil('no control group is left', () => groupsLeft().length === 0); // others come and go
  });

  const groupsLeft = (): string[] => {
    const found = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', 'tscr-*'], {
      encoding: 'utf8',
    });
    return found.stdout.split('\n').filter((line) => line !== '' && textOf(`${line}/cgroup.procs`) === '');
  };

  const REACHED = `head -c ${SECRET.length} "$node" && echo read; printf OWNED | dd of="$node" conv=notrunc 2>&- && echo written`;
  const touch = (node: string): string => `node=${node}; { ${REACHED}; } 2>/dev/null; echo tried`;

  /** How a node comes to be somewhere in the container. */
  const WAYS: Record<string, () => { args: readonly string[]; script: string; image?: string }> = {
    'made in the root': () => ({ args: [], script: `mknod /d ${numbers} && ${touch('/d')}` }),
    'made in /tmp of the root': () => ({
      args: [],
      script: `mkdir -p /tmp; mknod /tmp/d ${numbers} && ${touch('/tmp/d')}`,
    }),
    'made in /dev': () => ({ args: [], script: `mknod /dev/d ${numbers}; ${touch('/dev/d')}` }),
    'made in /dev/shm': () => ({ args: [], script: `mknod /dev/shm/d ${numbers} && ${touch('/dev/shm/d')}` }),
    'made in a tmpfs': () => ({
      args: ['--tmpfs', '/t'],
      script: `mknod /t/d ${numbers} && ${touch('/t/d')}`,
    }),
    'made in a volume': () => ({
      args: ['-v', `${place.path('volume')}:/v`],
      script: `mknod /v/made$$ ${numbers} && ${touch('/v/made$$')}`,
    }),
    'shown by a volume': () => ({ args: ['-v', `${place.path('volume')}:/v`], script: touch('/v/disk') }),
    'shown by a volume that is the node': () => ({
      args: ['-v', `${disk}:/dev/disk`],
      script: touch('/dev/disk'),
    }),
    'brought by the image, to somebody else': () => ({
      args: ['-u', '65534'],
      script: touch('/disk'),
      image: 'brings:1',
    }),
    'brought by the image, to root': () => ({ args: [], script: touch('/disk'), image: 'brings:1' }),
  };
  for (const driver of DRIVERS) {
    for (const [what, way] of Object.entries(WAYS)) {
      it(`${driver}: a node ${what} opens nothing`, () => {
        const { args, script, image = 'host:1' } = way();
        const shown = tscr.run([
          'run',
          '--rm',
          '--storage-driver',
          driver,
          ...args,
          image,
          'sh',
          '-c',
          script,
        ]);
        assert.equal(shown.stdout, 'tried\n', shown.stderr);
      });
    }
  }

  for (const [what, way] of Object.entries(WAYS)) {
    it(`without control groups a node ${what} opens nothing`, () => {
      const { args, script, image = 'host:1' } = way();
      const shown = tscr.run(['run', '--rm', ...args, image, 'sh', '-c', script], { within: WITHOUT_GROUPS });
      assert.equal(shown.stdout, 'tried\n', shown.stderr);
    });
  }

  it('each guard is enough: rules of version 1, a program of version 2, and mounts alone', () => {
    const guards = [
      { within: [], nodev: false },
      { within: WITHOUT_VERSION_1, nodev: false },
      { within: WITHOUT_GROUPS, nodev: true },
    ];
    for (const { within, nodev } of guards) {
      const script = `mknod /dev/d ${numbers}; ${touch('/dev/d')}; while read -r _ at _ flags _; do [ $at != /dev ] || echo $flags; done </proc/self/mounts; echo x >/dev/null`;
      const { stdout, stderr, status } = tscr.run(['run', '--rm', 'host:1', 'sh', '-c', script], { within });
      const [tried, flags = ''] = stdout.trimEnd().split('\n');
      assert.deepEqual([tried, status], ['tried', 0], stderr);
      assert.equal(flags.split(',').includes('nodev'), nodev, flags);
    }
  });

  const EVERYDAY =
    'for d in null zero full random urandom tty ptmx; do [ -c /dev/$d ] || echo no $d; done; head -c 4 /dev/zero >/dev/null; head -c 4 /dev/urandom >/dev/null; echo x >/dev/null; echo x 2>/dev/null >/dev/full || echo full; ls /dev/pts/ptmx';
  for (const within of [[], WITHOUT_GROUPS]) {
    it(`what every program expects of /dev works${within.length > 0 ? ' without control groups' : ''}`, () => {
      const { stdout, status, stderr } = tscr.run(['run', '--rm', 'host:1', 'sh', '-c', EVERYDAY], {
        within,
      });
      assert.deepEqual({ stdout, status }, { stdout: 'full\n/dev/pts/ptmx\n', status: 0 }, stderr);
    });
  }

  it('a directory as the root, and a bundle, are no other way in', () => {
    const bundle = place.path('bundle');
    tscr.succeed(['bundle', 'brings:1', bundle]);
    const directory = ['run', '--rootfs', `${bundle}/rootfs`];
    assert.equal(tscr.run([...directory, 'sh', '-c', touch('/disk')]).stdout, 'tried\n');
    const config = JSON.parse(readFileSync(`${bundle}/config.json`, 'utf8'));
    config.process.args = ['sh', '-c', touch('/disk')];
    writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
    assert.equal(tscr.run(['run', '--bundle', bundle]).stdout, 'tried\n');
    // A rule that allows it is applied, where /dev may hold it.
    const [, major, minor] = numbers.split(' ').map(Number);
    config.linux.resources = {
      devices: [{ allow: false }, { allow: true, type: 'b', major, minor, access: 'r' }],
    };
    config.linux.devices = [{ path: '/dev/disk', type: 'b', major, minor }];
    config.process.args = ['sh', '-c', touch('/dev/disk')];
    writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
    assert.equal(tscr.run(['run', '--bundle', bundle]).stdout, `${SECRET}read\ntried\n`);
    const refused = tscr.run(['run', '--bundle', bundle], { within: WITHOUT_GROUPS });
    assert.equal(refused.status, 125);
    assert.match(refused.stderr, /cannot apply "linux.resources.devices"/);
  });

  it('a /dev of the host that a bind shows is left as it is', () => {
    const stand = place.path('host-dev');
    mkdirSync(stand);
    for (const [name, minor] of [
      ['null', 3],
      ['zero', 5],
    ] as const)
      execFileSync('mknod', ['-m', '666', `${stand}/${name}`, 'c', '1', String(minor)]);
    execFileSync('mknod', ['-m', '666', `${stand}/ptmx`, 'c', '5', '2']);
    mkdirSync(`${stand}/pts`);
    mkdirSync(`${stand}/shm`);
    mkdirSync(`${stand}/mqueue`);
    const shown = (): string =>
      execFileSync('find', [stand, '-printf', '%P %y %i %m %U %T@\\n'], { encoding: 'utf8' });
    const before = shown();
    for (const within of [[], WITHOUT_GROUPS]) {
      tscr.run(['run', '--rm', '-v', `${stand}:/dev`, 'host:1', 'sh', '-c', 'ls /dev'], { within });
      assert.equal(shown(), before);
    }
  });

  it('who may mount is refused where mounts alone would keep devices out', () => {
    const bundle = place.path('mounting');
    tscr.succeed(['bundle', 'host:1', bundle]);
    const config = JSON.parse(readFileSync(`${bundle}/config.json`, 'utf8'));
    config.process.capabilities.bounding.push('CAP_SYS_ADMIN');
    config.process.args = ['id'];
    writeFileSync(`${bundle}/config.json`, JSON.stringify(config));
    assert.equal(tscr.run(['run', '--bundle', bundle]).status, 0);
    const { status, stderr } = tscr.run(['run', '--bundle', bundle], { within: WITHOUT_GROUPS });
    assert.equal(status, 125);
    assert.match(
      stderr,
      /cannot create a control group for device rules on this host, and config.json grants "CAP_SYS_ADMIN"/,
    );
  });

  it('a node that was made is kept by commit', () => {
    const shown = tscr.succeed(['run', '--rm', 'brings:1', 'stat', '-c', '%F %a', '/disk']);
    assert.equal(shown, 'block special file 666\n');
  });

  it('a command that is killed leaves no group to stay', async () => {
    const running = tscr.start([
      'run',
      '--name',
      'killed',
      'host:1',
      'sh',
      '-c',
      'echo up; cat /dev/zero >/dev/null',
    ]);
    await running.says('up');
    running.signal('SIGKILL');
    await running.ended;
    tscr.succeed(['run', '--rm', 'host:1', 'id']);
    tscr.succeed(['rm', '-f', 'killed']);
  });
});

describe('device rules', () => {
  const NULL = { type: 'c', major: 1, minor: 3 } as const;
  const SDA = { type: 'b', major: 8, minor: 0 } as const;

  it('the default lets everything be made and little be opened', () => {
    const rules = rulesOf([{ allow: false, access: 'rwm' }]);
    assert.isTrue(isAllowed(rules, NULL, ACCESS.r | ACCESS.w));
    assert.isTrue(isAllowed(rules, SDA, ACCESS.m));
    for (const access of [ACCESS.r, ACCESS.w, ACCESS.r | ACCESS.m])
      assert.isFalse(isAllowed(rules, SDA, access));
    assert.isFalse(isAllowed(rules, { type: 'c', major: 10, minor: 229 }, ACCESS.r), '/dev/fuse');
    assert.isFalse(isAllowed(rules, { type: 'c', major: 1, minor: 1 }, ACCESS.r), '/dev/mem');
  });

  it('version 1 is told the same as the program decides', () => {
    const list = deviceList(rulesOf([{ allow: false }, { allow: true, type: 'b', major: 8, access: 'r' }]));
    assert.isFalse(list?.allow);
    assert.includeMembers([...(list?.exceptions ?? [])], ['b 8:* r', 'c 1:3 rwm', 'b *:* m', 'c *:* m']);
  });

  it('what version 1 cannot say is undefined, and left to a program', () => {
    const narrower: DeviceRule[] = [
      { allow: true, type: 'b', major: 8, access: ACCESS.r },
      { allow: false, type: 'b', major: 8, minor: 1, access: ACCESS.r },
    ];
    assert.isUndefined(deviceList(narrower));
    assert.isFalse(isAllowed(narrower, { type: 'b', major: 8, minor: 1 }, ACCESS.r));
    assert.isTrue(isAllowed(narrower, SDA, ACCESS.r));
  });
});
