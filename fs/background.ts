/** The parts of `mount` for a program that is one mount's server: its threads are its own, and it loads no more than it needs. */
export { servingLimits } from './mount/heap.js';
export { mountHere } from './mount/mount-here.js';
export { exitOf } from './mount/serving-thread.js';
export { type Attached, supervise } from './mount/supervise.js';
