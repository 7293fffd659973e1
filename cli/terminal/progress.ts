/** Shows the progress of long work: a bar on a terminal, otherwise one line per step, nothing with --quiet. */
import { SingleBar } from 'cli-progress';
import { shown } from '../../fs/input/shown.js';
import { humanSize } from './human.js';
import { note } from './output.js';

const FORMAT = '{what} [{bar}] {percentage}% {done}/{all}';
const UPDATES_PER_SECOND = 10;

export class Progress {
  readonly #isQuiet: boolean;
  readonly #isTerminal: boolean = process.stderr.isTTY === true;
  #bar: SingleBar | undefined;
  #done = 0;

  constructor(isQuiet: boolean) {
    this.#isQuiet = isQuiet;
  }

  /** Begins something that reports bytes to `advance`. @param total bytes; undefined where they are not known */
  start(what: string, total: number | undefined): void {
    this.stop();
    if (this.#isQuiet) return;
    if (!this.#isTerminal || total === undefined) {
      note(what);
      return;
    }
    const stream = process.stderr;
    this.#bar = new SingleBar({ format: FORMAT, stream, fps: UPDATES_PER_SECOND, clearOnComplete: true });
    this.#done = 0;
    this.#bar.start(total, 0, { what: shown(what), done: humanSize(0), all: humanSize(total) });
  }

  advance(bytes: number): void {
    this.#done += bytes;
    this.#bar?.update(this.#done, { done: humanSize(this.#done) });
  }

  /** Reports the start of a step whose length is not known. */
  step(what: string): void {
    this.start(what, undefined);
  }

  stop(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
