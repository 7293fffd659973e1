/**
 * The options `-v`, `--mount` and `--tmpfs`, as mounts of the runtime specification.
 *
 * Rules, as docker's: sources and destinations are absolute (a source that begins with "." is relative to the caller's
 * directory), "." and ".." are resolved as text first, and "/" is not allowed as destination. Symlinks of the image in a
 * destination are resolved inside the root when it is mounted.
 */
import { mkdirSync, statSync } from 'node:fs';
import { posix } from 'node:path';
import { UsageError } from '../../../fs/index.js';

/** A mount of config.json ("mounts" of config.md). */
export interface Mount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

export interface MountRequest {
  /** SOURCE:DESTINATION[:OPTIONS] */
  readonly volumes: readonly string[];
  /** type=bind,source=S,target=T[,readonly] */
  readonly mounts: readonly string[];
  /** DESTINATION[:OPTIONS] */
  readonly tmpfs: readonly string[];
}

const PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];
const BIND_OPTIONS = new Set(['ro', 'rw', 'bind', 'rbind', 'nosuid', 'nodev', 'noexec', ...PROPAGATIONS]);
/** Options of docker for SELinux labels and caching that have no effect here. */
const IGNORED_OPTIONS = new Set(['z', 'Z', 'consistent', 'cached', 'delegated', 'nocopy']);
const TMPFS_DEFAULTS = ['noexec', 'nosuid', 'nodev'];

/** The mounts in the order in which they are made: outer destinations first. Throws `UsageError`. */
export function mountsOf(request: MountRequest): Mount[] {
  const all = [...request.volumes.map(volume), ...request.mounts.map(longForm), ...request.tmpfs.map(tmpfs)];
  const twice = all.find(({ destination }, at) => all.findIndex((m) => m.destination === destination) !== at);
  if (twice !== undefined) throw new UsageError(`duplicate mount point "${twice.destination}"`);
  const depth = ({ destination }: Mount): number => destination.split('/').length;
  return all.sort((a, b) => depth(a) - depth(b));
}

function volume(text: string): Mount {
  const [source = '', destination, options = '', ...more] = text.split(':');
  if (destination === undefined || more.length > 0) {
    throw new UsageError(`invalid volume "${text}": use SOURCE:DESTINATION or SOURCE:DESTINATION:OPTIONS`);
  }
  const from = absoluteSource(text, source);
  if (!exists('volume', text, from)) make(text, from);
  return bind(destination, from, options === '' ? [] : options.split(','));
}

function exists(option: 'volume' | 'mount', text: string, path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${option} "${text}": "${path}" cannot be read: ${code}`);
  }
}

/** Creates a missing source directory, as docker does. */
function make(text: string, path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`volume "${text}": "${path}" does not exist and cannot be created: ${code}`);
  }
}

function absoluteSource(text: string, source: string): string {
  if (!source.startsWith('/') && !/^\.{1,2}(\/|$)/.test(source)) {
    throw new UsageError(
      `invalid volume "${text}": named volumes are not implemented; use an absolute path, or one that begins with "./"`,
    );
  }
  return posix.resolve(source);
}

function bind(destination: string, source: string, given: readonly string[]): Mount {
  const options = given.filter((option) => !IGNORED_OPTIONS.has(option));
  const unknown = options.find((option) => !BIND_OPTIONS.has(option));
  if (unknown !== undefined) throw new UsageError(`volume "${destination}": unknown option "${unknown}"`);
  const has = (names: readonly string[]): boolean => names.some((name) => options.includes(name));
  const defaults = [
    ...(has(['bind', 'rbind']) ? [] : ['rbind']),
    ...(has(PROPAGATIONS) ? [] : ['rprivate']),
    'rnodev', // devices are those of /dev
  ];
  return { destination: absolute(destination), type: 'bind', source, options: [...defaults, ...options] };
}

function tmpfs(text: string): Mount {
  const colon = text.indexOf(':');
  const destination = colon < 0 ? text : text.slice(0, colon);
  const options = colon < 0 ? [] : text.slice(colon + 1).split(',');
  const defaults = TMPFS_DEFAULTS.filter((option) => !options.includes(option.replace('no', '')));
  return {
    destination: absolute(destination),
    type: 'tmpfs',
    source: 'tmpfs',
    options: [...defaults, ...options],
  };
}

/** `--mount`: key=value pairs. */
function longForm(text: string): Mount {
  const pairs = new Map(text.split(',').map((pair) => splitPair(pair)));
  const take = (...names: string[]): string | undefined => {
    const name = names.find((candidate) => pairs.has(candidate));
    const value = name === undefined ? undefined : pairs.get(name);
    if (name !== undefined) pairs.delete(name);
    return value;
  };
  const type = take('type') ?? 'volume';
  const source = take('source', 'src');
  const destination = take('target', 'destination', 'dst');
  const readonly = take('readonly', 'ro');
  const propagation = take('bind-propagation');
  const size = take('tmpfs-size');
  const mode = take('tmpfs-mode');
  const [unknown] = pairs.keys();
  if (unknown !== undefined) throw new UsageError(`mount "${text}": unknown key "${unknown}"`);
  if (destination === undefined) throw new UsageError(`invalid mount "${text}": "target" is missing`);
  const isReadOnly = readonly !== undefined && readonly !== 'false' && readonly !== '0';
  const ro = isReadOnly ? ['ro'] : [];
  if (type === 'tmpfs') {
    const sized = [
      ...(size === undefined ? [] : [`size=${size}`]),
      ...(mode === undefined ? [] : [`mode=${mode}`]),
    ];
    return tmpfs(`${destination}:${['exec', ...ro, ...sized].join(',')}`);
  }
  if (type !== 'bind')
    throw new UsageError(`invalid mount "${text}": unknown type "${type}"; use "bind" or "tmpfs"`);
  if (source === undefined) throw new UsageError(`invalid mount "${text}": "source" is missing`);
  const from = absoluteSource(text, source);
  if (!exists('mount', text, from)) throw new UsageError(`mount "${text}": "${source}" does not exist`);
  return bind(destination, from, [...ro, ...(propagation === undefined ? [] : [propagation])]);
}

function splitPair(pair: string): [string, string] {
  const equals = pair.indexOf('=');
  return equals < 0 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
}

function absolute(destination: string): string {
  const path = posix.resolve('/', destination);
  if (!destination.startsWith('/'))
    throw new UsageError(`invalid mount destination "${destination}": use an absolute path`);
  if (path === '/')
    throw new UsageError(`invalid mount destination "${destination}": it is the root directory`);
  return path;
}
