/** The mount that holds a path, from /proc/self/mountinfo (proc(5)). */
import type { Host } from './host.js';

export interface MountFacts {
  readonly mountpoint: string;
  /** As in /proc/filesystems, e.g. "ext4", "fuse.sshfs". */
  readonly type: string;
  /** Options of the mount and of its filesystem. */
  readonly options: readonly string[];
}

const decodeOctal = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

export function mountTable(host: Pick<Host, 'read'>): MountFacts[] {
  const lines = (host.read('/proc/self/mountinfo') ?? '').split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , , mountpoint = '', flags = ''] = left.split(' ');
    const [type = '', , superOptions = ''] = right.split(' ');
    return {
      mountpoint: decodeOctal(mountpoint),
      type,
      options: [...flags.split(','), ...superOptions.split(',')],
    };
  });
}

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
