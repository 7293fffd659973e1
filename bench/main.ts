// Rule: every implementation does the same work, interleaved in one run on one machine, and the
// medians are compared; what is mounted or written for it is gone afterwards, however the run ends.
//
//   npm run bench                                       everything: needs root, takes about half an hour
//   npm run bench -- --runs 3 --dirs tmpfs --workloads find,tar
//   node dist/bench/main.js --files 500 --runs 2        a quick look, after `npm run build`
//   node dist/bench/main.js --help
//
// The report goes to stdout, progress to stderr.

import { writeFileSync } from 'node:fs';
import { runBenchmark } from './harness.js';
import { parseOptions, usage } from './options.js';
import { machineFacts, renderReport } from './report.js';
import type { Sample } from './samples.js';
import { createScratch, disposeScratch } from './scratch.js';

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A signal unwinds through the same clean-up as an error: there is one way to clean up. */
function abortOnSignals(): AbortSignal {
  const controller = new AbortController();
  for (const name of STOP_SIGNALS) {
    process.on(name, () => controller.abort(new Error(`Stopped by ${name}`)));
  }
  return controller.signal;
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    process.stdout.write(usage());
    return;
  }
  if (process.geteuid?.() !== 0) throw new Error('The bench mounts overlayfs and tmpfs: run it as root');

  const signal = abortOnSignals();
  const facts = machineFacts(options);
  const samples: Sample[] = [];
  const scratch = createScratch();
  const problems: unknown[] = [];
  const attempt = async (step: () => void | Promise<void>) => {
    try {
      await step();
    } catch (error) {
      problems.push(error);
    }
  };
  await attempt(() => runBenchmark({ options, scratch, signal, record: (sample) => samples.push(sample) }));
  await attempt(() => disposeScratch(scratch));
  const complete = problems.length === 0;
  // Half an hour of samples is worth keeping even where the run broke off.
  await attempt(() => writeSamples(options.json, { complete, facts, options, samples }));
  if (complete) process.stdout.write(renderReport(facts, options.peers, samples));
  if (problems.length > 0) throw new AggregateError(problems);
}

function writeSamples(file: string | undefined, document: object): void {
  if (file !== undefined) writeFileSync(file, `${JSON.stringify(document, null, 2)}\n`);
}

function complain(error: unknown): void {
  if (error instanceof AggregateError) error.errors.forEach(complain);
  else process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    complain(error);
    process.exit(1);
  },
);
