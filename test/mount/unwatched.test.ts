/**
 * Protects readers of lower layers that nothing watches: without inotify watches or instances, or with time-outs by
 * choice, what changes behind the mount shows after the time-out as it is, never old bytes with zeros at their end.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { assert } from 'chai';
import { CLI, usePlace } from '../support/mount/place.js';
import { serverOf } from '../support/mount/processes.js';

const SUITE = 'service/unwatched';
const TIMEOUT_MS = 30_000;

/** What is done in one directory each: before the change, the change in the lower layer, what is wrong afterwards. */
const CASES = `
def grow(at): write(at('l/f'), 'longer than before')
def shrink(at): write(at('l/f'), 'x')
def other_bytes(at): write(at('l/f'), 'eno')
def other_bytes_same_times(at):
    before = os.stat(at('l/f'))
    write(at('l/f'), 'eno')
    os.utime(at('l/f'), ns=(before.st_atime_ns, before.st_mtime_ns))
def replace(at):
    write(at('l/g'), 'another file')
    os.rename(at('l/g'), at('l/f'))
def append(at): open(at('l/f'), 'a').write(' and more')
def empty(at): os.truncate(at('l/f'), 0)
def become_large(at): write(at('l/f'), 'large' * 100000)
def remove(at): os.remove(at('l/f'))
def new_names(at):
    write(at('l/new'), 'new')
    os.mkdir(at('l/dir'))
def other_mode(at): os.chmod(at('l/f'), 0o640)
CASES = [grow, shrink, other_bytes, other_bytes_same_times, replace, append, empty, become_large, remove, new_names, other_mode]
`;

const CLIENT = `
import ctypes, json, mmap, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
${CASES}
def write(path, text):
    with open(path, 'w') as file: file.write(text)

def read(path):
    "what one read(2) gives of a file just opened, without fstat(2)"
    try: fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError: return None
    try: return os.read(fd, 1 << 20).decode('latin1')
    finally: os.close(fd)

def names(path):
    "getdents64(2) alone: opendir(3) asks for attributes, too"
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    found, buffer = [], ctypes.create_string_buffer(32768)
    while True:
        end = libc.syscall(${process.arch === 'arm64' ? 61 : 217}, fd, buffer, 32768)
        if end <= 0: break
        at = 0
        while at < end:
            length = struct.unpack_from('H', buffer, at + 16)[0]
            found.append(buffer.raw[at + 19:at + length].split(b'\\0')[0].decode())
            at += length
    os.close(fd)
    return sorted(found)

def place(case):
    return lambda path: os.path.join(path[0], case.__name__, path[2:])

if sys.argv[1] == 'prepare':
    for case in CASES:
        os.mkdir(os.path.join('l', case.__name__))
        write(place(case)('l/f'), 'one')
    sys.exit()

if sys.argv[1] == 'exhaust': # the watches that there are go to other directories
    for number in range(20):
        names('m/other%d' % number)
    sys.exit()

held, maps = {}, []
for case in CASES:
    at = place(case)
    held[case] = os.open(at('m/f'), os.O_RDONLY)
    maps.append(mmap.mmap(held[case], 3, prot=mmap.PROT_READ))
    assert maps[-1][:3] == b'one' and read(at('m/f')) == 'one' and names(at('m/')) == ['.', '..', 'f']
    os.stat(at('m/f'))
time.sleep(0.05)
for case in CASES:
    case(place(case))
time.sleep(1.3)
wrong = []
def check(case, what, found, expected):
    if found != expected: wrong.append([case.__name__, what, str(found)[:60], str(expected)[:60]])
for case in CASES:
    at = place(case)
    expected = read(at('l/f'))
    check(case, 'the first read', read(at('m/f')), expected)
    check(case, 'the listing', names(at('m/')), sorted(names(at('l/'))))
    if expected is not None:
        check(case, 'attributes', [os.stat(at('m/f')).st_size, os.stat(at('m/f')).st_mode], [os.stat(at('l/f')).st_size, os.stat(at('l/f')).st_mode])
    if case in (remove, replace): continue
    allowed = ['one', expected]
    first = os.pread(held[case], 1 << 20, 0).decode('latin1')
    # while the notification is on its way: the new bytes, as far as the old size reaches
    if first not in allowed and first != expected[:3]: check(case, 'a descriptor of before', first, allowed)
time.sleep(0.1)
for case in CASES:
    if case in (remove, replace): continue
    check(case, 'a descriptor of before, a little later', os.pread(held[case], 1 << 20, 0).decode('latin1'), read(place(case)('l/f')))
print(json.dumps(wrong))
`;

const SCRIPT = `
set -e
cd "$1"; mkdir l u w m
for n in $(seq 0 19); do mkdir l/other$n; done
[ -z "$3" ] || echo "$4" > "/proc/sys/user/$3"
python3 -c "$CLIENT" prepare
"$2" mount $5 --lower l --upper u --workdir w m
trap 'umount -l m' EXIT
python3 -c "$CLIENT" exhaust
python3 -c "$CLIENT" check
cat w/unionfs.log >&2
`;

describe(SUITE, () => {
  const place = usePlace(SUITE, ['unshare']);
  let count = 0;

  interface Limit {
    readonly what: string;
    /** A file of /proc/sys/user and its value. */
    readonly limit?: readonly [name: string, value: number];
    readonly args?: string;
    readonly warns?: RegExp;
  }
  const LIMITS: readonly Limit[] = [
    { what: 'watches enough' },
    {
      what: 'ten watches, all taken',
      limit: ['max_inotify_watches', 10],
      warns:
        /^unionfs: no more inotify watches are available \(ENOSPC\); changes .* "sysctl fs\.inotify\.max_user_watches=\d+"\n$/,
    },
    {
      what: 'no inotify instance',
      limit: ['max_inotify_instances', 0],
      warns:
        /^unionfs: no inotify instance is available \(EMFILE\); changes .* "sysctl fs\.inotify\.max_user_instances=\d+"\n$/,
    },
    {
      what: 'no inotify instance, though watching is asked for',
      limit: ['max_inotify_instances', 0],
      args: '--layer-changes watch',
      warns: /no inotify instance/,
    },
    { what: 'time-outs', args: '--layer-changes ttl=1' },
  ];
  for (const { what, limit: [name, value] = [], args = '', warns } of LIMITS) {
    it(`with ${what}, every kind of change shows`, () => {
      const directory = place.path(`case${count++}`);
      mkdirSync(directory);
      const words = [directory, CLI, name ?? '', String(value ?? ''), args];
      const { status, stdout, stderr } = spawnSync(
        'unshare',
        ['-Urm', 'bash', '-c', SCRIPT, 'bash', ...words],
        {
          encoding: 'utf8',
          timeout: TIMEOUT_MS,
          killSignal: 'SIGKILL',
          env: { ...process.env, CLIENT },
        },
      );
      assert.equal(status, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), []);
      if (warns === undefined) assert.equal(stderr, '');
      else assert.match(stderr, warns);
    });
  }

  it('events that were lost are made up for: names, listings, and the bytes of files that were read', async () => {
    const union = place.union('overflow', { lowers: [{ 'd/f': 'one', 'd/gone': '', 'd/many': {} }] });
    const lower = union.lowers[0] ?? '';
    const client = place.client();
    await client.run(
      `
      os.chdir(path)
      held = open('d/f', 'rb', 0)
      assert held.read() == b'one' and os.path.exists('d/gone')
      before = os.listdir('d'), os.listdir('d/many')
      `,
      { path: union.mountpoint },
    );
    const pid = serverOf(union.mountpoint);
    process.kill(pid, 'SIGSTOP');
    const queue = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'latin1'));
    place.python(
      `
      os.chdir(path)
      for number in range(queue):
          os.mkfifo(f'd/many/{number}')
      open('d/f', 'r+').write('eno')
      os.rename('d/gone', 'd/come')
      `,
      { path: lower, queue },
    );
    process.kill(pid, 'SIGCONT');
    const state = (): Promise<unknown> =>
      client.run(
        `result = [os.pread(held.fileno(), 3, 0).decode(), read('d/f'), sorted(os.listdir('d')), os.path.exists('d/gone'), len(os.listdir('d/many'))]`,
      );
    const expected = JSON.stringify(['eno', 'eno', ['come', 'f', 'many'], false, queue]);
    const deadline = performance.now() + TIMEOUT_MS;
    let last = '';
    while (last !== expected && performance.now() < deadline) last = JSON.stringify(await state());
    assert.equal(last, expected);
    await client.end();
    union.umount();
  });
});
