/**
 * /dev/fuse and what the kernel offers behind it.
 *
 * Rule: the features come from a real INIT request: a child mounts a filesystem in a mount namespace of its own (for
 * ordinary users in a user namespace) and reads the first message. Both namespaces end with the child. Compare fuse(4)
 * and fs/protocol/handshake.ts.
 */
import { SIZEOF } from '../../fs/protocol/abi.js';
import { Cursor } from '../../fs/protocol/decode.js';
import { decodeInit, type InitIn, negotiate, WANTED } from '../../fs/protocol/handshake.js';
import { FUSE_DEVICE } from '../../fs/transport/device.js';
import type { Host, HostFile } from '../host/host.js';
import { installCommand } from '../host/packages.js';
import { fuseRefusal } from '../rootless/facts.js';
import { asRoot, type Finding, type Fix, missing, ok, warning } from './finding.js';
import { type Identity, restartWith, SEE_REFUSALS, UNCONFINED } from './identity.js';

export interface DeviceFacts {
  readonly device: HostFile | undefined;
  /** Why the device cannot be used (`rootless/mode.ts`). */
  readonly refusal: string | undefined;
  /** The kernel has FUSE, built in or as a loaded module. */
  readonly inKernel: boolean;
}

export interface FuseFacts extends DeviceFacts {
  /** The kernel's INIT request when a filesystem was mounted, as this user or as root of a user namespace. */
  readonly init: InitIn | undefined;
  readonly install: string;
}

const DEVICE = FUSE_DEVICE.path;
/**
 * Mounts on /tmp in the namespace, and prints the kernel's first message. After the mount, access below /tmp blocks, so
 * the reader is looked up before (/tmp may be in PATH).
 */
const SAY_INIT = `reader=$(command -v dd) && exec 3<>${DEVICE} &&
mount -n -i -t fuse.tscr-doctor -o fd=3,rootmode=40000,user_id=0,group_id=0 tscr-doctor /tmp &&
exec "$reader" bs=65536 count=1 <&3`;

export const probeDevice = (host: Host): DeviceFacts => ({
  device: host.stat(DEVICE),
  refusal: fuseRefusal(host),
  inKernel: /\tfuse$/m.test(host.read('/proc/filesystems') ?? ''),
});

export function probeFuse(host: Host, { admin }: Identity): FuseFacts {
  const device = probeDevice(host);
  return {
    ...device,
    init: device.refusal === undefined ? probeInit(host, admin) : undefined,
    install: installCommand(host, 'kernel'),
  };
}

function probeInit(host: Host, admin: boolean): InitIn | undefined {
  const namespaces = admin ? ['--mount'] : ['--user', '--map-root-user', '--mount'];
  const { status, stdout } = host.run('unshare', [...namespaces, 'sh', '-c', SAY_INIT]) ?? {};
  if (status !== 0 || stdout === undefined || stdout.length <= SIZEOF.fuse_in_header) return undefined;
  const cursor = new Cursor(stdout).reset(stdout.length);
  cursor.skip(SIZEOF.fuse_in_header);
  return decodeInit(cursor);
}

export const deviceWorks = ({ refusal }: DeviceFacts): boolean => refusal === undefined;

/** A union can be mounted with mount(2), by this user or in a user namespace. */
export const fuseMounts = ({ init }: FuseFacts): boolean => init !== undefined && served(init);

const served = (init: InitIn): boolean =>
  negotiate(init, { writeback: false, invalidation: 'explicit', acl: true, maxWrite: 0, pageSize: 1 })
    .outcome === 'agreed';

/** @param userNamespaces whether a user namespace can be created */
export function judgeFuse(facts: FuseFacts, identity: Identity, userNamespaces: boolean): Finding[] {
  const device = judgeDevice(facts, identity);
  if (facts.init !== undefined) return [device, judgeFeatures(facts.init, facts.install)];
  const tried = deviceWorks(facts) && (identity.admin || userNamespaces);
  return tried ? [device, refusedMount(identity)] : [device];
}

function refusedMount(identity: Identity): Finding {
  const id = 'fuse.features';
  const detail = `cannot mount FUSE filesystems${identity.admin ? '' : ' in a user namespace'}`;
  if (identity.container !== undefined) {
    return missing(
      id,
      `${detail}: the outer container does not permit it`,
      restartWith(identity, UNCONFINED),
    );
  }
  return missing(id, `${detail}: a security module does not permit it`, asRoot(SEE_REFUSALS));
}

/** Errors of open(2) where there is a device and no driver behind it. */
const NO_DRIVER = ['ENODEV', 'ENXIO'];

export function judgeDevice(facts: DeviceFacts, identity: Identity): Finding {
  const { device, refusal, inKernel } = facts;
  const id = 'fuse.device';
  if (device === undefined) return missing(id, `${DEVICE} is missing`, bringDevice(inKernel, identity));
  if (device.device !== FUSE_DEVICE.number) {
    return missing(
      id,
      `${DEVICE} is not the FUSE device`,
      asRoot(`rm ${DEVICE} && mknod -m 666 ${DEVICE} c 10 229`),
    );
  }
  if (refusal === undefined) return ok(id, `${DEVICE} can be opened`);
  if (NO_DRIVER.includes(refusal)) {
    return missing(
      id,
      `${DEVICE} exists, but the kernel has no driver for it`,
      bringDevice(inKernel, identity),
    );
  }
  if (device.readable && device.writable) {
    // its permissions allow it: a device control group, or a security module
    const fix =
      identity.container === undefined ? asRoot(SEE_REFUSALS) : restartWith(identity, `--device ${DEVICE}`);
    return missing(id, `cannot open ${DEVICE}: ${refusal}`, fix);
  }
  const detail = `${DEVICE} is not readable and writable by uid ${identity.uid}`;
  return missing(id, detail, asRoot(`chmod 666 ${DEVICE}`));
}

function bringDevice(inKernel: boolean, identity: Identity): Fix | undefined {
  if (identity.container !== undefined) return restartWith(identity, `--device ${DEVICE}`);
  return asRoot(inKernel ? `mknod -m 666 ${DEVICE} c 10 229` : 'modprobe fuse');
}

/** Optional features, without which mounts are slower or less exact. */
function judgeFeatures(init: InitIn, install: string): Finding {
  const id = 'fuse.features';
  const version = `FUSE ${init.major}.${init.minor}`;
  if (!served(init)) {
    const detail = `the kernel has ${version}, which is not supported`;
    return missing(id, detail, asRoot(`${install} && reboot`));
  }
  const lacking = WANTED.filter((name) => !init.flags.has(name));
  if (lacking.length === 0) return ok(id, `${version} with all optional features`);
  return warning(id, `${version} without ${lacking.join(', ')}`);
}
