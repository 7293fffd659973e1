/**
 * What the short acceptance test does to a union, as a shell script for a chroot on the mount: each block is
 * one thing that a union filesystem must turn into the right objects in its upper layer.
 *
 * Same script, same tree: nothing in it depends on the time, a process id or the order of a directory.
 * Times it sets itself lie in the past, so that they can be compared between two runs.
 */
import { chmodSync, chownSync } from 'node:fs';
import { join } from 'node:path';
import { IS_HOST_ROOT, SECOND_NAMESPACE } from '../privilege.js';
import { run } from '../run.js';

/** What takes the host's root: devices, directories of lower layers under another name, the index of hard links. */
const NULL_DEVICE = `
echo gone > /dev/null
same /dev/null ''
`;
const DEVICES = `
mknod /srv/device c 1 3
mknod /srv/block b 7 251
`;
const LOWER_DIRECTORIES = `
before=$(inode /data/dir15)
mv /data/dir15 /data/moved
test "$(inode /data/moved)" = "$before"
echo changed >> /data/moved/file03
rm /data/moved/file04
mv /data/moved /srv/far
echo added > /srv/far/added
mkdir /data/dir15
echo fresh > /data/dir15/fresh
test "$(ls /data/dir15)" = fresh
mv /data/dir06 /srv/far/merged
same /srv/far/merged/added 'in a directory that both layers have'
same /srv/far/merged/file00 again
`;
const LOWER_LINKS = `
ln /links/one /links/four
echo more >> /links/four
same /srv/three "$(printf 'one file with three names\\nmore')"
test "$(inode /links/two)" = "$(inode /links/four)"
rm /links/two
test "$(stat -c %h /links/one)" = 3
mv /links/left /links/moved
echo both >> /links/right
same /links/moved "$(printf 'one file with two names\\nboth')"
`;

export const SCRIPT = String.raw`
same() { test "$(cat "$1")" = "$2" || { echo "$1 holds '$(cat "$1")', expected '$2'"; exit 1; }; }
inode() { stat -c %i "$1"; }
fails() { if "$@" 2>/dev/null; then echo "succeeded, expected to fail: $*"; exit 1; fi; }

# Contents: new files, and lower files that must be copied up first
echo new > /data/new
echo appended >> /data/dir09/file00
: > /data/dir09/file01
truncate -s 10 /data/dir09/file02
truncate -s 100000 /data/dir09/file03
printf patch | dd of=/data/dir09/file04 bs=1 seek=5 conv=notrunc 2>/dev/null
sed -i s/red/green/ /etc/config
same /etc/config "$(printf 'colour=green\nsize=small')"
cat /odd/large /odd/large > /odd/doubled
printf end >> /odd/sparse
${IS_HOST_ROOT ? NULL_DEVICE : ''}

# What the second layer hides stays hidden, also when made anew
same /etc/motd 'from the second layer'
fails test -e /data/dir06/file00
fails ls /data/dir08
mkdir /data/dir08
echo again > /data/dir06/file00
test "$(ls /data/dir07)" = file00
same /data/dir05/file00/inside 'a directory in the place of a file'

# Removing: files, directories of lower layers, and the same names again (opaque directories, other types)
rm /data/dir10/file00 /odd/fifo
rm -rf /usr/share
mkdir -p /usr/share/doc
test -z "$(ls -A /usr/share/doc)"
echo only > /usr/share/doc/only
rm -rf /data/dir11
echo 'was a directory' > /data/dir11
rm /data/dir10/file01
mkdir /data/dir10/file01
echo inside > /data/dir10/file01/file
rmdir /var/empty
fails rmdir /data/dir12
rm -rf /links/dangling /odd/closed
mkdir -m 700 /odd/closed

# Files renamed over files: lower over lower, new over lower, lower over new, onto a whiteout
mv /data/dir12/file00 /data/dir12/file01
echo replacement > /data/tmp
mv /data/tmp /data/dir12/file02
echo victim > /data/dir12/victim
mv /data/dir12/file03 /data/dir12/victim
rm /data/dir12/file04
mv /data/dir12/file05 /data/dir12/file04
mv /data/dir12/file06 /root/moved

# New directories renamed: to a new name, over an empty one, onto a whiteout, into a lower directory
mkdir -p /srv/new/sub
echo content > /srv/new/sub/file
mv /srv/new /srv/renamed
mkdir /srv/other /srv/empty
echo other > /srv/other/file
mv -T /srv/other /srv/empty
same /srv/empty/file other
mkdir /data/onto
echo onto > /data/onto/file
rm -rf /data/dir13
mv /data/onto /data/dir13
test "$(ls /data/dir13)" = file
mv /srv/renamed /data/dir14/

# Lower directories renamed: merged ones keep what is in them, their old names are free
${IS_HOST_ROOT ? LOWER_DIRECTORIES : ''}

# Links: hard links of lower and new files are one file, whichever name is used
${IS_HOST_ROOT ? LOWER_LINKS : ''}
echo linked > /srv/first
ln /srv/first /data/dir16/second
chmod 640 /data/dir16/second
ln -s ../etc/config /srv/symbolic
ln -sf /etc/passwd /links/symbolic
same /srv/symbolic "$(cat /etc/config)"

# Owners, modes and times, of files, directories and symlinks
chmod 6711 /data/dir16/file00
chmod 0 /data/dir16/file01
chmod 1770 /data/dir16
chown 1000:1000 /data/dir16/file02 /data/dir17
chown 7:7 /data/dir09/file12
chown -h 5:6 /links/symbolic
chown -R 33:33 /data/dir18
chgrp 1000 /data/dir16/file03
touch -d '2001-02-03 04:05:06' /data/dir16/file04 /data/dir17
touch -h -d '2002-03-04 05:06:07' /bin/zcat

# Trees: copied with all they have, and through tar
cp -a /data/dir19 /srv/copy
cp -a /odd /srv/odd
cp -a /data/dir19/. /data/dir14/
mkdir /srv/untarred
tar -C / -cf - data/dir16 links odd/setgid | tar -C /srv/untarred -xf -
tar -C / -cf /srv/data.tar data/dir19
tar -C / -xf /srv/data.tar

# Special files, and names that are no text
mkfifo -m 640 /srv/fifo
${IS_HOST_ROOT ? DEVICES : ''}
echo renewed > /odd/fifo
mv -- /odd/-rf "$(printf '/odd/\303\050')"
for file in /odd/*; do test -f "$file" && echo touched >> "$file"; done

# Open files outlive their names
exec 3<> /data/dir17/file00
rm /data/dir17/file00
echo unseen >&3
exec 3<&-
exec 4>> /data/dir17/file01
mv /data/dir17/file01 /data/dir17/renamed
echo seen >&4
exec 4>&-
tail -n 1 /data/dir17/renamed | grep -qx seen

# Many names and deep paths
mkdir /srv/many
for number in $(seq 1000); do : > /srv/many/$number; done
rm /srv/many/*[13579]
test "$(ls /srv/many | wc -l)" = 500
mkdir -p /srv/deep/$(seq -s / 60)
echo deep > /srv/deep/$(seq -s / 60)/file
rm -rf /data/dir03
test "$(find /data/dir02 -type f | wc -l)" = 20

# Errors are errors
fails mkdir /data/dir02
fails mv -T /data/dir02 /data/dir14
fails rm /data/none
fails ln -s target /etc/config
fails ln /links/one /data/new
fails cat /data/dir02
fails mkdir /etc/config/sub
fails mkdir "/srv/$(printf 'x%.0s' $(seq 256))"
`;

/** The same for what busybox has no command for: attributes and ACLs, changed from outside the chroot. */
export function changeAttributes(root: string): void {
  const path = (name: string) => join(root, name);
  run('setfattr', ['-n', 'user.colour', '-v', 'green', path('attributes/file')]);
  run('setfattr', ['-x', 'user.binary', path('attributes/file')]);
  run('setfattr', ['-n', 'user.new', '-v', '0xff00', path('data/dir02/file00')]);
  run('setfattr', ['-n', `${SECOND_NAMESPACE}new`, '-v', 'x', path('data/dir02')]);
  if (IS_HOST_ROOT) run('setfattr', ['-h', '-x', 'trusted.note', path('attributes/symlink')]);
  run('setfattr', ['-x', 'system.posix_acl_access', path('attributes/file')]);
  run('mkdir', [path('attributes/directory/inherits')]);
  run('touch', [path('attributes/directory/inherits-too')]);
  chownSync(path('attributes/program'), 0, 1000); // takes the capability away
  chmodSync(path('attributes'), 0o711);
}
