/**
 * Runs the process of a bundle and returns its exit code, as runc does.
 *
 *     supervisor (this process)                        init stage (init/main.ts)
 *        start  ------------------------------------->    Node starts, PID 1 of its namespace
 *        compile the system call filter meanwhile
 *        job  --------------------------------------->    mounts, pivot_root, privileges ...
 *        guardian, signals  <-------------------------    execve: the command is PID 1
 *        wait  <--------------------------------------    its exit ends all other processes inside
 *
 * Rule: when the promise settles, no process and no mount of the container is left.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { parseJson } from '../../../fs/input/document.js';
import { shown } from '../../../fs/input/shown.js';
import { isInitialUserNamespace } from '../../../fs/layers.js';
import { HostError, UsageError } from '../../../fs/sys/refusal.js';
import { catchSignals } from '../../command/signals.js';
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

export { type InitProcess, startInit } from './init-process.js';

export interface RunRequest {
  /** config.json, checked (`checkSpec`); sources of mounts are absolute. */
  readonly spec: RuntimeSpec;
  /** Absolute path of the root as this process sees it. */
  readonly root: string;
  /** Whether the command gets this process's standard input or /dev/null. */
  readonly stdin: Input;
  /** Move the root over "/" and chroot(2) instead of pivot_root(2). */
  readonly noPivot?: boolean;
  /** Virtual owners, for calls with ids that are not mapped; without it the kernel refuses them. */
  readonly owners?: VirtualOwners;
  /** Called with the host's pid once the command runs. */
  readonly onStarted?: (pid: number) => void;
  /** Called with each warning, one line; by default it is printed on standard error. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Runs the command until it exits. Resolves to docker's exit code: the command's own, 128+n for signal n, 126 if it cannot
 * be executed, 127 if it is not found (both with a warning). Rejects with `UsageError` if the container cannot start.
 *
 * @param init an init stage that was started before, to save time; it can be used once
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
 * Moves the stage into a control group with the device rules; undefined if the host permits none. Throws `HostError` if
 * rules of the specification cannot be applied. In a user namespace only bind mounted devices can be opened.
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
    throw new HostError(`cannot apply "linux.resources.devices": ${made.refusal}`);
  return undefined;
}

/** Lets the stage execute the command. @returns the exit code if the command could not be executed */
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
  if (!ready)
    throw new UsageError(
      `the init stage exited without reporting an error, with exit code ${await stage.ended}`,
    );
  return undefined;
}

function printWarning(message: string): void {
  process.stderr.write(`tscr run: ${shown(message)}\n`);
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

/** Whether setgroups(2) is permitted; a user namespace created without privilege has disabled it. */
function setsGroups(): boolean {
  return readFileSync('/proc/self/setgroups', 'utf8').trim() !== 'deny';
}

/** Options of `runBundleDirectory`, as in `RunRequest`. */
export type BundleOptions = Omit<RunRequest, 'spec' | 'root'>;

/** Runs the bundle in a directory; relative paths in config.json start there. As `runBundle`. */
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

/** Sources of bind mounts are relative to the bundle. */
function withAbsoluteSources(spec: RuntimeSpec, directory: string): RuntimeSpec {
  const mounts = (spec.mounts ?? []).map((mount) => {
    const { type, source, options = [] } = mount;
    const binds = type === 'bind' || options.includes('bind') || options.includes('rbind');
    const relative = binds && source !== undefined && !isAbsolute(source);
    return relative ? { ...mount, source: resolve(directory, source) } : mount;
  });
  return { ...spec, mounts };
}
