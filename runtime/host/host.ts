/**
 * The interface to a host, for the choice of the rootless mode and for `tscr doctor`. `real-host.ts` implements it for this
 * host; tests use simulated hosts.
 *
 * Rules: no method interprets its result. A query that fails gives undefined, never an exception. No attempt leaves a
 * trace.
 */

export interface HostFile {
  readonly kind: 'file' | 'directory' | 'character device' | 'other';
  /** Permission bits with set-user-id. */
  readonly mode: number;
  readonly uid: number;
  /** Of a device "major:minor". */
  readonly device?: string;
  /** access(2) of this process. */
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** File capabilities are set on it (capabilities(7), security.capability). */
  readonly hasCapabilities: boolean;
}

export interface Outcome {
  /** Undefined if it was ended by a signal or the time limit. */
  readonly status: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Features of a directory's filesystem, found with unnamed files and one hidden directory. */
export interface DirectoryTrial {
  readonly userXattrs: boolean;
  readonly trustedXattrs: boolean;
  readonly tmpfile: boolean;
  readonly reflink: boolean;
  readonly symlinks: boolean;
  /** Free bytes for this user. */
  readonly free: number;
}

export interface Host {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  /** The login name; undefined for a uid without a passwd entry. */
  readonly userName: string | undefined;
  /** The home directory that HOME or passwd names. */
  readonly home: string | undefined;
  /** process.arch. */
  readonly architecture: string;
  readonly nodeVersion: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The text of a file, one character per byte. */
  read(path: string): string | undefined;
  /** Symbolic links are followed. */
  stat(path: string): HostFile | undefined;
  /** The name of the error with which open(2) refuses a device for reading and writing; undefined if it is opened. */
  openRefusal(path: string): string | undefined;
  /** Runs a program without input until it exits; undefined if it is not installed. */
  run(program: string, args: readonly string[], patienceMs?: number): Outcome | undefined;
  /** Undefined if the directory is not writable. */
  tryDirectory(path: string): DirectoryTrial | undefined;
  /** Whether libseccomp.so.2 can be loaded. */
  hasLibseccomp(): boolean;
}
