/**
 * Commands as an ordinary user, in a user namespace whose ids the test chooses, or in none.
 *
 * Rules: a mount namespace of its own ends with it, and so does every mount made there. The user reaches the project
 * and /dev/fuse, whatever their permissions here are.
 */
import { fileURLToPath } from 'node:url';
import { IS_HOST_ROOT } from '../privilege.js';
import { type RunOptions, run } from '../run.js';

/** The ordinary user's uid and gid. */
export const USER = 61_234;
/** The first of the ids that a namespace may have beside the user's own. */
export const SUBIDS = IS_HOST_ROOT ? 6_100_000 : 1;
const SUBID_COUNT = IS_HOST_ROOT ? 65_535 : 61_000;

/** A namespace where the user is root: alone, or with the ids from 1. */
export const NAMESPACES = {
  none: '',
  single: `0 ${USER} 1`,
  range: `0 ${USER} 1\n1 ${SUBIDS} ${SUBID_COUNT}`,
} as const;

const PROJECT = fileURLToPath(new URL('../../../..', import.meta.url));

/** The parent writes the maps, as newuidmap(1) would; the child goes on when they are there. */
const ENTER = `
import ctypes, json, os, subprocess, sys, tempfile
user, project, ids, over, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], json.loads(sys.argv[4]), sys.argv[5:]
makes_devices = ${IS_HOST_ROOT ? 'True' : 'False'} # without, whoever made the namespace has opened the host's
CLONE_NEWNS, CLONE_NEWUSER, MS_PRIVATE, MS_REC, MS_BIND = 0x20000, 0x10000000, 1 << 18, 1 << 14, 1 << 12
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result != 0: raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
check(libc.unshare(CLONE_NEWNS))
check(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None))
project = f'/proc/self/fd/{os.open(project, os.O_PATH)}' # it may lie below /mnt
check(libc.mount(b'none', b'/mnt', b'tmpfs', 0, b'mode=755'))
os.mkdir('/mnt/project')
check(libc.mount(project.encode(), b'/mnt/project', None, MS_BIND, None))
if makes_devices:
    os.mknod('/mnt/fuse', 0o020666, os.makedev(10, 229)); os.chmod('/mnt/fuse', 0o666)
    check(libc.mount(b'/mnt/fuse', b'/dev/fuse', None, MS_BIND, None))
for source, target in over: check(libc.mount(source.encode(), target.encode(), None, MS_BIND, None))
def become():
    os.setgroups([]); os.setresgid(user, user, user); os.setresuid(user, user, user)
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    become()
    if ids:
        check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        os.write(ready[1], b'.'); os.read(go[0], 1)
        os.setresgid(0, 0, 0); os.setresuid(0, 0, 0)
    os.execvp(command[0], command)
if ids:
    os.read(ready[0], 1)
    for kind in 'uid', 'gid':
        with open(f'/proc/{child}/{kind}_map', 'wb', 0) as file: file.write(ids.encode() + b'\\n')
    os.write(go[1], b'.')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`;

export interface UserOptions extends Pick<RunOptions, 'timeoutMs'> {
  /** Files that lie over others while the script runs. */
  readonly over?: readonly (readonly [source: string, target: string])[];
}

/** Runs a bash script as the user; $UNIONFS and $TSCR are the programs. Its standard output. */
export function asUser(
  script: string,
  cwd: string,
  namespace: keyof typeof NAMESPACES,
  { over = [], ...options }: UserOptions = {},
): string {
  const programs = `
    set -euo pipefail
    export HOME=${cwd} UNIONFS='/mnt/project/dist/bin/unionfs' TSCR='/mnt/project/dist/bin/tscr'
    cd ${cwd}
  `;
  const command = ['bash', '-c', programs + script];
  const args = ['-c', ENTER, String(USER), PROJECT, NAMESPACES[namespace], JSON.stringify(over), ...command];
  return run('python3', args, options);
}
