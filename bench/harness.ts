// Rule: the peers take turns at each session, a different one first in each run, so that whatever else
// the machine does, and whatever one leaves behind in its caches, falls on all of them alike.

import { join } from 'node:path';
import { runClient } from './client.js';
import { environmentOf } from './command.js';
import { type MountRequest, mountStack, unmountStack } from './mounting.js';
import type { Options } from './options.js';
import type { PeerName, Placement, Sample } from './samples.js';
import { createSite, createStack, fillSite, removeStack, type Site, settleSite } from './sites.js';
import { planTree, type TreeFacts } from './tree.js';
import { SESSIONS, type Session } from './workloads/index.js';

export interface Benchmark {
  readonly options: Options;
  readonly scratch: string;
  readonly signal: AbortSignal;
  readonly record: (sample: Sample) => void;
}

interface Turn {
  readonly run: number;
  readonly site: Site;
  readonly placement: Placement;
  readonly peer: PeerName;
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

function rotate<T>(values: readonly T[], by: number): readonly T[] {
  const start = by % values.length;
  return [...values.slice(start), ...values.slice(0, start)];
}

/** Gives `body` a fresh mount. What an error leaves mounted, disposeScratch unmounts by force. */
async function withMount(
  { scratch, signal }: Benchmark,
  { site, peer, placement }: Turn,
  settle: () => void,
  body: (mountPoint: string) => Promise<void>,
): Promise<void> {
  const stack = createStack(site);
  settle();
  const log = join(scratch, 'server.log');
  const request: MountRequest = { peer, stack, placement, scratch, signal, log };
  await mountStack(request);
  await body(stack.mountPoint);
  await unmountStack(request);
  removeStack(site);
}

async function runSession(bench: Benchmark, turn: Turn, session: Session, tree: TreeFacts): Promise<void> {
  const { run, site, placement, peer } = turn;
  const settle = () => settleSite(site, session.cold);
  await withMount(bench, turn, settle, async (mountPoint) => {
    const env = environmentOf(bench.scratch, { MOUNT: mountPoint, ARCHIVE: site.archive });
    for (const { script, row, expect } of session.steps) {
      const { milliseconds, stdout } = await runClient(script, placement, env, bench.signal);
      const expected = expect?.(tree);
      if (expected !== undefined && stdout !== expected) {
        throw new Error(`${peer}: "${script}" finds "${stdout}" instead of "${expected}"`);
      }
      if (row === undefined) continue;
      bench.record({ run, site: site.name, placement, peer, workload: row, milliseconds });
      progress(`run ${run + 1}  ${site.name}  ${placement}  ${peer}  ${row}: ${milliseconds.toFixed(0)} ms`);
    }
  });
}

/** Mounts every peer once over empty layers: one that is not available fails now, not in an hour. */
async function proveAvailable(bench: Benchmark, site: Site): Promise<void> {
  for (const placement of bench.options.placements) {
    for (const peer of bench.options.peers) {
      const turn: Turn = { run: 0, site, placement, peer };
      await withMount(
        bench,
        turn,
        () => settleSite(site, true),
        async () => {},
      );
    }
  }
}

export async function runBenchmark(bench: Benchmark): Promise<void> {
  const { runs, files, sites: siteNames, placements, peers, sessions } = bench.options;
  const plan = planTree(files);
  const sites = siteNames.map((name) => createSite(name, bench.scratch, plan));
  for (const site of sites) await proveAvailable(bench, site);
  for (const site of sites) {
    bench.signal.throwIfAborted();
    progress(`writing ${plan.facts.files} files, ${plan.facts.bytes} bytes on ${site.name}`);
    fillSite(site, plan);
  }
  for (let run = 0; run < runs; run++) {
    for (const site of sites) {
      for (const placement of placements) {
        for (const session of sessions) {
          for (const peer of rotate(peers, run)) {
            await runSession(bench, { run, site, placement, peer }, SESSIONS[session], plan.facts);
          }
        }
      }
    }
  }
}
