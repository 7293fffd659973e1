/**
 * A Debian image as others make one: debootstrap's root, and four layers on top by buildah, which hide, replace and
 * change what lies below. Cached as docker archive and as OCI layout.
 */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../run.js';
import { aptSettings } from './apt.js';
import { cached } from './cache.js';
import { DEBIAN_MIRROR, DEBIAN_SUITE } from './roots.js';

/** The number grows with every change to what the image holds. */
const IMAGE = 'debian-image-1';
export const IMAGE_NAME = 'localhost/debian:test';
export const LAYERS = 5;
const DEBOOTSTRAP_TIMEOUT_MS = 1_800_000;
const BUILD_TIMEOUT_MS = 600_000;
const READABLE = 0o755;

/** Each step is a layer; "$1" is the container's root. */
const STEPS = [
  'cp -a "$2/." "$1"',
  `cd "$1/opt" && mkdir -p data/deep && echo one >data/one && echo two >data/two && echo deep >data/deep/file &&
   ln data/one data/linked && ln -s one data/symlink && chown 1000:1000 data/two && chmod 4755 data/two &&
   cp "$2/../apt.conf" "$1/etc/apt/apt.conf.d/90acceptance"`,
  'cd "$1/opt/data" && rm two && rm -r deep && rm -rf "$1/usr/share/doc" && echo changed >one',
  'cd "$1/opt" && rm -r data && mkdir data && echo new >data/new',
  'echo "layers: 5" >"$1/etc/layers" && touch -d "2001-02-03 04:05:06.789012345 UTC" "$1/etc/layers"',
];

export interface DebianImage {
  readonly dockerArchive: string;
  readonly ociLayout: string;
}

export function debianImage(): DebianImage {
  const directory = cached(IMAGE, build);
  return { dockerArchive: join(directory, 'docker.tar'), ociLayout: join(directory, 'oci') };
}

function build(directory: string): void {
  const root = join(directory, 'root');
  run('unshare', ['--mount', 'debootstrap', '--variant=minbase', DEBIAN_SUITE, root, DEBIAN_MIRROR], {
    timeoutMs: DEBOOTSTRAP_TIMEOUT_MS,
  });
  chmodSync(root, READABLE);
  writeFileSync(join(directory, 'apt.conf'), aptSettings());
  // In a mount namespace of its own: buildah's storage leaves mounts.
  run('unshare', ['--mount', 'sh', '-euc', script(), 'sh', directory], { timeoutMs: BUILD_TIMEOUT_MS });
}

function script(): string {
  const layers = STEPS.map((step, index) => {
    const base = index === 0 ? 'scratch' : `localhost/layer${index - 1}`;
    return `
      container=$(buildah from --pull-never ${base})
      root=$(buildah mount $container)
      sh -euc '${step}' sh "$root" "$directory/root"
      buildah umount $container >/dev/null
      ${index === LAYERS - 1 ? 'buildah config --cmd /bin/bash --env LAYERS=5 $container' : ''}
      buildah commit -q --rm $container localhost/layer${index} >/dev/null`;
  });
  return `
    directory=$1
    buildah() { command buildah --root "$directory/storage" --runroot "$directory/run" --storage-driver overlay "$@"; }
    ${layers.join('\n')}
    buildah push -q localhost/layer${LAYERS - 1} docker-archive:"$directory/docker.tar":${IMAGE_NAME}
    buildah push -q localhost/layer${LAYERS - 1} oci:"$directory/oci":${IMAGE_NAME}
    umount "$directory/storage/overlay" 2>/dev/null || :
    rm -rf "$directory/storage" "$directory/run" "$directory/root"
  `;
}
