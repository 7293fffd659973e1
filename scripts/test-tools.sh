#!/bin/sh
# What the tests need from Debian or Ubuntu beside Node: installed where that is possible, named where it is not.
set -eu

missing=
need() { # need COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need busybox busybox-static
need getfattr attr
need setfacl acl
need setcap libcap2-bin
need setpriv util-linux
need newuidmap uidmap
need fusermount3 fuse3
need bwrap bubblewrap
need runc runc
need crun crun
ldconfig -p | grep -q 'libseccomp\.so\.2' || missing="$missing libseccomp2"
need debootstrap debootstrap
need git git
need gcc gcc
need make make
need python3 python3
need strace strace
need sqlite3 sqlite3
need tar tar
need zstd zstd
need fuse-overlayfs fuse-overlayfs
need skopeo skopeo
need umoci umoci
need podman podman
need buildah buildah
need mkfs.ext4 e2fsprogs
need mkfs.xfs xfsprogs
need mkfs.btrfs btrfs-progs
need mksquashfs squashfs-tools
need mkfs.erofs erofs-utils
need mandoc mandoc
need zsh zsh
need fish fish
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "the tests need:$missing; install with \"apt-get install$missing\"" >&2
  exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing gcc libc6-dev
