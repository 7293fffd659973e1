/** Serves a mount in this process. */
import { type Mount, type MountOptions, mount, startServingThread } from '../../../fs/index.js';
import { FUSE_NATIVE_LIMITS } from '../../../fs/transport/fuse-native.js';
import { warn } from '../../terminal/output.js';
import { announce, detachFrom, endLog } from './detached.js';
import { endInTime, endOnSignals } from './end-on-signals.js';

/** Mounts and serves until unmounted. Throws as `mount` does. */
export async function serve(options: MountOptions): Promise<void> {
  const mounted = await start(options);
  await mounted.ended;
}

/**
 * The same in the background. If the launcher has ended, the mount is unmounted.
 * @param launcher pid of the process that waits
 */
export async function serveInBackground(options: MountOptions, launcher: number): Promise<void> {
  detachFrom(launcher);
  const mounted = await start(options);
  process.chdir('/');
  try {
    announce(mounted.openLog());
  } catch (error) {
    await endInTime(() => mounted.end());
    throw error;
  }
  mounted.released.then(endLog, () => {}); // a failure is still to be logged
  await mounted.ended;
}

async function start(options: MountOptions): Promise<Mount> {
  const isPortable = options.transport === 'fuse-native';
  if (isPortable) warnOfLimits();
  process.umask(0);
  const mounted = await mount({ ...options, ...(!isPortable && { thread: startServingThread() }) });
  endOnSignals(() => mounted.end());
  return mounted;
}

function warnOfLimits(): void {
  for (const limit of FUSE_NATIVE_LIMITS) warn(`fuse-native: ${limit}`);
}
