/**
 * Protects containers of users who have one id: giving files away and becoming somebody succeed there, and the image that
 * is committed has the owners that were meant.
 */
import { assert } from 'chai';
import { asUser, USER } from '../acceptance/as-user.js';
import { run } from '../acceptance/run.js';
import { useScratch } from '../image/scratch.js';
import { Tscr } from './tscr.js';

const PROGRAMS = 'bash,chown,chmod,ln,mkdir,mkfifo,/usr/bin/python3,rm,setpriv,stat,touch,id,setcap,cat';

/** Every way to name a file. */
const CHOWNS = `
import os
os.chdir('/made')
os.chown('absolute/../file', 1, 2) if os.path.isdir('absolute') else os.chown('/made/file', 1, 2)
os.lchown('link', 3, 4)
os.chown('followed', 5, 6)
fd = os.open('by-descriptor', os.O_RDONLY)
os.fchown(fd, 7, 8)
here = os.open('.', os.O_RDONLY)
os.chown('by-directory', 9, 10, dir_fd=here)
os.chown('link-by-directory', 11, 12, dir_fd=here, follow_symlinks=False)
os.chown('group-only', -1, 13)
os.chown('taken-back', 14, 14)
os.chown('taken-back', 0, 0)
os.chown('/dev/stdout', 15, 15)
os.chown('/dev/shm', 16, 16)
for path, code in [('missing', 'ENOENT'), ('', 'ENOENT'), ('file/x', 'ENOTDIR'), ('x' * 300, 'ENAMETOOLONG'), ('loop', 'ELOOP')]:
    try: os.chown(path, 1, 1)
    except OSError as error: assert os.strerror(error.errno) == os.strerror(getattr(__import__('errno'), code)), (path, error)
    else: assert False, path
try: os.fchown(99, 1, 1)
except OSError as error: assert error.errno == 9
child = os.fork()
if child == 0:
    os.chroot('/made/jail'); os.chdir('/')
    os.chown('/inside', 17, 17); os.chown('/up/../../../inside-too', 18, 18)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
`;

const SCRIPT = `
set -e
mkdir -p /made/jail/up; cd /made; umask 022
touch file target by-descriptor by-directory group-only taken-back jail/inside jail/inside-too
ln -s file link; ln -s target followed; ln -s file link-by-directory; ln -s loop loop
python3 -c "$CHOWNS"
touch suid; chmod 6755 suid; chown 20:20 suid; stat -c '%a %u:%g' suid
mkdir dir; chown 21:21 dir; mkfifo pipe; chown 22:22 pipe
touch capable; setcap cap_net_raw+ep capable
setpriv --reuid 33 --regid 34 --groups 35 bash -c 'id; setpriv --reuid 0 id 2> /dev/null || echo not root again'
id
`;

describe('containers of users who have one id', () => {
  const scratch = useScratch();

  function prepare(): string {
    const home = scratch.fresh('home');
    run('bash', ['-c', `chmod 711 ..; chown ${USER}:${USER} .`], { cwd: home });
    return home;
  }

  it('give files away, become somebody, and are committed with the owners that were meant', function () {
    this.timeout(60_000);
    const home = prepare();
    const printed = asUser(
      `
      export TSCR_RUN=$HOME/run TSCR_ROOT=$HOME/store CHOWNS=${quoted(CHOWNS)}
      $TSCR image from-host ${PROGRAMS} -t base > /dev/null
      stdlib=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
      $TSCR run --userns single --name made -v $stdlib:$stdlib:ro -e CHOWNS base bash -c ${quoted(SCRIPT)}
      $TSCR commit made done > /dev/null; $TSCR save -o done.tar done 2> /dev/null
      `,
      home,
      'none',
    );
    assert.deepEqual(printed.trim().split('\n'), [
      '755 0:0',
      'uid=33 gid=34 groups=34,35',
      'not root again',
      'uid=0(root) gid=0(root) groups=0(root)',
    ]);
    const roots = new Tscr(scratch.fresh('store'), scratch.fresh('run'));
    roots.succeed(['load', '-q', '-i', `${home}/done.tar`]);
    const show = 'cd made; stat -c "%n %u:%g %a %F" * jail/*';
    const shown = roots.succeed(['run', '--rm', 'done', 'bash', '-c', show]);
    assert.deepEqual(shown.trim().split('\n').sort(), OWNED);
  });
});

/** As root sees it. */
const OWNED = [
  'by-descriptor 7:8 644 regular empty file',
  'by-directory 9:10 644 regular empty file',
  'capable 0:0 644 regular empty file',
  'dir 21:21 755 directory',
  'file 1:2 644 regular empty file',
  'followed 0:0 777 symbolic link',
  'group-only 0:13 644 regular empty file',
  'jail 0:0 755 directory',
  'jail/inside 17:17 644 regular empty file',
  'jail/inside-too 18:18 644 regular empty file',
  'jail/up 0:0 755 directory',
  'link 3:4 777 symbolic link',
  'link-by-directory 11:12 777 symbolic link',
  'loop 0:0 777 symbolic link',
  'pipe 22:22 644 fifo',
  'suid 20:20 755 regular empty file',
  'taken-back 0:0 644 regular empty file',
  'target 5:6 644 regular empty file',
];

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
