/** The mount table, from /proc/self/mountinfo (proc(5)). */
import { readFileSync } from 'node:fs';

export const MOUNTINFO = '/proc/self/mountinfo';

export interface MountLine {
  /** Unique among the mounts that exist at the same time. */
  readonly id: string;
  /** The directory of the filesystem that the mount shows. */
  readonly root: string;
  /** One character per byte. */
  readonly mountpoint: string;
  /** As in /proc/filesystems, e.g. "ext4", "fuse.sshfs". */
  readonly type: string;
  /** Options of the mount and of its filesystem. */
  readonly options: readonly string[];
}

const decodeOctal = (field: string): string =>
  field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/**
 * All mounts, in the order of mounting.
 * @param text the file's, one character per byte
 */
export function parseMountinfo(text: string): MountLine[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [id = '', , , root = '', mountpoint = '', flags = ''] = left.split(' ');
    const [type = '', , superOptions = ''] = right.split(' ');
    const options = [...flags.split(','), ...superOptions.split(',')];
    return { id, root: decodeOctal(root), mountpoint: decodeOctal(mountpoint), type, options };
  });
}

/** The mount that shows an absolute path without symbolic links: the latest one with the longest mountpoint. */
export function innermostMount<T extends { readonly mountpoint: string }>(
  table: readonly T[],
  path: string,
): T | undefined {
  const shows = ({ mountpoint }: T): boolean =>
    path === mountpoint || path.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`);
  const byLength = table.filter(shows).sort((a, b) => a.mountpoint.length - b.mountpoint.length);
  return byLength.at(-1);
}

/** All mounts that this process sees. */
export const mountTable = (): MountLine[] => parseMountinfo(readFileSync(MOUNTINFO, 'latin1'));
