/**
 * The record of a container: `ROOT/containers/ID/container.json`, from its creation to its removal.
 *
 * Rule: the record describes the container; only its node knows whether it is running (`container-lock.ts`).
 */
import {
  absolutePath,
  custom,
  flag,
  listOf,
  type Output,
  oneOf,
  struct,
  text,
  word,
} from '../../../fs/input/schema.js';
import { NODE_ID } from '../../host/node.js';
import { type Digest, isDigest } from '../../image/digest.js';
import { EXECUTION } from '../../image/oci.js';

export const DRIVERS = ['unionfs', 'overlay', 'copy'] as const;
/** The storage driver of the root filesystem. */
export type Driver = (typeof DRIVERS)[number];

const ID = /^[0-9a-f]{64}$/;
export const containerId = custom<string>(
  (value) => typeof value === 'string' && ID.test(value),
  '64 hexadecimal digits',
);

export const CONTAINER_RECORD = struct({
  id: containerId,
  name: text,
  image: struct({ id: custom<Digest>(isDigest, 'a sha256 digest'), reference: text }),
  /** RFC 3339. */
  created: text,
  /** The process: entrypoint and arguments. */
  command: listOf(word),
  /** The image's execution parameters with what the command line changed. */
  config: EXECUTION,
  driver: oneOf(DRIVERS),
  /** Removed when it ends (--rm). */
  autoRemove: flag,
  /** The node that it runs on (`host/node.ts`). */
  node: NODE_ID,
  /** Absolute paths of the image's layers, the top one first; without the init layer. */
  lowers: listOf(absolutePath),
  /** Per-container mountpoints such as /etc/hosts; lies between `upper` and `lowers` and is never committed. */
  init: absolutePath,
  upper: absolutePath,
  work: absolutePath,
  merged: absolutePath,
});
export type ContainerRecord = Output<typeof CONTAINER_RECORD>;
