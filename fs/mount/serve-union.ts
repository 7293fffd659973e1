/**
 * The serving thread: builds the union and answers requests until the filesystem is unmounted.
 *
 * Rules: all state of the mount belongs to this thread, which never returns to its event loop. It has its own filesystem
 * ids and umask, to create files as the caller, and keeps its capabilities; a process without capabilities serves only its
 * own user. It must not wait for memory that only its own replies can free (PR_SET_IO_FLUSHER).
 */
import { CLONE, PR, SECBIT_NO_SETUID_FIXUP } from '../sys/constants.js';
import { getpagesize, prctl, takeEventfd, umask, unshare } from '../sys/syscalls.js';
import { Flusher } from '../transport/flusher.js';
import { attributesNotifier, NotifyQueue, startNotifier } from '../transport/notify.js';
import { MessageRing } from '../transport/ring.js';
import { Session } from '../transport/session.js';
import { UnionFilesystem } from '../union/filesystem.js';
import { InodeSet } from '../union/layers/inode-set.js';
import { Changes } from '../union/nodes/changes.js';
import { NO_MASK } from '../union/nodes/credentials.js';
import { UNWATCHED } from '../union/nodes/trust.js';
import { openInotify } from '../union/nodes/watcher.js';
import { buildUnion, describeUnion } from './build-union.js';
import type { ServeData } from './serve-data.js';

/** Events: the mount is usable; the layers are closed and unlocked. */
export type ServeEvent = 'ready' | 'released';

/** Largest READ and WRITE: the kernel's limit of 256 pages of 4 KiB. */
const MAX_WRITE = 1024 * 1024;

function prepareThread(trace: boolean): void {
  if (!trace) Error.stackTraceLimit = 0; // an errno is thrown for every expected failure
  unshare(CLONE.FS);
  umask(NO_MASK);
  if (!prctl(PR.SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) && process.geteuid?.() === 0) {
    throw new Error('CAP_SETPCAP is missing; it is needed to create files as their owners');
  }
  prctl(PR.SET_IO_FLUSHER, 1); // needs CAP_SYS_RESOURCE; best effort
}

/** If changes cannot be watched, uses a timeout instead. */
const withoutWatches = (data: ServeData): ServeData =>
  data.settings.layerChanges === 'watch'
    ? { ...data, settings: { ...data.settings, layerChanges: UNWATCHED } }
    : data;

/** Serves on this thread until the filesystem is unmounted. Throws if the server fails. */
export function serveUnion(asked: ServeData, tell: (event: ServeEvent) => void): void {
  prepareThread(asked.trace);
  const inotify = asked.settings.layerChanges === 'watch' ? openInotify() : undefined;
  const data = inotify === undefined ? withoutWatches(asked) : asked;
  const queue = new NotifyQueue(new MessageRing(), (shared) => startNotifier(data.fd, shared));
  const union = buildUnion(data, {
    kernel: { notifier: queue, pruning: queue, attributesChanged: attributesNotifier(data.fd) },
    inotify,
    virtualOwners: data.virtualOwners && {
      secret: data.virtualOwners.secret,
      inodes: new InodeSet(data.virtualOwners.inodes),
    },
  });
  const changes = union.watcher && new Changes(union, union.watcher);
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
    onReady: (connection) => {
      queue.agree(connection);
      if (union.watcher !== undefined) queue.start();
      tell('ready');
    },
    background: {
      fds: [data.stop, ...(inotify === undefined ? [] : [inotify])],
      run: () => {
        changes?.handle();
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
  union.watcher?.close(); // last: the kernel takes its time (fsnotify_destroy_group), and it holds no layer
}
