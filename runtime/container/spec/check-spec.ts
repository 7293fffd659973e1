/**
 * Checks a config.json.
 *
 * Rules: a document from outside becomes a `RuntimeSpec` only here. Every property of config.md and config-linux.md is
 * either checked below and applied, or is in the table `NOT_SUPPORTED` and refused by its name if it requests anything.
 * As the specification demands, these are ignored: annotations, "consoleSize" without a terminal, and unknown properties.
 */
import { posix } from 'node:path';
import { UsageError } from '../../../fs/sys/refusal.js';
import { capabilityNumber } from '../../host/capabilities.js';
import { parseMountOptions } from './mount-options.js';
import { RLIMITS } from './rlimits.js';
import {
  CAPABILITY_SETS,
  NAMESPACES,
  type NamespaceType,
  ROOT_PROPAGATIONS,
  type RuntimeSpec,
} from './runtime-spec.js';

export interface CheckedSpec {
  readonly spec: RuntimeSpec;
}

type Json = Readonly<Record<string, unknown>>;

function refuse(message: string): never {
  throw new UsageError(`config.json: ${message}`);
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === '') return true;
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.values(value).every(isEmpty);
}

/** Kinds of values, by their name in messages. */
const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  'an object': isObject,
  'a string': (value) => typeof value === 'string' && !value.includes('\0'),
  'an absolute path': (value) => typeof value === 'string' && /^\/[^\0]*$/s.test(value),
  'a number': (value) => typeof value === 'number' && Number.isInteger(value),
  'an id': (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32 - 1,
  'a 16-bit number': (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 16,
  'a boolean': (value) => typeof value === 'boolean',
};

function check(name: string, value: unknown, kind: string): void {
  if (value === undefined) refuse(`"${name}" is missing`);
  if (KINDS[kind]?.(value) !== true) refuse(`"${name}" is ${JSON.stringify(value)}, not ${kind}`);
}

function checkIfAny(name: string, value: unknown, kind: string): void {
  if (value !== undefined) check(name, value, kind);
}

/** The elements of an optional list, each of a kind. */
function elements(name: string, value: unknown, kind: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) refuse(`"${name}" is not a list`);
  for (const [index, element] of value.entries()) check(`${name}[${index}]`, element, kind);
  return value;
}

const objects = (name: string, value: unknown): Json[] => elements(name, value, 'an object') as Json[];
const strings = (name: string, value: unknown): string[] => elements(name, value, 'a string') as string[];

/** Properties that are not applied; "[]" stands for each element of a list. */
const NOT_SUPPORTED: readonly string[] = [
  ...['hooks', 'solaris', 'windows', 'vm', 'zos', 'freebsd'],
  ...['process.terminal', 'process.commandLine', 'process.user.username'],
  ...['process.apparmorProfile', 'process.selinuxLabel'],
  ...['process.scheduler', 'process.ioPriority', 'process.execCPUAffinity'],
  ...['mounts[].uidMappings', 'mounts[].gidMappings'],
  ...['linux.uidMappings', 'linux.gidMappings', 'linux.timeOffsets'],
  ...['linux.mountLabel', 'linux.intelRdt', 'linux.personality', 'linux.memoryPolicy', 'linux.netDevices'],
  ...['linux.resources.memory', 'linux.resources.cpu', 'linux.resources.pids', 'linux.resources.blockIO'],
  ...['linux.resources.hugepageLimits', 'linux.resources.network', 'linux.resources.rdma'],
  'linux.resources.unified',
  ...['linux.seccomp.listenerPath', 'linux.seccomp.listenerMetadata'],
];

/** Maps with arbitrary keys: every key requests something, whatever its value. */
const MAPS: readonly string[] = ['linux.netDevices', 'linux.resources.rdma', 'linux.resources.unified'];

/** The values at a dotted path of the table, each with its own path ("mounts[0].uidMappings"). */
function* valuesAt(
  value: unknown,
  steps: readonly string[],
  name = '',
): Generator<[name: string, value: unknown]> {
  const [step, ...rest] = steps;
  if (step === undefined) {
    yield [name, value];
  } else if (step === '[]') {
    for (const [index, element] of Array.isArray(value) ? value.entries() : [])
      yield* valuesAt(element, rest, `${name}[${index}]`);
  } else if (isObject(value)) {
    yield* valuesAt(value[step], rest, name === '' ? step : `${name}.${step}`);
  }
}

/** The path of the first value that is not empty: of the value itself, or inside an object. */
function whatIsAsked(name: string, value: unknown): string | undefined {
  if (isEmpty(value)) return undefined;
  const [key] = isObject(value) ? (Object.entries(value).find(([, held]) => !isEmpty(held)) ?? []) : [];
  return key === undefined ? name : whatIsAsked(`${name}.${key}`, (value as Json)[key]);
}

function refuseUnsupported(document: Json): void {
  for (const path of NOT_SUPPORTED) {
    for (const [name, value] of valuesAt(document, path.replaceAll('[]', '.[]').split('.'))) {
      const [key] = MAPS.includes(path) && isObject(value) ? Object.keys(value) : [];
      const asked = key === undefined ? whatIsAsked(name, value) : `${name}.${key}`;
      if (asked !== undefined) refuse(`"${asked}" is not supported`);
    }
  }
}

function checkProcess(process: Json): void {
  const { args, env, cwd, user, noNewPrivileges, oomScoreAdj, capabilities, rlimits } = process;
  if (strings('process.args', args).length === 0) refuse('"process.args" is empty');
  for (const entry of strings('process.env', env)) {
    if (!/^[^=]+=/.test(entry)) refuse(`"process.env" has "${entry}", not NAME=VALUE`);
  }
  check('process.cwd', cwd, 'an absolute path');
  check('process.user', user, 'an object');
  checkUser(user as Json);
  checkIfAny('process.noNewPrivileges', noNewPrivileges, 'a boolean');
  checkIfAny('process.oomScoreAdj', oomScoreAdj, 'a number');
  checkCapabilities(capabilities);
  const limits = objects('process.rlimits', rlimits);
  for (const [index, { type, soft, hard }] of limits.entries()) {
    check(`process.rlimits[${index}].type`, type, 'a string');
    if (limits.findIndex((other) => other['type'] === type) !== index)
      refuse(`"process.rlimits" has "${type}" twice`);
    if (!Object.hasOwn(RLIMITS, String(type))) refuse(`unknown limit "${type}"`);
    check(`${type}.soft`, soft, 'a number');
    check(`${type}.hard`, hard, 'a number');
    if (Number(soft) < 0 || Number(soft) > Number(hard)) refuse(`"${type}": soft is not between 0 and hard`);
  }
}

function checkUser({ uid, gid, umask, additionalGids }: Json): void {
  check('process.user.uid', uid, 'an id');
  check('process.user.gid', gid, 'an id');
  checkIfAny('process.user.umask', umask, 'an id');
  elements('process.user.additionalGids', additionalGids, 'an id');
}

function checkCapabilities(capabilities: unknown): void {
  if (capabilities === undefined) return;
  check('process.capabilities', capabilities, 'an object');
  for (const set of CAPABILITY_SETS) {
    for (const name of strings(`process.capabilities.${set}`, (capabilities as Json)[set])) {
      if (capabilityNumber(name) === undefined) refuse(`unknown capability "${name}"`);
    }
  }
}

/** Options that a runtime would have to implement. */
const RUNTIME_OPTIONS: readonly string[] = ['idmap', 'ridmap', 'tmpcopyup'];

function checkMount(mount: Json): void {
  const { destination, source, type, options } = mount;
  check('mounts.destination', destination, 'an absolute path');
  if (posix.normalize(String(destination)).replace(/\/$/, '') === '')
    refuse('a mount on "/" would hide the root');
  checkIfAny(`source of "${destination}"`, source, 'a string');
  checkIfAny(`type of "${destination}"`, type, 'a string');
  const words = strings(`options of "${destination}"`, options);
  const unapplied = words.find((word) => RUNTIME_OPTIONS.includes(word));
  if (unapplied !== undefined) refuse(`option "${unapplied}" of mount "${destination}" is not supported`);
  const { bind, data } = parseMountOptions(type as string | undefined, words);
  if (!bind && type === undefined) refuse(`mount "${destination}" has no type`);
  if (!bind) return;
  if (source === undefined) refuse(`mount "${destination}" has no source`);
  const [unknown] = data;
  if (unknown !== undefined) refuse(`option "${unknown[0]}" of mount "${destination}" is not supported`);
}

const REQUIRED_NAMESPACES: readonly NamespaceType[] = ['mount', 'pid'];

function checkNamespaces(list: unknown): Set<NamespaceType> {
  const found = new Set<NamespaceType>();
  for (const { type: name, path } of objects('linux.namespaces', list)) {
    const type = NAMESPACES.find((known) => known === name);
    if (type === undefined) refuse(`namespaces of type "${name}" are not supported`);
    if (found.has(type)) refuse(`"linux.namespaces" has "${type}" twice`);
    found.add(type);
    checkIfAny(`path of namespace "${type}"`, path, 'an absolute path');
    if (REQUIRED_NAMESPACES.includes(type) && path !== undefined)
      refuse(`joining a namespace of type "${type}" is not supported`);
  }
  const missing = REQUIRED_NAMESPACES.find((type) => !found.has(type));
  if (missing !== undefined) refuse(`"linux.namespaces" must have "${missing}"`);
  return found;
}

/** sysctls that belong to a namespace, by the namespace; others would change the host. Compare with runc's validator. */
const SYSCTLS: readonly [NamespaceType, RegExp][] = [
  ['network', /^net\.[\w.-]+$/],
  ['ipc', /^(kernel\.(msg\w+|sem|shm\w+)|fs\.mqueue\.\w+)$/],
  ['uts', /^kernel\.(hostname|domainname)$/],
];

function checkSysctls(sysctls: unknown, namespaces: ReadonlySet<NamespaceType>): void {
  if (sysctls === undefined) return;
  check('linux.sysctl', sysctls, 'an object');
  for (const [name, value] of Object.entries(sysctls as Json)) {
    check(`linux.sysctl.${name}`, value, 'a string');
    const [owner] = SYSCTLS.find(([, pattern]) => pattern.test(name)) ?? [];
    if (owner === undefined || name.includes('..'))
      refuse(`sysctl "${name}" is not namespaced; it would change the host`);
    if (!namespaces.has(owner)) refuse(`sysctl "${name}" needs a ${owner} namespace`);
  }
}

function checkLinux(linux: Json): ReadonlySet<NamespaceType> {
  const { namespaces, sysctl, maskedPaths, readonlyPaths, devices, rootfsPropagation, seccomp } = linux;
  const found = checkNamespaces(namespaces);
  checkSysctls(sysctl, found);
  elements('linux.maskedPaths', maskedPaths, 'an absolute path');
  elements('linux.readonlyPaths', readonlyPaths, 'an absolute path');
  objects('linux.devices', devices).forEach(checkDevice);
  if (!isEmpty(rootfsPropagation) && !ROOT_PROPAGATIONS.some((known) => known === rootfsPropagation))
    refuse(`"linux.rootfsPropagation" is "${rootfsPropagation}"; supported: ${ROOT_PROPAGATIONS.join(', ')}`);
  checkSeccomp(seccomp);
  return found;
}

function checkDevice(device: Json): void {
  const { path, type } = device;
  check('linux.devices.path', path, 'an absolute path');
  if (!['c', 'u', 'b', 'p'].includes(String(type))) refuse(`invalid type "${type}" of device "${path}"`);
  for (const name of ['major', 'minor', 'fileMode', 'uid', 'gid'])
    checkIfAny(`linux.devices.${name}`, device[name], 'a number');
}

function checkSeccomp(seccomp: unknown): void {
  if (seccomp === undefined) return;
  check('linux.seccomp', seccomp, 'an object');
  const { defaultAction, defaultErrnoRet, syscalls, architectures, flags } = seccomp as Json;
  check('linux.seccomp.defaultAction', defaultAction, 'a string');
  checkErrno('linux.seccomp.defaultErrnoRet', defaultErrnoRet, String(defaultAction));
  strings('linux.seccomp.architectures', architectures);
  strings('linux.seccomp.flags', flags);
  for (const { names, action, errnoRet, args } of objects('linux.seccomp.syscalls', syscalls)) {
    strings('linux.seccomp.syscalls.names', names);
    check('linux.seccomp.syscalls.action', action, 'a string');
    checkErrno('linux.seccomp.syscalls.errnoRet', errnoRet, String(action));
    for (const { index, value, valueTwo, op } of objects('linux.seccomp.syscalls.args', args)) {
      check('linux.seccomp.syscalls.args.index', index, 'a number');
      check('linux.seccomp.syscalls.args.value', value, 'a number');
      checkIfAny('linux.seccomp.syscalls.args.valueTwo', valueTwo, 'a number');
      check('linux.seccomp.syscalls.args.op', op, 'a string');
    }
  }
}

/** Actions that return a number; for others "the runtime MUST print an error and fail". */
const ACTIONS_WITH_ERRNO: readonly string[] = ['SCMP_ACT_ERRNO', 'SCMP_ACT_TRACE'];

function checkErrno(name: string, value: unknown, action: string): void {
  if (value === undefined) return;
  check(name, value, 'a 16-bit number');
  if (!ACTIONS_WITH_ERRNO.includes(action)) refuse(`"${name}" is not allowed with the action "${action}"`);
}

/** Device rules; limits are in `NOT_SUPPORTED`. */
function checkResources(resources: unknown): void {
  if (isEmpty(resources)) return;
  check('linux.resources', resources, 'an object');
  const { devices } = resources as Json;
  for (const { allow, type, major, minor, access } of objects('linux.resources.devices', devices)) {
    check('linux.resources.devices.allow', allow, 'a boolean');
    if (!isEmpty(type) && !['a', 'b', 'c', 'u'].includes(String(type)))
      refuse(`invalid type "${type}" in "linux.resources.devices"`);
    checkIfAny('linux.resources.devices.major', major, 'a number');
    checkIfAny('linux.resources.devices.minor', minor, 'a number');
    if (!isEmpty(access) && !/^[rwm]+$/.test(String(access)))
      refuse(`invalid access "${access}" in "linux.resources.devices"`);
  }
}

/** A path below the hierarchy; systemd's form names a unit of its own. */
function checkCgroupsPath(path: unknown): void {
  if (isEmpty(path)) return;
  check('linux.cgroupsPath', path, 'a string');
  if (String(path).split('/').includes('..') || /^[^/]*:[^/]*:[^/]*$/.test(String(path)))
    refuse(`invalid "linux.cgroupsPath" "${path}"; use a path without ".."`);
}

/** Checks a parsed config.json. Throws `UsageError` with the first property that is invalid or not supported. */
export function checkSpec(document: unknown): CheckedSpec {
  if (!isObject(document)) refuse('not a JSON object');
  const { ociVersion, process, root, linux, mounts, hostname, domainname, annotations } = document;
  check('ociVersion', ociVersion, 'a string');
  if (!String(ociVersion).startsWith('1.')) refuse(`unsupported ociVersion "${ociVersion}"; use 1.x`);
  refuseUnsupported(document);
  for (const [name, part] of Object.entries({ process, root, linux })) check(name, part, 'an object');
  checkRoot(root as Json);
  checkProcess(process as Json);
  checkAnnotations(annotations);
  objects('mounts', mounts).forEach(checkMount);
  const namespaces = checkLinux(linux as Json);
  for (const [name, value] of Object.entries({ hostname, domainname })) {
    checkIfAny(name, value, 'a string');
    if (!isEmpty(value) && !namespaces.has('uts')) refuse(`"${name}" needs a uts namespace`);
  }
  const { resources, cgroupsPath } = linux as Json;
  checkResources(resources);
  checkCgroupsPath(cgroupsPath);
  return { spec: document as unknown as RuntimeSpec };
}

/** Keys are arbitrary; values are strings. */
function checkAnnotations(annotations: unknown): void {
  if (annotations === undefined || annotations === null) return;
  check('annotations', annotations, 'an object');
  for (const [key, value] of Object.entries(annotations as Json))
    check(`annotations.${key}`, value, 'a string');
}

function checkRoot({ path, readonly }: Json): void {
  check('root.path', path, 'a string');
  checkIfAny('root.readonly', readonly, 'a boolean');
}
