/**
 * A small process that kills the container when its supervisor dies, however it dies.
 *
 * Rules: the parent-death signal that the init stage sets is enough for most commands, but changing ids clears it
 * (prctl(2)), as many entrypoints do. The guardian waits at a pipe: a line means that the container has ended by itself,
 * an end of file that the supervisor is gone. It has a session of its own, so that what kills the supervisor's process
 * group spares it.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const SHELL = '/bin/sh';
/** $1 is the container's first process; while the guardian waits nobody has taken its exit status, or a line comes. */
const SCRIPT = 'read -r line || kill -KILL "$1"';

/** Milliseconds. Most short commands end before, and are spared the cost; the parent-death signal covers the time. */
const DELAY = 50;

export class Guardian {
  readonly #timer: NodeJS.Timeout;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** Watches over the process `pid` until `dismiss`. */
  constructor(pid: number) {
    this.#timer = setTimeout(() => this.#start(pid), DELAY);
  }

  #start(pid: number): void {
    const child = spawn(SHELL, ['-c', SCRIPT, SHELL, String(pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
      cwd: '/',
      detached: true,
    });
    this.#ended = new Promise((resolve) => {
      child.on('exit', () => resolve());
      child.on('error', () => resolve()); // without a shell the parent-death signal has to do
    });
    child.stdin?.on('error', () => {});
    this.#child = child;
  }

  /** Tells the guardian that the container has ended, and waits until it has ended too. */
  async dismiss(): Promise<void> {
    clearTimeout(this.#timer);
    this.#child?.stdin?.end('\n');
    await this.#ended;
  }
}
