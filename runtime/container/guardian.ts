/**
 * A small process that kills the container when its supervisor dies, however it dies.
 *
 * Rules: the parent-death signal that the init stage sets is enough for most commands, but changing ids clears it
 * (prctl(2)), as many entrypoints do. The guardian waits at a pipe: a line means that the container has ended by itself,
 * an end of file that the supervisor is gone. It has a session of its own, so that what kills the supervisor's process
 * group spares it.
 */
import { spawn } from 'node:child_process';

const SHELL = '/bin/sh';
/** $1 is the container's first process; while the guardian waits nobody has taken its exit status, or a line comes. */
const SCRIPT = 'read -r line || kill -KILL "$1"';

export class Guardian {
  readonly #end: () => void;

  /** Watches over the process `pid` until `dismiss`. */
  constructor(pid: number) {
    const child = spawn(SHELL, ['-c', SCRIPT, SHELL, String(pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: {},
      cwd: '/',
      detached: true,
    });
    const gone = new Promise<void>((resolve) => {
      child.on('exit', () => resolve());
      child.on('error', () => resolve());
    });
    child.stdin?.on('error', () => {});
    this.#end = () => child.stdin?.end('\n');
    this.#gone = gone;
  }

  readonly #gone: Promise<void>;

  /** Tells the guardian that the container has ended, and waits until it has ended too. */
  async dismiss(): Promise<void> {
    this.#end();
    await this.#gone;
  }
}
