/**
 * Everything that is asked of a machine before a way is chosen on it, and by the doctor. The real one is in `real-host.ts`; tests bring simulated ones.
 *
 * Rules: nothing here judges. A question that the machine does not answer is undefined, never an exception. Nothing
 * that is tried leaves a trace.
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
  /** Undefined if a signal or the time limit ended it. */
  readonly status: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** What the filesystem of a directory can do, tried with nameless files and one hidden directory. */
export interface DirectoryTrial {
  readonly userXattrs: boolean;
  readonly trustedXattrs: boolean;
  readonly tmpfile: boolean;
  readonly reflink: boolean;
  readonly symlinks: boolean;
  /** Bytes that this user may still write. */
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
  /** Runs a program to its end with no input; undefined if there is none of this name. */
  run(program: string, args: readonly string[], patienceMs?: number): Outcome | undefined;
  /** Undefined where nothing can be written. */
  tryDirectory(path: string): DirectoryTrial | undefined;
  /** Whether libseccomp.so.2 can be loaded. */
  hasLibseccomp(): boolean;
}
