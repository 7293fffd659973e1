/**
 * Protects containers of users who have one id: giving files away, making devices and becoming somebody succeed there,
 * stat(2) shows what was given in whatever form it is called, and the image that is committed has it too.
 */
import { assert } from 'chai';
import { asUser, USER } from '../support/acceptance/as-user.js';
import { Tscr } from '../support/container/tscr.js';
import { useScratch } from '../support/image/scratch.js';
import { run } from '../support/run.js';

const PROGRAMS =
  'bash,chown,chmod,cp,ln,mkdir,mkfifo,mknod,mv,perl,/usr/bin/python3,rm,setpriv,stat,touch,id,setcap,cat';

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

/** Every way to ask whose a file is: names, descriptors, roots, and calls that the C library does not use any more. */
const STATS = `
import os, subprocess
def owner(stat): return (stat.st_uid, stat.st_gid)
def check(stat, *wanted): assert owner(stat) == wanted, (owner(stat), wanted)
os.chdir('/made')
here = os.open('.', os.O_RDONLY)
check(os.stat('/made/file'), 1, 2)
check(os.stat('file'), 1, 2)
check(os.stat('dir/../../made/./file'), 1, 2)
check(os.stat('file', dir_fd=here), 1, 2)
check(os.stat('link'), 1, 2)
check(os.lstat('link'), 3, 4)
check(os.stat('/made/followed'), 5, 6)
check(os.lstat('/made/followed'), 0, 0)
check(os.fstat(os.open('by-descriptor', os.O_RDONLY)), 7, 8)
check(os.fstat(os.open('by-descriptor', os.O_PATH)), 7, 8)
check(os.stat('dir'), 21, 21)
check(os.stat('taken-back'), 0, 0)
check(os.stat('/proc/self/fd/%d' % here), 0, 0)
check(os.stat('/dev/shm'), 0, 0)
os.symlink('/made/file', 'absolute-link')
check(os.stat('absolute-link'), 1, 2)
os.unlink('absolute-link')
for path, error in [('missing', FileNotFoundError), ('', FileNotFoundError), ('file/x', NotADirectoryError)]:
    try: os.stat(path)
    except error: pass
    else: assert False, path
child = os.fork()
if child == 0:
    os.symlink('/inside', 'jail/to-inside'); os.chroot('/made/jail'); os.chdir('/up')
    check(os.stat('/inside'), 17, 17); check(os.stat('../../inside-too'), 18, 18); check(os.stat('/../to-inside'), 17, 17)
    os.unlink('/to-inside')
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
if os.uname().machine == 'x86_64':
    raw = '$b = chr(0) x 144; syscall(%s, $b) == 0 or die $!; print join(":", unpack("x28LL", $b))'
    ask = lambda call: subprocess.check_output(['perl', '-e', raw % call], text=True)
    assert ask('4, ($p = "/made/link")') == '1:2'
    assert ask('6, ($p = "link")') == '3:4'
    assert ask('5, fileno(STDIN)') == '%d:%d' % owner(os.fstat(0))
    raw = 'open F, "by-descriptor" or die; ' + raw
    assert ask('5, fileno(F)') == '7:8'
`;

/** As useradd(8) writes /etc/shadow anew, cp -p copies, and who appends makes a copy-up of a lower file. */
const KEEPS = `
import os, subprocess
os.chdir('/made')
with open('file') as old, open('file+', 'w') as new:
    seen = os.fstat(old.fileno())
    os.fchown(new.fileno(), seen.st_uid, seen.st_gid); os.fchmod(new.fileno(), 0o640)
os.rename('file+', 'file')
assert os.stat('file').st_gid == 2
subprocess.check_call(['cp', '-p', 'file', 'copied'])
with open('target', 'a') as target: target.write('more')
assert os.stat('target').st_uid == 5
os.rename('group-only', 'moved')
assert os.stat('moved').st_gid == 13
`;

/** As mknod(2) by root. */
const DEVICES = `
import errno, os, stat
os.chdir('/made')
os.umask(0o027)
os.mknod('null', 0o666 | stat.S_IFCHR, os.makedev(1, 3))
os.mknod('/made/dir/../disk+', 0o660 | stat.S_IFBLK, os.makedev(7, 1048575))
os.chown('disk+', 0, 6)
os.rename('disk+', 'disk')
seen = os.stat('null')
assert (stat.S_ISCHR(seen.st_mode), seen.st_rdev, seen.st_mode & 0o7777, seen.st_nlink) == (True, os.makedev(1, 3), 0o640, 1), seen
def refused(path, wanted, mode=stat.S_IFCHR, device=os.makedev(1, 3)):
    try: os.mknod(path, mode | 0o600, device)
    except OSError as error: assert error.errno == wanted, (path, error)
    else: assert False, path
refused('null', errno.EEXIST)
refused('missing/null', errno.ENOENT)
refused('file/null', errno.ENOTDIR)
refused('n' * 256, errno.ENAMETOOLONG)
refused('whiteout', errno.EPERM, device=0)
refused('/dev/shm/null', errno.EPERM)
assert sorted(name for name in os.listdir('.') if 'unionfs' in name) == []
try: open('null')
except PermissionError: pass
else: assert False
`;

/** In a plain copy of the image, where no union keeps owners. */
const IN_COPY = `
import os
os.chdir('/made')
def owner(path):
    stat = os.lstat(path)
    return (stat.st_uid, stat.st_gid, oct(stat.st_mode & 0o7777))
assert owner('/made/file') == (1, 2, '0o640') and owner('target') == (5, 6, '0o644'), owner('file')
assert owner('dir') == (21, 21, '0o755') and owner('jail/../capable') == (0, 0, '0o644')
os.truncate('target', 1); os.chmod('suid', 0o4711)
os.chown('copied', -1, 40); os.chown('moved', 0, 0)
os.mkdir('dir/inner'); os.chown('dir/inner', 41, 41)
open('new', 'w').close(); os.chmod('new', 0o6755); os.chown('new', 42, 42)
assert owner('new') == (42, 42, '0o755') and owner('moved') == (0, 0, '0o644') and owner('copied') == (1, 40, '0o640')
os.rename('new', 'by-descriptor')
os.chown('/volume', 43, 43)
assert os.listxattr('/volume') == []
try: os.mknod('device', 0o20600, os.makedev(1, 3))
except PermissionError: pass
else: assert False
`;

const SCRIPT = `
set -e
mkdir -p /made/jail/up; cd /made; umask 022
touch file target by-descriptor by-directory group-only taken-back jail/inside jail/inside-too
ln -s file link; ln -s target followed; ln -s file link-by-directory; ln -s loop loop
python3 -c "$CHOWNS"
touch suid; chmod 6755 suid; chown 20:20 suid; stat -c '%a %u:%g' suid
mkdir dir; chown 21:21 dir; mkfifo pipe; chown 22:22 pipe
python3 -c "$STATS"; python3 -c "$DEVICES"
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

  it('give files away, see whose they are, make devices, become somebody; all of it is committed', function () {
    this.timeout(120_000);
    const home = prepare();
    const printed = asUser(
      `
      export TSCR_RUN=$HOME/run TSCR_ROOT=$HOME/store CHOWNS=${quoted(CHOWNS)} STATS=${quoted(STATS)}
      export DEVICES=${quoted(DEVICES)} KEEPS=${quoted(KEEPS)}
      $TSCR image from-host ${PROGRAMS} -t base > /dev/null
      stdlib=$(/usr/bin/python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
      $TSCR run --userns single --name made -v $stdlib:$stdlib:ro -e CHOWNS -e STATS -e DEVICES base bash -c ${quoted(SCRIPT)}
      $TSCR commit made once > /dev/null
      $TSCR run --userns single --name again -v $stdlib:$stdlib:ro -e STATS -e KEEPS once bash -euc \
        'python3 -c "$STATS"; python3 -c "$KEEPS"'
      $TSCR commit again done > /dev/null; $TSCR save -o done.tar done 2> /dev/null
      export IN_COPY=${quoted(IN_COPY)}; touch volume
      $TSCR run --userns single --storage-driver copy --name third -v $stdlib:$stdlib:ro -v $HOME/volume:/volume \
        -e IN_COPY done bash -euc 'python3 -c "$IN_COPY"'
      $TSCR commit third copied > /dev/null; $TSCR save -o copied.tar copied 2> /dev/null
      $TSCR run --userns keep-id --name own base bash -c 'touch /etc/own; stat -c %u /etc'
      $TSCR commit own own > /dev/null
      $TSCR run --userns single own stat -c '%n %u' /etc /etc/own
      `,
      home,
      'none',
    );
    assert.deepEqual(printed.trim().split('\n'), [
      '755 20:20',
      'uid=33 gid=34 groups=34,35',
      'not root again',
      'uid=0(root) gid=0(root) groups=0(root)',
      `${USER}`,
      '/etc 0',
      `/etc/own ${USER}`,
    ]);
    const roots = new Tscr(scratch.fresh('store'), scratch.fresh('run'));
    const shown = (name: string): string[] => {
      roots.succeed(['load', '-q', '-i', `${home}/${name}.tar`]);
      const show = 'cd made; shopt -s nullglob; stat -c "%n %u:%g %a %F %t:%T" * jail/* dir/*';
      return roots.succeed(['run', '--rm', name, 'bash', '-c', show]).trim().split('\n').sort();
    };
    assert.deepEqual(shown('done'), [...OWNED]);
    assert.deepEqual(shown('copied'), OWNED_IN_COPY);
  });
});

/** As root sees it. */
const OWNED = [
  'by-descriptor 7:8 644 regular empty file 0:0',
  'by-directory 9:10 644 regular empty file 0:0',
  'capable 0:0 644 regular empty file 0:0',
  'copied 1:2 640 regular empty file 0:0',
  'dir 21:21 755 directory 0:0',
  'disk 0:6 640 block special file 7:fffff',
  'file 1:2 640 regular empty file 0:0',
  'followed 0:0 777 symbolic link 0:0',
  'jail 0:0 755 directory 0:0',
  'jail/inside 17:17 644 regular empty file 0:0',
  'jail/inside-too 18:18 644 regular empty file 0:0',
  'jail/up 0:0 755 directory 0:0',
  'link 3:4 777 symbolic link 0:0',
  'link-by-directory 11:12 777 symbolic link 0:0',
  'loop 0:0 777 symbolic link 0:0',
  'moved 0:13 644 regular empty file 0:0',
  'null 0:0 640 character special file 1:3',
  'pipe 22:22 644 fifo 0:0',
  'suid 20:20 755 regular empty file 0:0',
  'taken-back 0:0 644 regular empty file 0:0',
  'target 5:6 644 regular file 0:0',
];

/** The same after `IN_COPY`. */
const OWNED_IN_COPY = [
  ...OWNED.filter((line) => !/^(by-descriptor|copied|moved|suid) /.test(line)),
  'by-descriptor 42:42 755 regular empty file 0:0',
  'copied 1:40 640 regular empty file 0:0',
  'dir/inner 41:41 755 directory 0:0',
  'moved 0:0 644 regular empty file 0:0',
  'suid 20:20 4711 regular empty file 0:0',
].sort();

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
