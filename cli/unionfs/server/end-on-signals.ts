/** SIGTERM, SIGINT and SIGHUP unmount, and the server exits. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
const PATIENCE_MS = 5000;

/** @param end unmounts, and resolves when that is complete */
export function endOnSignals(end: () => Promise<void>): void {
  for (const signal of SIGNALS) process.on(signal, () => void endInTime(end));
}

/** Kills this process if unmounting hangs in a system call; the kernel then cleans up. */
export async function endInTime(end: () => Promise<void>): Promise<void> {
  const stuck = setTimeout(() => process.kill(process.pid, 'SIGKILL'), PATIENCE_MS);
  await end();
  clearTimeout(stuck);
}
