/**
 * A fresh Debian root without Node, in which a package is installed and tried.
 *
 * Rules: each script runs on a kernel overlay of its own over the cached root, in namespaces of its own, without a
 * network; nothing of it is left. /dev/fuse is open to everybody there, as on a desktop.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDirectory, cached } from '../support/acceptance/cache.js';
import { DEBIAN_MIRROR } from '../support/acceptance/roots.js';
import { run } from '../support/run.js';

/** Its AppArmor knows the rules that the profile of the Debian package has. */
const SUITE = 'trixie';
const ROOT = 'packaging-1';
const INCLUDED = 'apparmor,fuse3,libseccomp2,uidmap';
const DEBOOTSTRAP_TIMEOUT_MS = 1_800_000;
const SCRIPT_TIMEOUT_MS = 300_000;
const NAMESPACES = ['--mount', '--pid', '--net', '--fork', '--kill-child=SIGKILL'];

export const freshRoot = (): string =>
  cached(ROOT, (root) => {
    run(
      'unshare',
      ['--mount', 'debootstrap', '--variant=minbase', `--include=${INCLUDED}`, SUITE, root, DEBIAN_MIRROR],
      {
        timeoutMs: DEBOOTSTRAP_TIMEOUT_MS,
      },
    );
  });

/** $1 the root, $2 a work directory, $3 the directory with packages, $4 the script; then pairs of what is bound, and where. */
const ENTER = `
base=$1 work=$2 packages=$3 script=$4; shift 4
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" "$work/root"
mount -t proc proc "$work/root/proc"
mount --rbind /dev "$work/root/dev"
mount --rbind /sys "$work/root/sys"
mount -t tmpfs -o mode=755 none "$work/devices"
mknod -m 666 "$work/devices/fuse" c 10 229
mount --bind "$work/devices/fuse" "$work/root/dev/fuse"
mount --bind "$work/home" "$work/root/home"
mount --bind "$packages" "$work/root/mnt"
while [ $# -gt 0 ]; do
  mkdir -p "$work/root/\${2%/*}"
  if [ -d "$1" ]; then mkdir "$work/root/$2"; else touch "$work/root/$2"; fi
  mount --bind "$1" "$work/root/$2"
  shift 2
done
cd "$work/root"
pivot_root . . # the kernel refuses user namespaces to who is in a chroot
umount -l .
exec sh -euxc "$script"
`;

/** What the script of `as_user` needs. */
const USER = `
as_user() { setpriv --reuid=user --regid=user --init-groups env -i HOME=/home/user PATH="$PATH" sh -euxc "cd; $1"; }
useradd --create-home --shell /bin/sh user
ln -s /proc/self/mounts /etc/mtab # a system with an init has it, and fusermount3 reads it
`;

/**
 * Runs a script as root in a fresh root; the packages are in /mnt, and `as_user SCRIPT` runs one as an ordinary user.
 * Returns what it printed.
 */
export function inFreshRoot(
  packages: string,
  script: string,
  binds: Readonly<Record<string, string>> = {},
): string {
  const base = freshRoot();
  const work = mkdtempSync(join(cacheDirectory(), 'packaging-run-'));
  try {
    for (const name of ['upper', 'work', 'root', 'home', 'devices']) mkdirSync(join(work, name));
    const args = [base, work, packages, USER + script, ...Object.entries(binds).flat()];
    return run('unshare', [...NAMESPACES, 'sh', '-euc', ENTER, 'sh', ...args], {
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
      timeoutMs: SCRIPT_TIMEOUT_MS,
    });
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
