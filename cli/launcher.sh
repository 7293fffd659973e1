#!/bin/sh
# tscr and unionfs, also as unionfs-overlay and mount.fuse.unionfs, as they are installed.
#
# Rules: Node looks for options of its own anywhere on its command line, whatever lies before them, and obeys variables
# of the caller's. Nothing of the user's may reach it so: every word is hidden behind "=", and variables that Node,
# libuv or OpenSSL read are set aside under another name. runtime/host/call.ts takes both back.
#
# What certainly asks for a mount in the background costs one Node, the server; a shell waits for its word, as
# background.ts does. Everything else becomes the program, which decides for itself.

set_aside() {
  while IFS= read -r line; do
    name=${line#export }
    name=${name%%=*}
    case $name in
      *[!A-Za-z0-9_]*) ;;
      NODE_CHANNEL_*) unset "$name" ;; # of the caller's own descriptors, for him alone
      NODE_* | UV_* | OPENSSL_* | SSL_CERT_*)
        eval "[ \"\${$name+set}\" ] || continue; UNIONFS_ASIDE_$name=\$$name"
        export "UNIONFS_ASIDE_$name"
        unset "$name"
        ;;
    esac
  done <<EOF
$(export -p)
EOF
  unset line name
}

in_background() {
  case ${0##*/} in
    unionfs-overlay | fuse-overlayfs | mount.fuse.unionfs | mount.unionfs) ;;
    *) [ "${1-}" = mount ] || return ;;
  esac
  for word; do
    case $word in
      *debug*) return 1 ;;
      -o* | -n | -s | -v | -t | --lower | --upper | --workdir | --option | --layer-changes) ;;
      --lower=* | --upper=* | --workdir=* | --option=* | --layer-changes=*) ;;
      -*) return 1 ;;
    esac
  done
}

self=$(readlink -f -- "$0")
programs=${self%/*}
program=${self##*/}
background=
[ "$program" = tscr ] || ! in_background "$@" || background=yes

for word; do
  shift
  set -- "$@" "=$word"
done
unset word
set_aside

if [ "$program" = tscr ]; then exec node -- "$programs/tscr.js" = "$@"; fi
if [ ! "$background" ]; then exec node -- "$programs/unionfs.js" = "=--called-as" "=$0" "$@"; fi

# SIGINT before the server is in a session of its own ends it, later it comes too late; then the mount is there.
interrupted=
trap 'interrupted=yes' INT
said=$(node -- "$programs/server.js" = "=$$" "=$0" "$@" 2>&1 >/dev/null </dev/null &)
case $said in
  ready) exit ;;
  *'
ready')
    printf %s "${said%ready}" >&2
    exit
    ;;
esac
if [ "$interrupted" ]; then
  trap - INT
  kill -INT $$
fi
printf '%s\n' "${said:-mount: the server ended without a word}" >&2
exit 1
