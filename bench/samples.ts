// Rule: a sample says everything about where it was taken; medians are computed from samples only.

export const PLACEMENTS = ['free', 'pinned'] as const;
/** free: the scheduler decides. pinned: client and server share one CPU, so no wake-up crosses CPUs. */
export type Placement = (typeof PLACEMENTS)[number];

export const SITE_NAMES = ['tmpfs', 'disk'] as const;
/** The file system that holds the layers, the upper and the archive. */
export type SiteName = (typeof SITE_NAMES)[number];

export const PEER_NAMES = ['ours', 'overlay', 'fuse-overlayfs'] as const;
export type PeerName = (typeof PEER_NAMES)[number];

export interface Sample {
  readonly run: number;
  readonly site: SiteName;
  readonly placement: Placement;
  readonly peer: PeerName;
  readonly workload: string;
  readonly milliseconds: number;
}

/** The median; undefined of nothing, because zero would read as a result. */
export function median(values: readonly number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}
