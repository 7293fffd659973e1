// Rule: an option the harness does not know, or a value it cannot honour, is an error before anything
// is mounted.

import { parseArgs } from 'node:util';
import {
  PEER_NAMES,
  type PeerName,
  PLACEMENTS,
  type Placement,
  SITE_NAMES,
  type SiteName,
} from './samples.js';
import { SESSION_NAMES, type SessionName } from './workloads/index.js';

const DEFAULT_RUNS = 5;
const DEFAULT_FILES = 16_000;

export interface Options {
  readonly runs: number;
  readonly files: number;
  readonly sites: readonly SiteName[];
  readonly placements: readonly Placement[];
  readonly peers: readonly PeerName[];
  readonly sessions: readonly SessionName[];
  readonly json: string | undefined;
}

export function usage(): string {
  return `Usage: bench [options]

  --runs N          samples per cell, of which the median counts (${DEFAULT_RUNS})
  --files N         size of the lower tree in files (${DEFAULT_FILES})
  --dirs LIST       ${SITE_NAMES.join(',')}
  --cpus WHICH      free, pinned (client and server on CPU 0) or both (both)
  --peers LIST      ${PEER_NAMES.join(',')}
  --workloads LIST  ${SESSION_NAMES.join(',')}
  --json FILE       also write the raw samples

A disk is whatever holds TMPDIR. LIST is comma-separated and defaults to everything.
`;
}

function positiveInteger(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new Error(`--${option} wants a positive integer, not "${text}"`);
  }
  return value;
}

function listOf<T extends string>(option: string, text: string, known: readonly T[]): readonly T[] {
  const chosen = text.split(',').map((word) => {
    const name = known.find((candidate) => candidate === word);
    if (name === undefined) throw new Error(`--${option} knows ${known.join(', ')}, not "${word}"`);
    return name;
  });
  return [...new Set(chosen)];
}

export function parseOptions(argv: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      help: { type: 'boolean', default: false },
      runs: { type: 'string', default: String(DEFAULT_RUNS) },
      files: { type: 'string', default: String(DEFAULT_FILES) },
      dirs: { type: 'string', default: SITE_NAMES.join(',') },
      cpus: { type: 'string', default: 'both' },
      peers: { type: 'string', default: PEER_NAMES.join(',') },
      workloads: { type: 'string', default: SESSION_NAMES.join(',') },
      json: { type: 'string' },
    },
  });
  if (values.help) return 'help';
  return {
    runs: positiveInteger('runs', values.runs),
    files: positiveInteger('files', values.files),
    sites: listOf('dirs', values.dirs, SITE_NAMES),
    placements: values.cpus === 'both' ? PLACEMENTS : listOf('cpus', values.cpus, PLACEMENTS),
    peers: listOf('peers', values.peers, PEER_NAMES),
    sessions: listOf('workloads', values.workloads, SESSION_NAMES),
    json: values.json,
  };
}
