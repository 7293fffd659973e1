/** This machine in the words of image indexes: Go's GOOS and GOARCH (image-index.md, "platform"). */
import { UsageError } from '../../fs/index.js';
import { HERE } from '../../fs/sys/machine.js';
import type { Descriptor, Platform } from './oci.js';

export const HOST: Platform = { os: 'linux', architecture: HERE.go };

const format = ({ os, architecture, variant }: Platform): string =>
  [os, architecture, variant].filter((part) => part !== undefined).join('/');

const isHost = ({ platform }: Descriptor): boolean =>
  platform === undefined || (platform.os === HOST.os && platform.architecture === HOST.architecture);

/** The one of several variants of an image that runs here. @throws UsageError if none does; `what` names the image */
export function forThisPlatform(variants: readonly Descriptor[], what: string): Descriptor {
  const found = variants.find(isHost);
  if (found !== undefined) return found;
  const there = variants.flatMap(({ platform }) => (platform === undefined ? [] : [format(platform)]));
  throw new UsageError(`${what} has nothing for ${format(HOST)}; there is ${there.join(', ') || 'nothing'}`);
}
