/**
 * What is known of a container: kept in `ROOT/containers/ID/container.json` from its creation to its removal.
 *
 * Rule: the record says what the container is; whether it runs is known on its node only (`state.ts`).
 */
import type { Digest, ExecutionConfig } from '../image/oci.js';

export const DRIVERS = ['unionfs', 'overlay', 'copy'] as const;
/** What shows the layers as one root. */
export type Driver = (typeof DRIVERS)[number];

/** A machine, and one of its boots. */
export interface NodeId {
  readonly machine: string;
  readonly boot: string;
}

export interface ContainerRecord {
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  readonly image: { readonly id: Digest; readonly reference: string };
  /** RFC 3339. */
  readonly created: string;
  /** The process: entrypoint and arguments. */
  readonly command: readonly string[];
  /** The image's execution parameters with what the command line changed. */
  readonly config: ExecutionConfig;
  readonly driver: Driver;
  /** Removed when it ends (--rm). */
  readonly autoRemove: boolean;
  /** The node that it runs on (`node.ts`). */
  readonly node: NodeId;
  /** Absolute paths of the image's layers, the top one first; without the init layer. */
  readonly lowers: readonly string[];
  /** Per-container mountpoints such as /etc/hosts; lies between `upper` and `lowers` and is never committed. */
  readonly init: string;
  readonly upper: string;
  readonly work: string;
  readonly merged: string;
}
