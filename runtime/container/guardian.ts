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

export class Guardian {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  /** Watches over the process `pid` until `dismiss`. */
  constructor(pid: number) {
    this.#child = spawn(SHELL, ['-c', SCRIPT, SHELL, String(pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
      cwd: '/',
      detached: true,
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('exit', () => resolve());
      this.#child.on('error', () => resolve()); // without a shell the parent-death signal has to do
    });
    this.#child.stdin?.on('error', () => {});
  }

  /** Tells the guardian that the container has ended, and waits until it has ended too. */
  async dismiss(): Promise<void> {
    this.#child.stdin?.end('\n');
    await this.#ended;
  }
}
