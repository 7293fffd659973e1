/**
 * The client's side of the differential test: builds layers and performs operations, in Python.
 *
 * Rules: what an operation gives is the same on every system that behaves the same, so no inode numbers, no times of
 * the run, no sizes of directories. An error is its name.
 */
import { MARK, SECOND_NAMESPACE } from '../support/privilege.js';

/**
 * Defines `build(root, entries, forms, below)`, to be called for the lowest layer first. Entries that stand in each
 * other's way are left out, always the same ones, and so are whiteouts in directories that merge with none below: the
 * kernel lists these (ovl_iterate_real).
 */
export const BUILD = `
import hashlib

mark, second = '${MARK}', '${SECOND_NAMESPACE}'

def acl(user_rights):
    "struct posix_acl_xattr: version 2, then tag, rights and id of each entry"
    none = 0xffffffff
    entries = [(1, 6, none), (2, user_rights, 1000), (4, 5, none), (0x10, 7, none), (0x20, 4, none)]
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)

def set_acl(path, which, user_rights):
    os.setxattr(path, f'system.posix_acl_{which}', acl(user_rights), follow_symlinks=False)

def marks(path, entry):
    if entry['attributes']:
        if second == 'trusted.':
            os.setxattr(path, 'trusted.test', b'lower')
        if stat.S_ISREG(os.lstat(path).st_mode) or stat.S_ISDIR(os.lstat(path).st_mode):
            os.setxattr(path, 'user.test', b'lower')
            os.setxattr(path, second + 'test', b'lower')
    os.chown(path, entry['uid'], entry['uid'], follow_symlinks=False)
    if not os.path.islink(path):
        os.chmod(path, entry['mode'])
        if entry['acl'] is not None:
            set_acl(path, 'access', entry['acl'])
            if os.path.isdir(path):
                set_acl(path, 'default', entry['acl'])
    os.utime(path, ns=(10**18, 10**18 + len(entry['content'])), follow_symlinks=False)

def whiteout(root, path, form):
    parent, name = os.path.split(path)
    if form == 1:
        os.close(os.open(f'{parent}/.wh.{name}', os.O_CREAT | os.O_EXCL))
    elif form == 2:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.setxattr(path, mark + 'whiteout', b'y')
        for directory in (parent, root):
            os.setxattr(directory, mark + 'opaque', b'x')
    else:
        os.mknod(path, stat.S_IFCHR, 0)

def opaque(path, form):
    os.mkdir(path)
    if form == 1:
        os.close(os.open(f'{path}/.wh..wh..opq', os.O_CREAT))
    elif form == 2:
        os.setxattr(path, 'user.fuseoverlayfs.opaque', b'y')
    elif form == 3:
        os.setxattr(path, 'user.overlay.opaque', b'y')
    else:
        os.setxattr(path, mark + 'opaque', b'y')

made = {}

def prefixes(path):
    names = path.split('/')
    return ['/'.join(names[:length]) for length in range(1, len(names) + 1)] if path else []

def merges(root, directory, below):
    if any(made[root].get(prefix) == 'opaque' for prefix in prefixes(directory)):
        return False
    for lower in below:
        kinds = [made[lower].get(prefix) for prefix in prefixes(directory)]
        if all(kind in ('directory', 'opaque') for kind in kinds):
            return True
        if any(kind not in ('directory', None) for kind in kinds):
            return False
    return False

def build_entry(root, entry, forms, below):
    path, kind = f"{root}/{entry['path']}", entry['kind']
    directory = os.path.dirname(entry['path'])
    if entry['path'] in made[root]:
        return
    if any(made[root].get(prefix) not in ('directory', 'opaque', None) for prefix in prefixes(directory)):
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for prefix in prefixes(directory):
        made[root].setdefault(prefix, 'directory')
    if kind == 'whiteout' and not merges(root, directory, below):
        return
    if kind == 'link' and made[root].get(entry['content']) == 'whiteout':
        return
    form = entry['form'] if forms else 0
    if kind == 'file':
        with open(path, 'x') as file:
            file.write(entry['content'])
    elif kind == 'sparse':
        with open(path, 'xb') as file:
            file.truncate(50000)
            os.pwrite(file.fileno(), entry['content'].encode(), 20000)
    elif kind == 'directory':
        os.mkdir(path)
    elif kind == 'symlink':
        os.symlink(entry['content'] or 'empty', path)
    elif kind == 'fifo':
        os.mkfifo(path)
    elif kind == 'link':
        os.link(f"{root}/{entry['content']}", path, follow_symlinks=False)
    elif kind == 'whiteout':
        whiteout(os.path.dirname(root), path, form)
    elif kind == 'opaque':
        opaque(path, form)
    made[root][entry['path']] = kind
    if kind not in ('link', 'whiteout'):
        marks(path, entry)

def build(root, entries, forms, below):
    os.mkdir(root)
    os.chmod(root, 0o777)
    made[root] = {}
    for entry in entries:
        try:
            build_entry(root, entry, forms, below)
        except OSError:
            pass
    # What is made inside a directory changes its time.
    for at, _, _ in os.walk(root):
        os.utime(at, ns=(10**18, 10**18))
`;

/** Defines `perform(root, operations, refused)`: those with the given numbers are not tried, and end in EXDEV. */
export const PERFORM = `
opened = {}

def with_file(path, flags, action, mode=0o666):
    fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    try:
        return action(fd)
    finally:
        os.close(fd)

def link_fd(fd, path):
    os.link(f'/proc/self/fd/{fd}', path, src_dir_fd=fd, follow_symlinks=True)

def describe(info):
    seen = [stat.filemode(info.st_mode), info.st_uid, info.st_gid]
    if not stat.S_ISDIR(info.st_mode):
        seen += [info.st_nlink, info.st_size]
    return seen

def content_of(fd):
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        return 'not a file'
    data = os.pread(fd, 100000, 0)
    return [len(data), hashlib.md5(data).hexdigest()]

def holes_of(fd):
    "Where data and holes begin."
    found, at, end = [], 0, os.fstat(fd).st_size
    while stat.S_ISREG(os.fstat(fd).st_mode) and at < end:
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        found.append([at, hole])
        try:
            at = os.lseek(fd, hole, os.SEEK_DATA)
        except OSError:
            break
    return found

class Calls:
    def create(path, mode, content):
        with_file(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, lambda fd: os.write(fd, content.encode()), mode)
    def write(path, at, content):
        with_file(path, os.O_WRONLY, lambda fd: os.pwrite(fd, content.encode(), at))
    def append(path, content):
        with_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, lambda fd: os.write(fd, content.encode()))
    def truncate(path, size):
        with_file(path, os.O_WRONLY, lambda fd: os.ftruncate(fd, size))
    def mkdir(path, mode):
        os.mkdir(path, mode)
    rmdir, unlink, rename, symlink, readlink = os.rmdir, os.unlink, os.rename, os.symlink, os.readlink
    def rename_noreplace(old, new):
        renameat2(old, new, RENAME_NOREPLACE)
    def exchange(old, new):
        renameat2(old, new, RENAME_EXCHANGE)
    def link(old, new):
        os.link(old, new, follow_symlinks=False)
    def fifo(path, mode):
        os.mkfifo(path, mode)
    def temporary(directory, path, content):
        fd = os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o640)
        try:
            os.write(fd, content.encode())
            link_fd(fd, path)
        finally:
            os.close(fd)
    def chmod(path, mode):
        if not os.path.islink(path):
            os.chmod(path, mode)
    def chown(path, uid, gid):
        os.chown(path, uid, gid, follow_symlinks=False)
    def utime(path, time):
        os.utime(path, ns=(time, time), follow_symlinks=False)
    def setxattr(path, name, value):
        os.setxattr(path, name, value.encode(), follow_symlinks=False)
    def removexattr(path, name):
        os.removexattr(path, name, follow_symlinks=False)
    def open(path, slot):
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        if slot in opened:
            os.close(opened[slot])
        opened[slot] = fd
    def read_open(slot):
        return slot in opened and [describe(os.fstat(opened[slot])), content_of(opened[slot])]
    def write_open(slot, at, content):
        return slot in opened and stat.S_ISREG(os.fstat(opened[slot]).st_mode) and os.pwrite(opened[slot], content.encode(), at)
    def link_open(slot, path):
        if slot in opened:
            link_fd(opened[slot], path)
    def open_for_reading(path, slot):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if ('read', slot) in opened:
            os.close(opened['read', slot])
        opened['read', slot] = fd
    def read_again(slot):
        return ('read', slot) in opened and content_of(opened['read', slot])
    def set_acl(path, which, rights):
        set_acl(path, which, rights)
    def remove_acl(path, which):
        os.removexattr(path, f'system.posix_acl_{which}', follow_symlinks=False)
    def punch(path, at, length):
        with_file(path, os.O_WRONLY, lambda fd: fallocate(fd, 3, at, length))
    def holes(path):
        return with_file(path, os.O_RDONLY, holes_of)
    def list(path):
        return sorted(os.listdir(path))
    def stat(path):
        return describe(os.lstat(path))
    def read(path):
        return with_file(path, os.O_RDONLY, content_of)
    def listxattr(path):
        names = sorted(os.listxattr(path, follow_symlinks=False))
        return [[name, os.getxattr(path, name, follow_symlinks=False).decode('latin1')] for name in names]

def perform_one(operation):
    os.setegid(operation['uid'])
    os.seteuid(operation['uid'])
    try:
        result = getattr(Calls, operation['call'])(*operation['arguments'])
        return 'ok' if result is None else result
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.seteuid(0)
        os.setegid(0)

def perform(root, operations, refused):
    os.setgroups([])
    os.chdir(root)
    results = ['EXDEV' if at in refused else perform_one(operation) for at, operation in enumerate(operations)]
    for fd in opened.values():
        os.close(fd)
    opened.clear()
    os.chdir('/')
    return results
`;
