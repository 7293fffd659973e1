/**
 * The init stage: PID 1 of a new container, until it becomes the command.
 *
 * It runs in a pid namespace that the supervisor created, reads its job from the channel (`job.ts`), and sets up the
 * container from inside, in runc's order (linuxStandardInit.Init):
 *
 *     keyring, namespaces, network       namespaces.ts
 *     root, mounts, devices, pivot_root  root.ts, mounts.ts, devices.ts
 *     hostname, sysctls, read-only and masked paths
 *     limits, no_new_privs, ids, capabilities, seccomp
 *     descriptors, signals, execve(2)    execute.ts
 *
 * Rules: everything is synchronous and on the main thread. Nothing is undone on failure: the process exits, and its
 * namespaces end with it.
 */
import { readSync, writeFileSync, writeSync } from 'node:fs';
import { MOUNT_ATTR, PR } from '../../../fs/sys/constants.js';
import { E, unless } from '../../../fs/sys/errno.js';
import { changeMount } from '../../../fs/sys/mount-api.js';
import * as self from '../../../fs/sys/process.js';
import { close, umask } from '../../../fs/sys/syscalls.js';
import { becomeUser, limitCapabilities, setCapabilities, setLimits } from './credentials.js';
import { hasOwnDev, isForeignDev, withoutDevices } from './device-guard.js';
import { makeDevices } from './devices.js';
import { enterDirectory } from './directory.js';
import { environmentOf, execute } from './execute.js';
import { bytes, Failure, step } from './failure.js';
import { makeReadOnly, makeRootReadOnly, mask } from './hidden.js';
import { CHANNEL, EXIT, type Job, type Report } from './job.js';
import { makeMounts } from './mounts.js';
import { enterNamespaces } from './namespaces.js';
import { enterRoot, openRoot } from './root.js';
import { adoptStreams } from './streams.js';

const CHUNK = 65536;
const NEWLINE = 0x0a;
const DEFAULT_UMASK = 0o022;
const SIGKILL = 9;

function receiveJob(): Job {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.alloc(CHUNK);
    const count = readSync(CHANNEL, chunk);
    if (count === 0) process.exit(EXIT.RUNTIME_ERROR); // the supervisor is gone
    chunks.push(chunk.subarray(0, count));
    if (chunk[count - 1] === NEWLINE) return JSON.parse(Buffer.concat(chunks).toString()) as Job;
  }
}

function report(message: Report): void {
  writeSync(CHANNEL, `${JSON.stringify(message)}\n`);
}

const isBrokenPipe = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EPIPE';

const warn = (message: string): void => report({ kind: 'warning', message });

function buildRoot({ spec, root, noPivot, devicesGuarded }: Job): void {
  const { linux } = spec;
  const mounts = devicesGuarded
    ? (spec.mounts ?? [])
    : withoutDevices(spec.mounts ?? [], spec.process.capabilities);
  const fd = openRoot(root, linux.rootfsPropagation);
  if (hasOwnDev(mounts)) changeMount(fd, { set: MOUNT_ATTR.NODEV, recursive: true });
  makeMounts(
    fd,
    mounts,
    linux.namespaces.some(({ type }) => type === 'cgroup'),
  );
  if (!isForeignDev(mounts)) makeDevices(fd, linux.devices ?? [], devicesGuarded);
  enterRoot(fd, noPivot);
  close(fd);
}

function writeSysctls(sysctls: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(sysctls)) {
    try {
      writeFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, value, { flag: 'r+' });
    } catch (error) {
      throw new Failure(
        `cannot set sysctl "${name}" to "${value}": ${(error as NodeJS.ErrnoException).code}`,
      );
    }
  }
}

function setOomScore(score: number): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(score), { flag: 'r+' });
  } catch (error) {
    throw new Failure(`cannot set oomScoreAdj to ${score}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

/** An outer container's seccomp filter may refuse this call; a missing name is only a warning. */
function setName(what: string, name: string, set: (name: string) => void): void {
  const done = unless([E.EPERM], () => {
    set(bytes(name));
    return true;
  });
  if (done === undefined) warn(`cannot set the ${what} to "${name}": not permitted on this host`);
}

function finishRoot({ spec }: Job): void {
  const { hostname, domainname } = spec;
  if (hostname !== undefined) setName('hostname', hostname, self.sethostname);
  if (domainname !== undefined) setName('domainname', domainname, self.setdomainname);
  writeSysctls(spec.linux.sysctl ?? {});
  makeReadOnly(spec.linux.readonlyPaths ?? []);
  mask(spec.linux.maskedPaths ?? []);
}

/** Loads the filter for virtual owners, and waits until the supervisor listens. */
function askAboutOwners(program: string): void {
  const fd = step('cannot load the seccomp filter for virtual owners', () =>
    self.loadSeccompListener(Buffer.from(program, 'base64')),
  );
  report({ kind: 'listener', fd });
  if (readSync(CHANNEL, Buffer.alloc(1)) === 0) process.exit(EXIT.RUNTIME_ERROR); // the supervisor is gone
  close(fd);
}

/** Loading a filter needs no_new_privs or CAP_SYS_ADMIN; without no_new_privs it is loaded before capabilities are dropped. */
function dropPrivileges({ spec: { process }, seccomp, ownerFilter, setsGroups }: Job): void {
  const { capabilities = {}, noNewPrivileges = false, user } = process;
  const load = (): void => {
    if (seccomp === undefined) return;
    const program = Buffer.from(seccomp.program, 'base64');
    step('cannot load the seccomp filter', () => self.loadSeccompFilter(program, seccomp.flags));
  };
  if (noNewPrivileges) self.prctl(PR.SET_NO_NEW_PRIVS, 1);
  else load();
  if (ownerFilter !== undefined) askAboutOwners(ownerFilter);
  limitCapabilities(capabilities);
  const entered = enterDirectory(process.cwd, 'as root');
  becomeUser(user, setsGroups);
  if (!entered) enterDirectory(process.cwd, 'as the user');
  setCapabilities(capabilities, warn);
  if (noNewPrivileges) load();
}

function start(job: Job): never {
  const { spec } = job;
  umask(0);
  self.setsid();
  self.joinSessionKeyring();
  enterNamespaces(spec.linux.namespaces);
  if (spec.process.oomScoreAdj !== undefined) setOomScore(spec.process.oomScoreAdj);
  buildRoot(job);
  finishRoot(job);
  adoptStreams(spec.process.user);
  const environment = environmentOf(spec.process);
  if (spec.root.readonly === true) makeRootReadOnly();
  setLimits([{ type: 'RLIMIT_NOFILE', ...job.openFiles }, ...(spec.process.rlimits ?? [])], warn);
  umask(spec.process.user.umask ?? DEFAULT_UMASK);
  dropPrivileges(job);
  self.prctl(PR.SET_PDEATHSIG, SIGKILL); // a change of ids clears it
  report({ kind: 'ready' }); // fails if the supervisor died before the line above
  self.keepBelow(CHANNEL);
  self.resetSignals();
  return execute(spec.process.args, environment);
}

try {
  start(receiveJob());
} catch (error) {
  const { message } = error as Error;
  const exitCode = error instanceof Failure ? error.exitCode : EXIT.RUNTIME_ERROR;
  // If nobody reads it, the supervisor has ended.
  if (!isBrokenPipe(error)) report({ kind: 'failure', message, exitCode });
  process.exit(exitCode);
}
