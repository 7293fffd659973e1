/** The mount table, from /proc/self/mountinfo (proc(5)). */
import { readFileSync } from 'node:fs';

export const MOUNTINFO = '/proc/self/mountinfo';

export interface MountLine {
  /** The mount's, which no other has while it lasts. */
  readonly id: string;
  /** The directory of its filesystem that is shown. */
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

/** All mounts that this process sees. */
export const mountTable = (): MountLine[] => parseMountinfo(readFileSync(MOUNTINFO, 'latin1'));
