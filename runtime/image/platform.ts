/** This machine in the words of image indexes: Go's GOOS and GOARCH (image-index.md, "platform"). */
import { UsageError } from '../../fs/index.js';
import { quoted, shown } from '../../fs/input/shown.js';
import { HERE } from '../../fs/sys/machine.js';
import type { Descriptor, ImageConfig, Platform } from './oci.js';

export const HOST: Platform = { os: 'linux', architecture: HERE.go };

const format = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, variant].filter((part) => part !== undefined && part !== '').join('/');

const isHost = ({ os, architecture }: Platform): boolean =>
  os === HOST.os && architecture === HOST.architecture;

/**
 * Those of several variants of an image that may run here: those for this platform, then those that name none.
 * @throws UsageError if there are none; `what` names the image
 */
export function forThisPlatform(variants: readonly Descriptor[], what: string): Descriptor[] {
  const fitting = variants.filter(({ platform }) => platform !== undefined && isHost(platform));
  const open = variants.filter(({ platform }) => platform === undefined);
  if (fitting.length + open.length > 0) return [...fitting, ...open];
  const there = variants.flatMap(({ platform }) => (platform === undefined ? [] : [format(platform)]));
  throw new UsageError(
    `${what} has nothing for ${format(HOST)}; there is ${there.map((name) => shown(name)).join(', ') || 'nothing'}`,
  );
}

/** How an image's platform differs from this machine's, to be put behind its name; undefined if it does not. */
export function otherPlatform({ os, architecture, variant }: ImageConfig): string | undefined {
  const platform = {
    os: os || HOST.os,
    architecture: architecture || HOST.architecture,
    ...(variant !== undefined && { variant }),
  };
  if (isHost(platform)) return undefined;
  return `is for ${quoted(format(platform))}, and this machine is "${format(HOST)}"`;
}
