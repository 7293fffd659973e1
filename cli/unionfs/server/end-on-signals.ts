/** SIGTERM, SIGINT and SIGHUP end a mount, and its server ends with it. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
const PATIENCE_MS = 5000;

/** @param end ends the mount, and settles when it has ended */
export function endOnSignals(end: () => Promise<void>): void {
  for (const signal of SIGNALS) process.on(signal, () => void endInTime(end));
}

/** A server that is stuck in a system call ends with its process, and the kernel cleans up. */
export async function endInTime(end: () => Promise<void>): Promise<void> {
  const stuck = setTimeout(() => process.kill(process.pid, 'SIGKILL'), PATIENCE_MS);
  await end();
  clearTimeout(stuck);
}
