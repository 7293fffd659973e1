#!/bin/sh
# run-tests.sh [MOCHA ARGUMENTS]: runs the tests, in a mount namespace of their own where that is possible.
#
# Whoever copies a mount namespace, as each start of a container and unshare(1) do, holds the mounts in the copy: a union
# that a test unmounts would live on there, and "unionfs umount" rightly fails. Nobody else copies this namespace.
set -eu

unions() { awk '$3 ~ /^fuse\.(unionfs|fuse-overlayfs)$/ { print $2 }' /proc/self/mounts | sort; }

if [ "${UNIONFS_TEST_NAMESPACE-}" = "" ] && [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
  UNIONFS_TEST_NAMESPACE=own exec unshare --mount "$0" "$@"
fi

before=$(unions)
status=0
"$(dirname "$0")/../node_modules/.bin/mocha" "$@" || status=$?
after=$(unions)
if [ "$after" != "$before" ]; then
  printf 'mounted before the tests: %s\nmounted after them: %s\n' "${before:-nothing}" "${after:-nothing}" >&2
  exit 1
fi
exit $status
