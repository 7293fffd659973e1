/** The platform of this machine: Go's GOOS and GOARCH (image-index.md, "platform"). */
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
 * The variants of an image that can run here: those for this platform, then those without a platform.
 * @throws UsageError if there are none; `what` names the image
 */
export function forThisPlatform(variants: readonly Descriptor[], what: string): Descriptor[] {
  const fitting = variants.filter(({ platform }) => platform !== undefined && isHost(platform));
  const open = variants.filter(({ platform }) => platform === undefined);
  if (fitting.length + open.length > 0) return [...fitting, ...open];
  const there = variants.flatMap(({ platform }) => (platform === undefined ? [] : [format(platform)]));
  throw new UsageError(
    `${what} has no image for ${format(HOST)}; available: ${there.map((name) => shown(name)).join(', ') || 'nothing'}`,
  );
}

/** A warning, to follow the image's name, that its platform differs from this machine's; undefined if it does not. */
export function otherPlatform({ os, architecture, variant }: ImageConfig): string | undefined {
  const platform = {
    os: os || HOST.os,
    architecture: architecture || HOST.architecture,
    ...(variant !== undefined && { variant }),
  };
  if (isHost(platform)) return undefined;
  return `is for the platform ${quoted(format(platform))}, and this machine is "${format(HOST)}"`;
}
