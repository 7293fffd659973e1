/**
 * A small process that kills the container when its supervisor dies for any reason.
 *
 * Rules: the parent-death signal of the init stage suffices for most commands, but a change of ids clears it (prctl(2)),
 * as in many entrypoints. The guardian reads from a pipe: a line means that the container has exited, an end of file that
 * the supervisor is dead. It has a session of its own, so that it survives a signal to the supervisor's process group.
 */
import { type ChildProcess, spawn } from 'node:child_process';

const SHELL = '/bin/sh';
/** $1 is the container's first process; its pid cannot be reused before the line, which follows wait(2) for it. */
const SCRIPT = 'read -r line || kill -KILL "$1"';

/** Milliseconds before the guardian is started, which saves its cost for short commands; until then the parent-death signal works. */
const DELAY = 50;

export class Guardian {
  readonly #timer: NodeJS.Timeout;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

  /** Guards the process `pid` until `dismiss`. */
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
      child.on('error', () => resolve()); // without a shell only the parent-death signal is left
    });
    child.stdin?.on('error', () => {});
    this.#child = child;
  }

  /** Tells the guardian that the container has exited, and waits until the guardian has exited too. */
  async dismiss(): Promise<void> {
    clearTimeout(this.#timer);
    this.#child?.stdin?.end('\n');
    await this.#ended;
  }
}
