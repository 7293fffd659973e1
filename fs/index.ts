/**
 * The union filesystem's public API: `mount` a stack of layers; without a mount, see what it shows (`viewOf`), what has
 * changed in it (`changes`), copy it (`flatten`), and why it shows what it shows (`explain`, `plan`).
 *
 * Programs of this repository also use `layers.ts`, `offline.ts` and `background.ts`; nothing else in `fs/union` and
 * `fs/mount` is for others.
 *
 * A request's whole way, top to bottom:
 *
 *     /dev/fuse                      the kernel asks                        transport/device.ts
 *       -> session                   read, busy-polling                     transport/session.ts, idle.ts
 *       -> decode                    a bounded cursor over the message      protocol/decode.ts
 *       -> operation table           one row per opcode                     protocol/operations.ts
 *       -> union operation           lookup, create, rename ...             union/filesystem.ts
 *            rules: view and plan    pure decisions                         union/rules/merge.ts, plan.ts
 *            steps                   one method each                        union/rules/execute.ts, operations/target.ts
 *       -> syscall                   on a layer's descriptor                sys/syscalls.ts
 *       -> reply                     written by the same thread             protocol/encode.ts
 *
 * Three threads: the caller's, which handles signals and unmounts (`server.ts`, `supervise.ts`); the one that serves
 * requests (`serve-union.ts`); the one that writes notifications (`transport/notifier.ts`). A server in the background
 * mounts by itself in the second (`mount-here.ts`).
 */
export { type Mount, mount } from './mount/mount.js';
export { type MountOptions, TRANSPORTS, type Transport } from './mount/options.js';
export { startServingThread } from './mount/serving-thread.js';
export { HostError, UsageError } from './sys/refusal.js';
export type { Stack } from './union/layers/stack.js';
export type { LeftOut } from './union/nodes/union.js';
export { type Change, type ChangedStack, changes } from './union/offline/difference.js';
export { type Explanation, explain, type LayerExplanation } from './union/offline/explain.js';
export { flatten, flattenStack } from './union/offline/flatten.js';
export { type ViewedStack, viewOf } from './union/offline/view.js';
export { readInspection } from './union/operations/self-description.js';
export type { IdRange, Ownership } from './union/owners/id-mapping.js';
export { newVirtualOwners, type VirtualOwners } from './union/owners/virtual-owners.js';
export type { Cover, LayerEntry, View } from './union/rules/merge.js';
export { type Operation, type Plan, plan, planRename, STEPS, stepsOf } from './union/rules/plan.js';
