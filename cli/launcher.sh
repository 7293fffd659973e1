#!/bin/sh
# tscr and unionfs, also as unionfs-overlay and mount.fuse.unionfs, as they are installed.
#
# Rules: Node looks for options of its own anywhere on its command line, whatever lies before them, and Node, V8, libuv,
# OpenSSL, ICU and addons obey variables of the caller's. Nothing of the user's may reach them so: every word is hidden
# behind "=", and of the variables only those are left that our own programs read. A shell is no better: it takes no
# variable whose name is none of its own ("a.b", bash's exported functions) and changes others (PWD, IFS). So the caller's
# environment, as the kernel gave it to this process, is carried as a whole, in base64. runtime/command/call.ts takes words
# and environment back.
#
# What certainly asks for a mount in the background costs one Node, the server; a shell waits for its word, as
# background.ts does. Everything else becomes the program, which decides for itself.

NEWLINE='
'

# Leaves what our own programs, the loader of Node and its libraries, and tmpdir() of Node read, and what a shell may not
# unset.
clear_environment() {
  set -f
  IFS=$NEWLINE
  for line in $(export -p); do # a value may have lines of its own, which name nothing or what is to go anyway
    name=${line#export }
    name=${name#declare -x }
    name=${name%%=*}
    case $name in
      PATH | HOME | TMPDIR | TMP | TEMP | TERM | TZ | LANG | LC_* | LD_* | XDG_DATA_HOME | XDG_RUNTIME_DIR) ;;
      TSCR_ROOT | TSCR_RUN | SOURCE_DATE_EPOCH | NO_COLOR | container) ;;
      OPTIND | PPID | UID | EUID | SHELLOPTS | BASHOPTS | NEWLINE | IFS | line | name) ;;
      '' | [0-9]* | *[!A-Za-z0-9_]*) ;;
      *) unset "$name" ;;
    esac
  done
  unset IFS line name
  set +f
}

# The kernel takes 128 KiB in a variable (MAX_ARG_STRLEN). The file is this shell's, so this shell opens it: by its pid
# it would be somebody else's where /proc is of another pid namespace. What such a /proc means, the programs say.
carry_environment() {
  [ -r /proc/self/environ ] || return 0
  { carried=$(PATH=${PATH:+$PATH:}/usr/bin:/bin base64 -w 98304 <&3) || exit 125; } 3</proc/self/environ
  part=0
  for text in $carried; do
    part=$((part + 1))
    export "UNIONFS_ENVIRONMENT_$part=$text"
  done
  unset carried part text
}

# "set" with every word once, in steps: a shell copies all that it has at each.
hide_words() {
  references= some= at=0
  while [ $at -lt $# ]; do
    at=$((at + 1))
    some="$some \"=\${$at}\""
    case $at in *00) references=$references$some some= ;; esac
  done
  references=$references$some
  unset some at
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

unset -f base64 kill node printf readlink # bash takes functions from the environment
clear_environment
self=$(readlink -f -- "$0")
programs=${self%/*}
program=${self##*/}
node=node
[ ! -x "$programs/node" ] || node=$programs/node # an installation that brings its own
background=
[ "$program" = tscr ] || ! in_background "$@" || background=yes
[ "$background" ] || carry_environment
hide_words "$@"
eval "set -- $references"
unset references

if [ "$program" = tscr ]; then exec "$node" -- "$programs/tscr.js" = "$@"; fi
if [ ! "$background" ]; then exec "$node" -- "$programs/unionfs.js" = "=--called-as" "=$0" "$@"; fi

# SIGINT before the server is in a session of its own ends it, later it comes too late; then the mount is there.
interrupted=
trap 'interrupted=yes' INT
said=$("$node" -- "$programs/server.js" = "=$$" "=$0" "$@" 2>&1 >/dev/null </dev/null &)
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
printf '%s\n' "${said:-unionfs mount: the server exited without reporting an error}" >&2
exit 1
