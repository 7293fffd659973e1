/** The output of `tscr info`, with the field names of `docker info`. */
import { existsSync, readFileSync } from 'node:fs';
import { cpus, hostname, release, totalmem } from 'node:os';
import { caller } from '../../host/caller.js';
import { HOST } from '../../image/platform.js';
import type { Store } from '../../image/store/store.js';
import { listRecords, statusOf } from './containers.js';
import { DRIVERS } from './record.js';

const CGROUP_V2 = '/sys/fs/cgroup/cgroup.controllers';

export interface MachineInfo {
  readonly Containers: number;
  readonly ContainersRunning: number;
  readonly ContainersStopped: number;
  readonly Images: number;
  readonly Driver: string;
  /** The storage drivers that work on this host. */
  readonly Drivers: readonly string[];
  readonly RootDir: string;
  readonly Rootless: boolean;
  readonly CgroupVersion: string;
  readonly KernelVersion: string;
  readonly OperatingSystem: string;
  readonly OSType: string;
  readonly Architecture: string;
  readonly NCPU: number;
  /** Bytes. */
  readonly MemTotal: number;
  readonly Name: string;
}

export function machineInfo(store: Store): MachineInfo {
  const records = listRecords(store.root);
  const running = records.filter((record) => statusOf(store.root, record).is === 'running').length;
  const drivers = DRIVERS.filter((driver) => isPossible[driver]());
  return {
    Containers: records.length,
    ContainersRunning: running,
    ContainersStopped: records.length - running,
    Images: store.list().length,
    Driver: drivers[0] ?? 'copy',
    Drivers: drivers,
    RootDir: store.root,
    Rootless: caller().uid !== 0,
    CgroupVersion: existsSync(CGROUP_V2) ? '2' : '1',
    KernelVersion: release(),
    OperatingSystem: operatingSystem(),
    OSType: HOST.os,
    Architecture: HOST.architecture,
    NCPU: cpus().length,
    MemTotal: totalmem(),
    Name: hostname(),
  };
}

const filesystems = (): string => readFileSync('/proc/filesystems', 'utf8');

const isPossible: Readonly<Record<(typeof DRIVERS)[number], () => boolean>> = {
  unionfs: () => existsSync('/dev/fuse') && /\tfuse$/m.test(filesystems()),
  overlay: () => process.geteuid?.() === 0 && /\toverlay$/m.test(filesystems()),
  copy: () => true,
};

/** PRETTY_NAME of os-release(5). */
function operatingSystem(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8');
    return /^PRETTY_NAME="?(.*?)"?$/m.exec(text)?.[1] ?? 'Linux';
  } catch {
    return 'Linux';
  }
}
