/** What `inspect` tells of a container's files and settings, in the words of `docker container inspect`. */
import type { GraphDriver } from '../image/inspect.js';
import type { ExecutionConfig } from '../image/oci.js';
import type { ContainerRecord } from './record.js';

export interface ContainerDetails {
  readonly Id: string;
  readonly Created: string;
  readonly Path: string;
  readonly Args: readonly string[];
  /** The image's ID. */
  readonly Image: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Config: ExecutionConfig & { readonly Image: string };
  /** LowerDir begins with the init layer. */
  readonly GraphDriver: GraphDriver;
}

export function inspectContainer(record: ContainerRecord): ContainerDetails {
  const [path = '', ...args] = record.command;
  return {
    Id: record.id,
    Created: record.created,
    Path: path,
    Args: args,
    Image: record.image.id,
    Name: `/${record.name}`,
    Driver: record.driver,
    Config: { ...record.config, Image: record.image.reference },
    GraphDriver: {
      Name: record.driver,
      Data: {
        LowerDir: [record.init, ...record.lowers].join(':'),
        UpperDir: record.upper,
        MergedDir: record.merged,
        WorkDir: record.work,
      },
    },
  };
}
