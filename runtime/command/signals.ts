/**
 * Forwards signals from the supervisor to the container's first process.
 *
 * Rule: a signal to the supervisor is meant for the command. Compare with runc's signalHandler.
 */

/** The forwarded signals; not SIGCHLD and fault signals, which concern the supervisor. */
const FORWARDED: readonly NodeJS.Signals[] = [
  'SIGTERM',
  'SIGINT',
  'SIGHUP',
  'SIGQUIT',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGWINCH',
  'SIGCONT',
];

/** Calls `receive` for every signal until the returned function is called. */
export function catchSignals(receive: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of FORWARDED) process.on(signal, receive);
  return () => {
    for (const signal of FORWARDED) process.off(signal, receive);
  };
}
