/**
 * From a bundle to a process and its exit code: what runc does.
 *
 *     supervisor (this process)                        init stage (init/main.ts)
 *        start  ------------------------------------->    Node starts, PID 1 of its namespace
 *        compile the system call filter meanwhile
 *        job  --------------------------------------->    mounts, pivot_root, privileges ...
 *        guardian, signals  <-------------------------    execve: the command is PID 1
 *        wait  <--------------------------------------    its end ends whatever else runs inside
 *
 * Rule: when the promise settles, no process of the container is left; mounts went with its namespace.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { parseJson } from '../../../fs/input/document.js';
import { shown } from '../../../fs/input/shown.js';
import { isInitialUserNamespace } from '../../../fs/layers.js';
import { HostError, UsageError } from '../../../fs/sys/refusal.js';
import { rulesOf } from '../cgroup/device-rules.js';
import { makeDeviceGroup } from '../cgroup/devices.js';
import type { Group } from '../cgroup/group.js';
import { EXIT, type Job } from '../init/job.js';
import { OwnerService, type VirtualOwners } from '../owners/service.js';
import { checkSpec } from '../spec/check-spec.js';
import type { RuntimeSpec } from '../spec/runtime-spec.js';
import { fileLimits } from './file-limits.js';
import { Guardian } from './guardian.js';
import { type InitProcess, type Input, startInit } from './init-process.js';
import { compileSeccomp } from './seccomp.js';
import { catchSignals } from './signals.js';

export { type InitProcess, startInit } from './init-process.js';

export interface RunRequest {
  /** config.json, checked (`checkSpec`); sources of mounts are absolute. */
  readonly spec: RuntimeSpec;
  /** Absolute path of the root as this process sees it. */
  readonly root: string;
  /** Whether the command reads this process's standard input, or nothing. */
  readonly stdin: Input;
  /** Move the root over "/" and chroot(2) instead of pivot_root(2). */
  readonly noPivot?: boolean;
  /** How to answer calls with ids that do not exist in this user namespace; without it the kernel refuses them. */
  readonly owners?: VirtualOwners;
  /** Called with the host's pid once the command runs. */
  readonly onStarted?: (pid: number) => void;
  /** Called for what is done differently from what was asked; one line, standard error by default. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Runs the command to its end; resolves to docker's exit code: the command's own, 128 and the number of the signal that
 * killed it, 126 if it cannot be executed, 127 if it is not there (both with a line through `onWarning`). Rejects with
 * `UsageError` if the container cannot start.
 *
 * @param init an init stage started before, to save time; it is used up.
 */
export async function runBundle(request: RunRequest, init?: InitProcess): Promise<number> {
  const stage = init ?? startInit(request.stdin);
  const early: NodeJS.Signals[] = [];
  let receive = (signal: NodeJS.Signals): void => void early.push(signal);
  const release = catchSignals((signal) => receive(signal));
  const owners = request.owners && new OwnerService(request.owners);
  let devices: Group | undefined;
  try {
    devices = await enterDeviceGroup(stage, request);
    const failure = await start(stage, request, owners, devices !== undefined);
    if (failure !== undefined) return failure;
    const guardian = new Guardian(stage.pid);
    receive = (signal) => stage.kill(signal);
    for (const signal of early) stage.kill(signal);
    request.onStarted?.(stage.pid);
    const code = await stage.ended;
    await guardian.dismiss();
    return code;
  } catch (error) {
    stage.kill('SIGKILL');
    await stage.ended;
    throw error;
  } finally {
    await devices?.remove();
    await owners?.end();
    release();
  }
}

const GROUP_NAME_BYTES = 8;

/**
 * Puts the stage into a control group that holds the device rules; undefined where the host lets none be made. Throws
 * `HostError` if the rules of a specification cannot be kept so. A user namespace opens no devices but those it is shown.
 */
async function enterDeviceGroup(stage: InitProcess, { spec }: RunRequest): Promise<Group | undefined> {
  if (!isInitialUserNamespace()) return undefined;
  const given = spec.linux.resources?.devices ?? [];
  const made = makeDeviceGroup({
    name: randomBytes(GROUP_NAME_BYTES).toString('hex'),
    path: spec.linux.cgroupsPath,
    rules: rulesOf(given),
  });
  if ('group' in made) {
    await made.group.join(stage.pid);
    return made.group;
  }
  if (given.some(({ allow }) => allow))
    throw new HostError(`the rules of "linux.resources.devices" cannot be kept: ${made.refusal}`);
  return undefined;
}

/** Brings the stage to its command; the exit code if the command could not be executed. */
async function start(
  stage: InitProcess,
  request: RunRequest,
  owners: OwnerService | undefined,
  hasDeviceGroup: boolean,
): Promise<number | undefined> {
  const { onWarning = printWarning } = request;
  let ready = false;
  for await (const report of stage.run(jobOf(request, owners, hasDeviceGroup))) {
    if (report.kind === 'warning') onWarning(report.message);
    else if (report.kind === 'ready') ready = true;
    else if (report.kind === 'listener') {
      owners?.serve(stage.pid, report.fd);
      stage.goOn();
    } else if (report.exitCode === EXIT.RUNTIME_ERROR) throw new UsageError(report.message);
    else {
      onWarning(report.message);
      return stage.ended;
    }
  }
  if (!ready) throw new UsageError(`the init stage ended early, with exit code ${await stage.ended}`);
  return undefined;
}

function printWarning(message: string): void {
  process.stderr.write(`tscr: ${shown(message)}\n`);
}

function jobOf(
  { spec, root, noPivot = false }: RunRequest,
  owners: OwnerService | undefined,
  hasDeviceGroup: boolean,
): Job {
  const { seccomp } = spec.linux;
  const filter = seccomp && compileSeccomp(seccomp);
  return {
    spec,
    root,
    noPivot,
    devicesGuarded: hasDeviceGroup || !isInitialUserNamespace(),
    setsGroups: setsGroups(),
    openFiles: fileLimits(),
    ...(owners && { ownerFilter: owners.filter.toString('base64') }),
    ...(filter && { seccomp: { program: filter.program.toString('base64'), flags: filter.flags } }),
  };
}

/** A user namespace that was made without privilege has given it up. */
function setsGroups(): boolean {
  return readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'deny';
}

/** Options of `runBundleDirectory`, as in `RunRequest`. */
export type BundleOptions = Omit<RunRequest, 'spec' | 'root'>;

/** Runs the bundle in a directory: its config.json, whose paths are relative to it. As `runBundle`. */
export async function runBundleDirectory(directory: string, options: BundleOptions): Promise<number> {
  const { spec } = checkSpec(readConfig(directory));
  const root = resolve(directory, spec.root.path);
  return runBundle({ ...options, spec: withAbsoluteSources(spec, directory), root });
}

function readConfig(directory: string): unknown {
  const path = join(directory, 'config.json');
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UsageError(`cannot read "${path}": ${(error as NodeJS.ErrnoException).code}`);
  }
  return parseJson(bytes, `"${path}"`);
}

/** The specification takes the sources of binds as relative to the bundle. */
function withAbsoluteSources(spec: RuntimeSpec, directory: string): RuntimeSpec {
  const mounts = (spec.mounts ?? []).map((mount) => {
    const { type, source, options = [] } = mount;
    const binds = type === 'bind' || options.includes('bind') || options.includes('rbind');
    const relative = binds && source !== undefined && !isAbsolute(source);
    return relative ? { ...mount, source: resolve(directory, source) } : mount;
  });
  return { ...spec, mounts };
}
