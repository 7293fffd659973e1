/** A union of a stack whose layers become open here, and what a mount tells of it. */
import { chdir } from '../sys/syscalls.js';
import { openLowers, upperLayer } from '../union/layers/layer.js';
import { Work } from '../union/layers/work.js';
import { LinkIndex } from '../union/nodes/link-index.js';
import { Union, type UnionParts, type UnionSettings } from '../union/nodes/union.js';
import { findOverrides, isTrulyRoot, keepOverrides } from '../union/owners/stored-owners.js';
import type { ServeData } from './serve-data.js';

/** Whether layers may say who owns a file by an attribute that any writer of the file can set. */
const trustsUsers = ({ ownership }: UnionSettings): boolean => ownership?.keep === 'user' || !isTrulyRoot();

/** @param parts what connects the union to a kernel that remembers */
export function buildUnion(
  {
    stack: { upper, lowers },
    settings,
    flags,
    writable,
  }: Pick<ServeData, 'stack' | 'settings' | 'flags' | 'writable'>,
  parts: Pick<UnionParts, 'kernel' | 'inotify' | 'virtualOwners'> = {},
): Union {
  if (upper === undefined || writable === undefined) {
    const layers = openLowers(lowers, 0);
    findOverrides(layers, trustsUsers(settings));
    return new Union({ ...parts, layers, settings });
  }
  const layer = upperLayer(upper, writable, flags);
  const layers = [layer, ...openLowers(lowers, 1)];
  findOverrides(layers, trustsUsers(settings));
  keepOverrides(layer, layers.slice(1), settings.ownership?.keep);
  const work = new Work(writable.workFd);
  const index = LinkIndex.open(writable.workFd, layers, work);
  const union = new Union({ ...parts, layers, work, index, settings });
  chdir('/'); // this thread has a working directory of its own
  return union;
}

/** What a mount tells about itself. @param requests how often each operation was asked for */
export const describeUnion = (
  { stack, settings }: Pick<ServeData, 'stack' | 'settings'>,
  union: Union,
  requests: Readonly<Record<string, number>>,
): unknown => ({
  pid: process.pid,
  ...stack,
  settings,
  whiteoutXattrs: union.work?.xattrPrefix,
  counters: {
    ...union.counters,
    nodes: union.population.size,
    watches: union.watcher?.watchCount ?? 0,
    requests,
  },
});
