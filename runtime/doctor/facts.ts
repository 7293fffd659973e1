/** The facts of a host that the doctor collects, one entry per concern. */
import type { ModeFacts } from '../rootless/mode.js';
import type { CgroupFacts } from './cgroups.js';
import type { EnvironmentFacts } from './environment.js';
import type { FuseFacts } from './fuse.js';
import type { FusermountFacts } from './fusermount.js';
import type { IdRangeFacts } from './id-ranges.js';
import type { Identity } from './identity.js';
import type { KernelFacts } from './kernel.js';
import type { NetworkFacts } from './network.js';
import type { OverlayFacts } from './overlay.js';
import type { SeccompFacts } from './seccomp.js';
import type { StoreFacts } from './store.js';
import type { TrialFacts } from './trial.js';
import type { UserNamespaceFacts } from './user-namespaces.js';

export interface Facts {
  readonly identity: Identity;
  readonly modeFacts: ModeFacts;
  readonly kernel: KernelFacts;
  readonly fuse: FuseFacts;
  readonly fusermount: FusermountFacts;
  readonly userNamespaces: UserNamespaceFacts;
  readonly idRanges: IdRangeFacts;
  readonly overlay: OverlayFacts;
  readonly seccomp: SeccompFacts;
  readonly cgroups: CgroupFacts;
  readonly network: NetworkFacts;
  readonly store: StoreFacts;
  readonly environment: EnvironmentFacts;
  /** Undefined if other facts show that no container can run. */
  readonly trial: TrialFacts | undefined;
}
