/**
 * A finding: one examined part of the host, whether it suffices, and the command that fixes it.
 *
 * Rules: with `ok` and `warning` every command works; `missing` rules out a mode. A `missing` finding has a fix, if there
 * is one.
 */

export type Status = 'ok' | 'warning' | 'missing';

/** A fix: a shell command on one line. */
export interface Fix {
  readonly command: string;
  /** Whether only root can run it. */
  readonly asRoot: boolean;
}

export interface Finding {
  /** A stable key: concern and part, e.g. "fuse.device". */
  readonly id: string;
  readonly status: Status;
  /** The state of this part, in one line. */
  readonly detail: string;
  readonly fix?: Fix;
}

export const asRoot = (command: string): Fix => ({ command, asRoot: true });
export const asUser = (command: string): Fix => ({ command, asRoot: false });

export const ok = (id: string, detail: string): Finding => ({ id, status: 'ok', detail });
export const warning = (id: string, detail: string, fix?: Fix): Finding => ({
  id,
  status: 'warning',
  detail,
  ...(fix !== undefined && { fix }),
});
export const missing = (id: string, detail: string, fix?: Fix): Finding => ({
  id,
  status: 'missing',
  detail,
  ...(fix !== undefined && { fix }),
});

/** The fix as the end of an error message. */
export const inWords = ({ command, asRoot: onlyRoot }: Fix): string =>
  `${onlyRoot ? 'as root, ' : ''}run "${command}"`;
