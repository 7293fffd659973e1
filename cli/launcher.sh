#!/bin/sh
# unionfs, unionfs-overlay and mount.fuse.unionfs as they are installed.
#
# Rule: what certainly asks for a mount in the background costs one Node, the server; a shell waits for its word, as
# background.ts does. Everything else becomes unionfs.js, which decides for itself. A server speaks no TLS, and where
# NODE_EXTRA_CA_CERTS is set it would read them all; the command of "unionfs exec" keeps it. A caller's NODE_CHANNEL_FD
# names a descriptor that the server closes.

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
in_background "$@" || exec node "$programs/unionfs.js" --called-as "$0" "$@"

unset NODE_EXTRA_CA_CERTS NODE_CHANNEL_FD
# SIGINT before the server is in a session of its own ends it, later it comes too late; then the mount is there.
interrupted=
trap 'interrupted=yes' INT
said=$(node "$programs/server.js" $$ "$0" "$@" 2>&1 >/dev/null </dev/null &)
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
