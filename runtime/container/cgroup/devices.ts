/**
 * Applies a container's device rules: by the "devices" controller of version 1, else by a BPF program in version 2.
 *
 * Rules: a process cannot allow what its own group denies; a default that the kernel refuses for this reason stays
 * denied. If no group can be created, the result has the reason, and mount flags enforce the rules
 * (`init/device-guard.ts`).
 */
import { closeSync } from 'node:fs';
import { attachDeviceProgram, loadDeviceProgram } from '../../../fs/sys/bpf.js';
import { Errno, errnoName } from '../../../fs/sys/errno.js';
import { deviceList } from './device-list.js';
import { deviceProgram } from './device-program.js';
import type { DeviceRule } from './device-rules.js';
import { clearLeftoversIn, Group } from './group.js';
import { isUnified, type Membership, membershipsOf } from './membership.js';

export interface GroupRequest {
  /** A name that no other container has. */
  readonly name: string;
  /** "linux.cgroupsPath". */
  readonly path?: string | undefined;
  readonly rules: readonly DeviceRule[];
}

/** A group with the rules applied, or why none could be created. */
export type DeviceGroup = { readonly group: Group } | { readonly refusal: string };

const hasDevices = ({ controllers }: Membership): boolean => controllers.includes('devices');

export function makeDeviceGroup(request: GroupRequest): DeviceGroup {
  const own = membershipsOf('self');
  const list = deviceList(request.rules);
  const refusals: string[] = [];
  for (const membership of [...own.filter(hasDevices), ...own.filter(isUnified)]) {
    const unified = isUnified(membership);
    if (!unified && list === undefined) continue;
    try {
      return { group: makeIn(membership, request, unified) };
    } catch (error) {
      refusals.push(`"${membership.directory}": ${reasonOf(error)}`);
    }
  }
  return { refusal: refusals.length === 0 ? 'no control groups are mounted' : refusals.join(', ') };
}

function reasonOf(error: unknown): string {
  if (error instanceof Errno) return `${error.call}: ${errnoName(error.code)}`;
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

function makeIn(membership: Membership, { name, path, rules }: GroupRequest, unified: boolean): Group {
  const group = Group.make(membership, name, path);
  try {
    if (unified) attach(group, rules);
    else write(group, rules);
    return group;
  } catch (error) {
    void group.remove();
    throw error;
  }
}

function attach(group: Group, rules: readonly DeviceRule[]): void {
  const program = loadDeviceProgram(deviceProgram(rules));
  try {
    attachDeviceProgram(program, group.fd);
  } finally {
    closeSync(program);
  }
}

function write(group: Group, rules: readonly DeviceRule[]): void {
  const list = deviceList(rules);
  if (list === undefined) throw new Error('control groups of version 1 cannot express these rules');
  group.write(list.allow ? 'devices.allow' : 'devices.deny', 'a');
  for (const exception of list.exceptions) {
    try {
      group.write(list.allow ? 'devices.deny' : 'devices.allow', exception);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPERM' || list.allow) throw error; // the parent group denies it too
    }
  }
}

/** Removes groups of commands that were killed. */
export function clearGroups(): void {
  for (const membership of membershipsOf('self')) {
    if (hasDevices(membership) || isUnified(membership)) clearLeftoversIn(membership.directory);
  }
}
