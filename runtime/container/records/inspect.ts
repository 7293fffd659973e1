/** What `inspect` tells of a container: its state, files and settings, in the words of `docker container inspect`. */
import type { GraphDriver } from '../../image/inspect/image-details.js';
import type { ExecutionConfig } from '../../image/oci.js';
import { type Status, statusOf } from './containers.js';
import type { ContainerRecord } from './record.js';

export interface State {
  readonly Status: Status['is'];
  readonly Running: boolean;
  /** 0 if it is not running. */
  readonly Pid: number;
  readonly ExitCode: number;
  /** RFC 3339; empty before the end. */
  readonly FinishedAt: string;
}

export interface ContainerDetails {
  readonly Id: string;
  readonly Created: string;
  readonly Path: string;
  readonly Args: readonly string[];
  readonly State: State;
  /** The image's ID. */
  readonly Image: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Config: ExecutionConfig & { readonly Image: string };
  /** LowerDir begins with the init layer. */
  readonly GraphDriver: GraphDriver;
}

/** @param root the store's */
export function inspectContainer(root: string, record: ContainerRecord): ContainerDetails {
  const [path = '', ...args] = record.command;
  return {
    Id: record.id,
    Created: record.created,
    Path: path,
    Args: args,
    State: stateOf(statusOf(root, record)),
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

function stateOf(status: Status): State {
  return {
    Status: status.is,
    Running: status.is === 'running',
    Pid: status.is === 'running' ? status.pid : 0,
    ExitCode: status.is === 'exited' ? status.exitCode : 0,
    FinishedAt: status.is === 'exited' ? status.finished : '',
  };
}
