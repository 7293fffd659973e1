/** The mount that holds a path. */
import { MOUNTINFO, type MountLine, parseMountinfo } from '../../fs/sys/mountinfo.js';
import type { Host } from './host.js';

export type MountFacts = Omit<MountLine, 'id'>;

export const mountTable = (host: Pick<Host, 'read'>): MountFacts[] =>
  parseMountinfo(host.read(MOUNTINFO) ?? '');

/** The last mount on the longest mountpoint above an absolute path. */
export function mountOf(table: readonly MountFacts[], path: string): MountFacts | undefined {
  const holds = ({ mountpoint }: MountFacts): boolean =>
    mountpoint === '/' || path === mountpoint || path.startsWith(`${mountpoint}/`);
  return table
    .filter(holds)
    .reduce<MountFacts | undefined>(
      (best, mount) => (mount.mountpoint.length >= (best?.mountpoint.length ?? 0) ? mount : best),
      undefined,
    );
}
