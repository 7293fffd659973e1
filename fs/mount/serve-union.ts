/**
 * What a serving thread does: builds the union and answers requests until the mount ends.
 *
 * Rules: the thread owns everything of the mount and never returns to its event loop. Its filesystem ids and umask are
 * its own, so that it creates files as the caller; its capabilities stay. Who has none serves himself only. It must not
 * wait for memory that only its own answers can free (PR_SET_IO_FLUSHER).
 */
import { FUSE_PRUNE_MINOR_VERSION } from '../protocol/abi.js';
import { CLONE, PR, SECBIT_NO_SETUID_FIXUP } from '../sys/constants.js';
import { chdir, getpagesize, prctl, takeEventfd, umask, unshare } from '../sys/syscalls.js';
import { Flusher } from '../transport/flusher.js';
import { attributesNotifier, NotifyQueue, startNotifier } from '../transport/notify.js';
import { MessageRing } from '../transport/ring.js';
import { Session } from '../transport/session.js';
import { UnionFilesystem } from '../union/filesystem.js';
import { InodeSet } from '../union/layers/inode-set.js';
import { openLowers, upperLayer, type Writable } from '../union/layers/layer.js';
import type { Stack } from '../union/layers/stack.js';
import { Work } from '../union/layers/work.js';
import { LinkIndex } from '../union/nodes/link-index.js';
import { NO_MASK, UNWATCHED, Union, type UnionSettings } from '../union/nodes/union.js';
import { Changes, openChanges } from '../union/nodes/watcher.js';
import { findOverrides, isTrulyRoot, keepOverrides } from '../union/owners/stored-owners.js';
import type { VirtualOwners } from '../union/owners/virtual-owners.js';

export interface ServeData {
  /** /dev/fuse, attached to the mountpoint. */
  readonly fd: number;
  /** An eventfd that asks the thread to end. */
  readonly stop: number;
  readonly stack: Stack;
  /** The stack's, open; they stay the caller's. */
  readonly writable: Writable | undefined;
  readonly settings: UnionSettings;
  /** Flags of mount(2). */
  readonly flags: number;
  readonly writeback: boolean;
  readonly trace: boolean;
  readonly virtualOwners: VirtualOwners | undefined;
}

/** What is told of a mount: it is usable, and it has closed and unlocked its layers. */
export type ServeEvent = 'ready' | 'released';

/** Largest READ and WRITE: the kernel's limit of 256 pages of 4 KiB. */
const MAX_WRITE = 1024 * 1024;

function prepareThread(trace: boolean): void {
  if (!trace) Error.stackTraceLimit = 0; // an errno is thrown for every expected failure
  unshare(CLONE.FS);
  umask(NO_MASK);
  if (!prctl(PR.SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) && process.geteuid?.() === 0) {
    throw new Error('the capability CAP_SETPCAP is missing; files could not be created as their owners');
  }
  prctl(PR.SET_IO_FLUSHER, 1); // needs CAP_SYS_RESOURCE; best effort
}

/** Whether layers may say who owns a file by an attribute that any writer of the file can set. */
const trustsUsers = ({ ownership }: UnionSettings): boolean => ownership?.keep === 'user' || !isTrulyRoot();

export function buildUnion({
  stack: { upper, lowers },
  settings,
  flags,
  writable,
}: Pick<ServeData, 'stack' | 'settings' | 'flags' | 'writable'>): Union {
  if (upper === undefined || writable === undefined) {
    const layers = openLowers(lowers, 0);
    findOverrides(layers, trustsUsers(settings));
    return new Union(layers, undefined, settings);
  }
  const layer = upperLayer(upper, writable, flags);
  const layers = [layer, ...openLowers(lowers, 1)];
  findOverrides(layers, trustsUsers(settings));
  keepOverrides(layer, layers.slice(1), settings.ownership?.keep);
  const staging = new Work(writable.workFd);
  const union = new Union(layers, staging, settings);
  union.index = LinkIndex.open(writable.workFd, layers, staging);
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
    nodes: union.nodeCount,
    watches: union.changes?.watchCount ?? 0,
    requests,
  },
});

/** Where changes should be reported and cannot be, time-outs take over. */
const withoutWatches = (data: ServeData): ServeData =>
  data.settings.layerChanges === 'watch'
    ? { ...data, settings: { ...data.settings, layerChanges: UNWATCHED } }
    : data;

/** Serves on this thread until the mount is over. Throws what went wrong. */
export function serveUnion(asked: ServeData, tell: (event: ServeEvent) => void): void {
  prepareThread(asked.trace);
  const inotify = asked.settings.layerChanges === 'watch' ? openChanges() : undefined;
  const data = inotify === undefined ? withoutWatches(asked) : asked;
  const union = buildUnion(data);
  union.attributesChanged = attributesNotifier(data.fd);
  union.virtualOwners = data.virtualOwners && {
    secret: data.virtualOwners.secret,
    inodes: new InodeSet(data.virtualOwners.inodes),
  };
  const queue = new NotifyQueue(new MessageRing(), (shared) => startNotifier(data.fd, shared));
  union.notifier = queue;
  if (data.settings.layerChanges !== 'never') union.changes = new Changes(union, queue, inotify);
  const flusher = new Flusher(data.fd);
  const describe = (): unknown => describeUnion(data, union, session.counts);
  const session: Session = new Session(data.fd, new UnionFilesystem(union, describe), {
    wishes: {
      writeback: data.writeback,
      invalidation: typeof data.settings.layerChanges === 'number' ? 'by-mtime' : 'explicit',
      acl: !union.without.has('acl') && !union.without.has('xattrs'),
      maxWrite: MAX_WRITE,
      pageSize: getpagesize(),
    },
    trace: data.trace,
    flusher,
    onReady: ({ flags, minor }) => {
      queue.canExpire = flags.has('HAS_EXPIRE_ONLY');
      if (minor >= FUSE_PRUNE_MINOR_VERSION) union.population.pruning = queue;
      if (data.settings.layerChanges !== 'never') queue.start();
      tell('ready');
    },
    background: {
      fds: [data.stop, ...(inotify === undefined ? [] : [inotify])],
      run: () => {
        union.changes?.drain();
        const flushed = queue.flush();
        if (takeEventfd(data.stop)) return 'end';
        return flushed ? 'done' : 'again';
      },
    },
  });
  try {
    session.run();
  } finally {
    queue.stop();
  }
  flusher.close();
  union.close();
  tell('released');
  union.changes?.close(); // last: the kernel takes its time (fsnotify_destroy_group), and it holds no layer
}
