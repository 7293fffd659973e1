/**
 * Creates namespaces, and enters existing ones that the specification names by path (namespaces(7)).
 *
 * Rule: the supervisor handles the pid namespace: this process is started inside it.
 */
import { closeSync, openSync } from 'node:fs';
import { CLONE } from '../../../fs/sys/constants.js';
import { interfaceUp, setns } from '../../../fs/sys/process.js';
import { unshare } from '../../../fs/sys/syscalls.js';
import type { NamespaceSpec, NamespaceType } from '../spec/runtime-spec.js';
import { step } from './failure.js';

const BITS: Readonly<Record<NamespaceType, number>> = {
  pid: 0,
  mount: CLONE.NEWNS,
  network: CLONE.NEWNET,
  ipc: CLONE.NEWIPC,
  uts: CLONE.NEWUTS,
  cgroup: CLONE.NEWCGROUP,
};

export function enterNamespaces(namespaces: readonly NamespaceSpec[]): void {
  for (const { type, path } of namespaces) {
    if (path === undefined) continue;
    step(`cannot enter the ${type} namespace "${path}"`, () => {
      const fd = openSync(path, 'r');
      setns(fd, BITS[type]);
      closeSync(fd);
    });
  }
  const made = namespaces.filter(({ path }) => path === undefined);
  step('cannot create namespaces', () => unshare(made.reduce((bits, { type }) => bits | BITS[type], 0)));
  if (made.some(({ type }) => type === 'network')) step('cannot start "lo"', () => interfaceUp('lo'));
}
