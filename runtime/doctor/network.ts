/**
 * The host's network, which a container shares unless it runs with `--network none`.
 *
 * Rule: abstract sockets (unix(7)) belong to the network namespace and have no owner or mode, so every container on the
 * host's network can connect to them. The finding reports this with the status "ok".
 */
import type { Host } from '../host/host.js';
import { type Finding, ok } from './finding.js';

export interface NetworkFacts {
  /** Abstract sockets of this network namespace that have a name. */
  readonly abstractSockets: number;
}

const SOCKETS = '/proc/net/unix';

export function probeNetwork(host: Host): NetworkFacts {
  const names = (host.read(SOCKETS) ?? '').match(/ @\S.*$/gm) ?? [];
  return { abstractSockets: new Set(names).size };
}

export function judgeNetwork({ abstractSockets }: NetworkFacts): Finding[] {
  const reach = `containers share the host's network and reach its abstract sockets (${abstractSockets} now)`;
  return [ok('network.host', `${reach}; isolate them with tscr run --network none`)];
}
