/**
 * Whether a config.json can be honoured.
 *
 * Rules: a document from outside becomes a `RuntimeSpec` here and nowhere else. What would protect or change something
 * and is not supported is refused by its name, limits of resources as well.
 * Properties that the specification does not have are ignored, as it demands.
 */
import { posix } from 'node:path';
import { UsageError } from '../../fs/union/stack.js';
import { capabilityNumber } from './capabilities.js';
import { ROOT_PROPAGATIONS } from './init/root.js';
import { parseMountOptions } from './mount-options.js';
import { RLIMITS } from './rlimits.js';
import { CAPABILITY_SETS, NAMESPACES, type NamespaceType, type RuntimeSpec } from './runtime-spec.js';

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

/** Kinds of values, by the words that a complaint uses. */
const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  'an object': isObject,
  'a string': (value) => typeof value === 'string' && !value.includes('\0'),
  'an absolute path': (value) => typeof value === 'string' && /^\/[^\0]*$/s.test(value),
  'a number': (value) => typeof value === 'number' && Number.isInteger(value),
  'an id': (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 32 - 1,
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

/** Parts of the specification that are not supported, and mean something when they are there. */
const UNSUPPORTED = {
  '': ['hooks', 'solaris', 'windows', 'vm', 'zos'],
  process: ['terminal', 'apparmorProfile', 'selinuxLabel', 'scheduler', 'ioPriority', 'execCPUAffinity'],
  linux: [
    'uidMappings',
    'gidMappings',
    'timeOffsets',
    'mountLabel',
    'intelRdt',
    'personality',
    'memoryPolicy',
    'netDevices',
  ],
} as const;

function refuseUnsupported(part: keyof typeof UNSUPPORTED, object: Json): void {
  const found = UNSUPPORTED[part].find((name) => !isEmpty(object[name]));
  if (found !== undefined) refuse(`"${part === '' ? '' : `${part}.`}${found}" is not supported`);
}

function checkProcess(process: Json): void {
  refuseUnsupported('process', process);
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
  for (const { type, soft, hard } of objects('process.rlimits', rlimits)) {
    if (!Object.hasOwn(RLIMITS, String(type))) refuse(`there is no limit "${type}"`);
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
      if (capabilityNumber(name) === undefined) refuse(`there is no capability "${name}"`);
    }
  }
}

function checkMount(mount: Json): void {
  const { destination, source, type, options } = mount;
  check('mounts.destination', destination, 'an absolute path');
  if (posix.normalize(String(destination)).replace(/\/$/, '') === '')
    refuse('a mount on "/" would hide the root');
  checkIfAny(`source of "${destination}"`, source, 'a string');
  checkIfAny(`type of "${destination}"`, type, 'a string');
  for (const name of ['uidMappings', 'gidMappings']) {
    if (!isEmpty(mount[name])) refuse(`"${name}" of mount "${destination}" is not supported`);
  }
  const words = strings(`options of "${destination}"`, options);
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
    if (owner === undefined || name.includes('..')) refuse(`sysctl "${name}" belongs to the host`);
    if (!namespaces.has(owner)) refuse(`sysctl "${name}" needs a ${owner} namespace`);
  }
}

function checkLinux(linux: Json): ReadonlySet<NamespaceType> {
  refuseUnsupported('linux', linux);
  const { namespaces, sysctl, maskedPaths, readonlyPaths, devices, rootfsPropagation, seccomp } = linux;
  const found = checkNamespaces(namespaces);
  checkSysctls(sysctl, found);
  elements('linux.maskedPaths', maskedPaths, 'an absolute path');
  elements('linux.readonlyPaths', readonlyPaths, 'an absolute path');
  objects('linux.devices', devices).forEach(checkDevice);
  if (!isEmpty(rootfsPropagation) && !ROOT_PROPAGATIONS.includes(String(rootfsPropagation)))
    refuse(`"linux.rootfsPropagation" is "${rootfsPropagation}"; supported: ${ROOT_PROPAGATIONS.join(', ')}`);
  checkSeccomp(seccomp);
  return found;
}

function checkDevice(device: Json): void {
  const { path, type } = device;
  check('linux.devices.path', path, 'an absolute path');
  if (!['c', 'u', 'b', 'p'].includes(String(type))) refuse(`device "${path}" has the type "${type}"`);
  for (const name of ['major', 'minor', 'fileMode', 'uid', 'gid'])
    checkIfAny(`linux.devices.${name}`, device[name], 'a number');
}

function checkSeccomp(seccomp: unknown): void {
  if (seccomp === undefined) return;
  check('linux.seccomp', seccomp, 'an object');
  const { defaultAction, listenerPath, syscalls, architectures, flags } = seccomp as Json;
  check('linux.seccomp.defaultAction', defaultAction, 'a string');
  if (!isEmpty(listenerPath)) refuse('"linux.seccomp.listenerPath" is not supported');
  strings('linux.seccomp.architectures', architectures);
  strings('linux.seccomp.flags', flags);
  for (const { names, action, args } of objects('linux.seccomp.syscalls', syscalls)) {
    strings('linux.seccomp.syscalls.names', names);
    check('linux.seccomp.syscalls.action', action, 'a string');
    for (const { index, value, op } of objects('linux.seccomp.syscalls.args', args)) {
      check('linux.seccomp.syscalls.args.index', index, 'a number');
      check('linux.seccomp.syscalls.args.value', value, 'a number');
      check('linux.seccomp.syscalls.args.op', op, 'a string');
    }
  }
}

/** Device rules are applied; no limit is. */
function checkResources(resources: unknown): void {
  if (isEmpty(resources)) return;
  check('linux.resources', resources, 'an object');
  const { devices, ...limits } = resources as Json;
  const limit = Object.keys(limits).find((name) => !isEmpty(limits[name]));
  if (limit !== undefined) refuse(`"linux.resources.${limit}" is not supported`);
  for (const { allow, type, major, minor, access } of objects('linux.resources.devices', devices)) {
    check('linux.resources.devices.allow', allow, 'a boolean');
    if (!isEmpty(type) && !['a', 'b', 'c', 'u'].includes(String(type)))
      refuse(`"linux.resources.devices" has the type "${type}"`);
    checkIfAny('linux.resources.devices.major', major, 'a number');
    checkIfAny('linux.resources.devices.minor', minor, 'a number');
    if (!isEmpty(access) && !/^[rwm]+$/.test(String(access)))
      refuse(`"linux.resources.devices" has the access "${access}"`);
  }
}

/** A path below the hierarchy; systemd's form names a unit of its own. */
function checkCgroupsPath(path: unknown): void {
  if (isEmpty(path)) return;
  check('linux.cgroupsPath', path, 'a string');
  if (String(path).split('/').includes('..') || /^[^/]*:[^/]*:[^/]*$/.test(String(path)))
    refuse(`"linux.cgroupsPath" is "${path}"; give a path of names`);
}

/** Checks a parsed config.json. Throws `UsageError` that names the first thing that cannot be honoured. */
export function checkSpec(document: unknown): CheckedSpec {
  if (!isObject(document)) refuse('it is not an object');
  const { ociVersion, process, root, linux, mounts, hostname, domainname } = document;
  check('ociVersion', ociVersion, 'a string');
  if (!String(ociVersion).startsWith('1.')) refuse(`version "${ociVersion}" is unknown`);
  refuseUnsupported('', document);
  for (const [name, part] of Object.entries({ process, root, linux })) check(name, part, 'an object');
  checkRoot(root as Json);
  checkProcess(process as Json);
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

function checkRoot({ path, readonly }: Json): void {
  check('root.path', path, 'a string');
  checkIfAny('root.readonly', readonly, 'a boolean');
}
