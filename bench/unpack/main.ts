// Rule: one gzip layer, unpacked by each program in turn into a new directory of the same filesystem, digests verified
// where the program verifies them; the medians are compared.
//
//   npm run build && node dist/bench/unpack/main.js [RUNS [DIRECTORY]]      root; umoci, skopeo, podman, tar installed

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../command.js';
import { planTree, writeTree } from '../tree.js';

const FILES = 11_000;
const BYTES = 300_000_000;
const DEFAULT_RUNS = 5;
const OURS = fileURLToPath(new URL('./ours.js', import.meta.url));

interface Layer {
  readonly gzip: string;
  /** An OCI layout and a docker archive with this one layer. */
  readonly layout: string;
  readonly archive: string;
}

type Peer = (layer: Layer, into: string) => void;

const PEERS: Readonly<Record<string, Peer>> = {
  tscr: ({ gzip }, into) => void run([process.execPath, OURS, gzip, into]),
  'tar -xzp': ({ gzip }, into) => void run(['tar', '-xzpf', gzip, '-C', into]),
  'umoci raw unpack': ({ layout }, into) =>
    void run(['umoci', 'raw', 'unpack', '--image', `${layout}:x`, join(into, 'root')]),
  'podman load': ({ archive }, into) => void run([...podman(into), 'load', '--quiet', '-i', archive]),
};

function podman(into: string): ['podman', ...string[]] {
  return [
    'podman',
    '--root',
    join(into, 'root'),
    '--runroot',
    join(into, 'run'),
    '--storage-driver',
    'overlay',
  ];
}

function makeLayer(scratch: string): Layer {
  const tree = join(scratch, 'source');
  const [tar, layout, archive] = [
    join(scratch, 'layer.tar'),
    join(scratch, 'oci'),
    join(scratch, 'image.tar'),
  ];
  mkdirSync(tree);
  writeTree(planTree(FILES, BYTES), tree, 'merged');
  run(['tar', '--format=pax', '-cf', tar, '-C', tree, '.']);
  run(['umoci', 'init', '--layout', layout]);
  run(['umoci', 'new', '--image', `${layout}:x`]);
  run(['umoci', 'raw', 'add-layer', '--image', `${layout}:x`, tar]);
  run(['skopeo', 'copy', '--quiet', `oci:${layout}:x`, `docker-archive:${archive}:bench:x`]);
  run(['gzip', tar]);
  rmSync(tree, { recursive: true });
  return { gzip: `${tar}.gz`, layout, archive };
}

function time(peer: Peer, layer: Layer, scratch: string): number {
  const into = join(scratch, 'into');
  mkdirSync(into);
  run(['sync']);
  const start = performance.now();
  peer(layer, into);
  const elapsed = performance.now() - start;
  if (peer === PEERS['podman load']) run([...podman(into), 'rmi', '--all', '--force']);
  rmSync(into, { recursive: true, force: true });
  return elapsed;
}

/** Another program is first in each round: what the one before it left for the disk to do falls on all alike. */
const rotate = <T>(values: readonly T[], by: number): readonly T[] => {
  const start = by % values.length;
  return [...values.slice(start), ...values.slice(0, start)];
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function main([runs = String(DEFAULT_RUNS), directory = tmpdir()]: readonly string[]): void {
  const scratch = mkdtempSync(join(directory, 'tscr-bench-'));
  try {
    const layer = makeLayer(scratch);
    const samples = new Map(Object.keys(PEERS).map((name) => [name, [] as number[]]));
    for (let round = 0; round < Number(runs); round++) {
      for (const [name, peer] of rotate(Object.entries(PEERS), round)) {
        const elapsed = time(peer, layer, scratch);
        samples.get(name)?.push(elapsed);
        process.stderr.write(`round ${round + 1}  ${name}: ${elapsed.toFixed(0)} ms\n`);
      }
    }
    const ours = median(samples.get('tscr') ?? []);
    for (const [name, values] of samples) {
      const middle = median(values);
      process.stdout.write(`| ${name} | ${middle.toFixed(0)} ms | ${(ours / middle).toFixed(2)} |\n`);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

main(process.argv.slice(2));
