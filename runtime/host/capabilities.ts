import { readFileSync } from 'node:fs';

/** The names of capabilities(7), in the order of their numbers. */
export const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

const numbers = new Map<string, number>(CAPABILITIES.map((name, number) => [name, number]));

/** The number of a capability; undefined if there is none of this name. */
export const capabilityNumber = (name: string): number | undefined => numbers.get(name);

/** One bit per capability; unknown names count for nothing. */
export function capabilityMask(names: readonly string[] = []): bigint {
  return names.reduce((mask, name) => {
    const number = numbers.get(name);
    return number === undefined ? mask : mask | (1n << BigInt(number));
  }, 0n);
}

/** What capset(2) may give: the permitted set of this process, as far as its bounding set goes. */
export function boundingCapabilities(): ReadonlySet<string> {
  const status = readFileSync('/proc/self/status', 'latin1');
  const mask = (name: string): bigint =>
    BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`);
  const allowed = mask('CapPrm') & mask('CapBnd');
  return new Set(CAPABILITIES.filter((_, number) => ((allowed >> BigInt(number)) & 1n) === 1n));
}
