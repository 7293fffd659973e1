/**
 * One thing the doctor looked at: what is, whether that is enough, and the command that mends it.
 *
 * Rules: `ok` and `warning` keep nobody from anything; `missing` takes a mode away. What is missing names its fix, if
 * there is one.
 */

export type Status = 'ok' | 'warning' | 'missing';

/** Commands for a shell, one line. */
export interface Fix {
  readonly command: string;
  /** Whether only root may do it. */
  readonly asRoot: boolean;
}

export interface Finding {
  /** A stable key: concern and part, e.g. "fuse.device". */
  readonly id: string;
  readonly status: Status;
  /** What is there, in one line. */
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

/** Who has to do what, in an error's line. */
export const inWords = ({ command, asRoot: onlyRoot }: Fix): string =>
  `${onlyRoot ? 'as root, ' : ''}run "${command}"`;
