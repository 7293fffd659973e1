/**
 * The serving thread: builds the union and answers requests until the mount ends.
 *
 * Rules: it owns everything of the mount and never returns to its event loop. Its filesystem ids and umask are its
 * own, so that it creates files as the caller; its capabilities stay. It must not wait for memory that only its own
 * answers can free (PR_SET_IO_FLUSHER).
 */
import { parentPort, workerData } from 'node:worker_threads';
import { CLONE, PR, SECBIT_NO_SETUID_FIXUP } from './sys/constants.js';
import { prctl, takeEventfd, unshare } from './sys/syscalls.js';
import { NotifyQueue, NotifyRing } from './transport/notify.js';
import { Session } from './transport/session.js';
import { Changes } from './union/changes.js';
import { UnionFilesystem } from './union/filesystem.js';
import { openLayer } from './union/layer.js';
import { LinkIndex } from './union/link-index.js';
import { type Stack, toBytes } from './union/stack.js';
import { Union, type UnionSettings } from './union/state.js';
import { Work } from './union/work.js';

export interface ServeData {
  /** /dev/fuse, attached to the mountpoint. */
  readonly fd: number;
  /** An eventfd that asks the thread to end. */
  readonly stop: number;
  readonly stack: Stack;
  readonly settings: UnionSettings;
  readonly writeback: boolean;
  readonly trace: boolean;
  readonly notifications: SharedArrayBuffer;
}

/** What the serving thread tells the main thread. */
export type ServeMessage = 'ready';

/** Largest READ and WRITE: the kernel's limit of 256 pages. */
const MAX_WRITE = 1024 * 1024;

function prepareThread(trace: boolean): void {
  if (!trace) Error.stackTraceLimit = 0; // an errno is thrown for every expected failure
  unshare(CLONE.FS);
  if (!prctl(PR.SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)) {
    throw new Error('the capability CAP_SETPCAP is missing; files could not be created as their owners');
  }
  prctl(PR.SET_IO_FLUSHER, 1); // needs CAP_SYS_RESOURCE; best effort
}

function buildUnion({ stack, settings }: ServeData): Union {
  const paths = [...(stack.upper === undefined ? [] : [stack.upper]), ...stack.lowers];
  const layers = paths.map((path, index) =>
    openLayer(toBytes(path), index, path === stack.upper && index === 0),
  );
  const work = stack.work === undefined ? undefined : new Work(toBytes(stack.work));
  const union = new Union(layers, work, settings);
  if (work !== undefined && union.upper !== undefined && stack.work !== undefined) {
    union.index = LinkIndex.open(toBytes(stack.work), union.upper, layers.slice(1), work);
  }
  return union;
}

function serve(data: ServeData): void {
  prepareThread(data.trace);
  const union = buildUnion(data);
  const queue = new NotifyQueue(new NotifyRing(data.notifications));
  if (data.settings.layerChanges === 'watch') union.changes = new Changes(union, queue);
  const describe = () => ({
    pid: process.pid,
    ...data.stack,
    settings: data.settings,
    whiteoutXattrs: union.work?.xattrPrefix,
    counters: {
      ...union.counters,
      nodes: union.nodeCount,
      watches: union.changes?.watchCount ?? 0,
      requests: session.counts,
    },
  });
  const session: Session = new Session(data.fd, new UnionFilesystem(union, describe), {
    wishes: {
      writeback: data.writeback,
      invalidation: typeof data.settings.layerChanges === 'number' ? 'by-mtime' : 'explicit',
      maxWrite: MAX_WRITE,
    },
    trace: data.trace,
    onReady: ({ flags }) => {
      queue.canExpire = flags.has('HAS_EXPIRE_ONLY');
      tell('ready');
    },
    background: {
      fds: [data.stop, ...(union.changes === undefined ? [] : [union.changes.fd])],
      run: () => {
        union.changes?.drain();
        const flushed = queue.flush();
        if (takeEventfd(data.stop)) return 'end';
        return flushed ? 'done' : 'again';
      },
    },
  });
  session.run();
  union.close();
}

function tell(message: ServeMessage): void {
  parentPort?.postMessage(message);
}

serve(workerData as ServeData);
