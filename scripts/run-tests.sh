#!/bin/sh
# run-tests.sh [--stage NAME] [MOCHA ARGUMENTS]: runs the tests, in a mount namespace of their own where that is possible.
#
# A stage is a part of them, by the folders of test/; without one, and without arguments, all of them run.
#
# Whoever copies a mount namespace, as each start of a container and unshare(1) do, holds the mounts in the copy: a union
# that a test unmounts would live on there, and "unionfs umount" rightly fails. Nobody else copies this namespace.
set -eu

folders_of() { # each folder of test/ that has tests is in one stage (test/unit/stages.test.ts)
  case $1 in
    unit) echo unit ;;
    mount) echo mount union crash cli sys ;;
    container) echo container image hostile ;;
    acceptance) echo acceptance conformance packaging ;;
    *) echo "run-tests.sh: no stage \"$1\"; there are unit, mount, container and acceptance" >&2 && exit 2 ;;
  esac
}

unions() { awk '$3 ~ /^fuse\.(unionfs|fuse-overlayfs)$/ { print $2 }' /proc/self/mounts | sort; }

if [ "${UNIONFS_TEST_NAMESPACE-}" = "" ] && [ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null; then
  UNIONFS_TEST_NAMESPACE=own exec unshare --mount "$0" "$@"
fi

here=$(dirname "$0")/..
if [ "${1-}" = --stage ]; then
  folders=$(folders_of "$2")
  shift 2
  for folder in $folders; do set -- "$@" "$here/dist/test/$folder/**/*.test.js"; done
  set -- --no-config --enable-source-maps --forbid-only --timeout 60000 "$@"
fi

before=$(unions)
status=0
"$here/node_modules/.bin/mocha" "$@" || status=$?
after=$(unions)
if [ "$after" != "$before" ]; then
  printf 'mounted before the tests: %s\nmounted after them: %s\n' "${before:-nothing}" "${after:-nothing}" >&2
  exit 1
fi
exit $status
