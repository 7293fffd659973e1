// Rule: a number is reported together with the machine it was measured on; a cell without samples
// stays empty.

import { cpus, release, tmpdir, totalmem } from 'node:os';
import { run } from './command.js';
import type { Options } from './options.js';
import { PEERS } from './peers.js';
import { median, type PeerName, type Sample } from './samples.js';

const MEBIBYTE = 2 ** 20;
/** From here on a tenth of a millisecond is noise. */
const WHOLE_MILLISECONDS_FROM = 100;

const BASELINES: readonly PeerName[] = ['overlay', 'fuse-overlayfs'];

export type Facts = Readonly<Record<string, string>>;

export function machineFacts({ peers, runs, files, sites }: Options): Facts {
  const disk = sites.includes('disk')
    ? { disk: run(['findmnt', '--noheadings', '--output', 'FSTYPE,SOURCE', '--target', tmpdir()]) }
    : {};
  return {
    kernel: release(),
    cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / MEBIBYTE)} MiB`,
    ...disk,
    node: process.version,
    ...Object.fromEntries(peers.map((peer) => [peer, PEERS[peer].version()])),
    tree: `${files} files`,
    samples: `median of ${runs}`,
    date: new Date().toISOString(),
  };
}

function milliseconds(value: number | undefined): string {
  if (value === undefined) return '';
  return value.toFixed(value < WHOLE_MILLISECONDS_FROM ? 1 : 0);
}

function ratio(ours: number | undefined, theirs: number | undefined): string {
  return ours === undefined || theirs === undefined ? '' : (ours / theirs).toFixed(2);
}

function markdownRow(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

type RowKey = Pick<Sample, 'workload' | 'site' | 'placement'>;

/** The rows in the order in which they were first measured. */
function rowKeys(samples: readonly Sample[]): readonly RowKey[] {
  const keys = new Map<string, RowKey>();
  for (const { workload, site, placement } of samples) {
    const key = [site, placement, workload].join('\0');
    if (!keys.has(key)) keys.set(key, { workload, site, placement });
  }
  return [...keys.values()];
}

function renderRow(
  key: RowKey,
  peers: readonly PeerName[],
  baselines: readonly PeerName[],
  samples: readonly Sample[],
): string {
  const cell = samples.filter(
    ({ workload, site, placement }) =>
      workload === key.workload && site === key.site && placement === key.placement,
  );
  const medianOf = (peer: PeerName) =>
    median(cell.filter((sample) => sample.peer === peer).map((sample) => sample.milliseconds));
  return markdownRow([
    key.workload,
    key.site,
    key.placement,
    ...peers.map((peer) => milliseconds(medianOf(peer))),
    ...baselines.map((peer) => ratio(medianOf('ours'), medianOf(peer))),
  ]);
}

export function renderReport(facts: Facts, peers: readonly PeerName[], samples: readonly Sample[]): string {
  const baselines = peers.includes('ours') ? BASELINES.filter((peer) => peers.includes(peer)) : [];
  const head = [
    'workload',
    'dir',
    'cpus',
    ...peers.map((peer) => `${peer}, ms`),
    ...baselines.map((peer) => `ours / ${peer}`),
  ];
  const numbers = peers.length + baselines.length;
  const rule = head.map((_, index) => (index < head.length - numbers ? '---' : '---:'));
  return [
    ...Object.entries(facts).map(([name, value]) => `- ${name}: ${value}`),
    '',
    markdownRow(head),
    markdownRow(rule),
    ...rowKeys(samples).map((key) => renderRow(key, peers, baselines, samples)),
    '',
  ].join('\n');
}
