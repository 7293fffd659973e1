"""What a mount costs: the command, until it returns with a usable mount, and the server until it has ended.

Rules: both programs in turn, as Podman calls them, medians. This process adopts and waits for every server, so that
its CPU time counts (PR_SET_CHILD_SUBREAPER): on a machine with other work it says more than the clock.

    npm run build && python3 bench/mount/mount.py [ROUNDS] [LOWERS]     root; fuse-overlayfs installed
"""

import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PR_SET_CHILD_SUBREAPER = 36
MS = 1000
OURS = os.path.join(os.path.dirname(__file__), '../../dist/bin/unionfs')
COLUMNS = ('mount, ms', 'umount, ms', 'server ends, ms', 'CPU, ms')

libc = ctypes.CDLL(None, use_errno=True)


def cpu():
    """User and system time of all children that have been waited for, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(program, directory, lowers):
    """One mount and its end, in milliseconds, by column."""
    names = [f'lower{number}' for number in range(lowers)]
    for name in (*names, 'upper', 'work', 'merged'):
        os.makedirs(os.path.join(directory, name))
    options = f"lowerdir={':'.join(names)},upperdir=upper,workdir=work"
    before, start = cpu(), time.perf_counter()
    subprocess.run([program, '-o', options, 'merged'], cwd=directory, check=True, stdin=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    mounted = time.perf_counter()
    if libc.umount2(os.path.join(directory, 'merged').encode(), 0) != 0:
        raise OSError(ctypes.get_errno(), 'umount2')
    unmounted = time.perf_counter()
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    ended = time.perf_counter()
    seconds = (mounted - start, unmounted - mounted, ended - unmounted, cpu() - before)
    return [value * MS for value in seconds]


def main(rounds=20, lowers=1):
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    scratch = tempfile.mkdtemp(prefix='unionfs-bench-')
    try:
        ours = os.path.join(scratch, 'unionfs-overlay')
        os.symlink(os.path.realpath(OURS), ours)
        programs = {'unionfs-overlay': ours, 'fuse-overlayfs': 'fuse-overlayfs'}
        rows = {name: [] for name in programs}
        for number in range(rounds):
            for name, program in programs.items():
                rows[name].append(measure(program, os.path.join(scratch, f'{name}{number}'), lowers))
        print(f"| {lowers} lowers, {rounds} rounds | {' | '.join(COLUMNS)} |")
        for name, measured in rows.items():
            medians = [f'{statistics.median(column):.1f}' for column in zip(*measured)]
            print(f"| {name} | {' | '.join(medians)} |")
    finally:
        shutil.rmtree(scratch)


main(*map(int, sys.argv[1:]))
