/**
 * Docker's default system call filter, as a specification for one set of capabilities.
 *
 * The profile is data: `seccomp-default.json` is seccomp/default.json of github.com/moby/profiles at commit cd3bed8,
 * Apache License 2.0, only reformatted. Compare with moby's seccomp.LoadProfile, which chooses among its rules by
 * capabilities, architecture and kernel version as this does.
 */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { Architecture } from '../../../fs/sys/architecture.js';
import { HERE } from '../../../fs/sys/machine.js';
import { packageFile } from '../../host/package.js';
import type { SeccompRule, SeccompSpec } from './runtime-spec.js';

interface Condition {
  readonly caps?: readonly string[];
  /** In Go's names: "amd64", "arm64" ... */
  readonly arches?: readonly string[];
  /** "MAJOR.MINOR" */
  readonly minKernel?: string;
}

interface ProfileRule extends SeccompRule {
  readonly includes?: Condition;
  readonly excludes?: Condition;
}

interface Profile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly archMap: readonly {
    readonly architecture: string;
    readonly subArchitectures: readonly string[] | null;
  }[];
  readonly syscalls: readonly ProfileRule[];
}

const PROFILE = packageFile('runtime/container/seccomp-default.json');

function kernelIsAtLeast(version: string): boolean {
  const numbers = (text: string): number[] => text.split(/[.-]/).map(Number);
  const [major = 0, minor = 0] = numbers(release());
  const [wantedMajor = 0, wantedMinor = 0] = numbers(version);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

/** Docker's default filter for a process whose bounding set is `capabilities` ("CAP_CHOWN" ...). */
export function defaultSeccomp(capabilities: readonly string[], machine: Architecture = HERE): SeccompSpec {
  const profile = JSON.parse(readFileSync(PROFILE, 'utf8')) as Profile;
  const has = (name: string): boolean => capabilities.includes(name);
  const here = (name: string): boolean => name === machine.go;
  const applies = ({ includes = {}, excludes = {} }: ProfileRule): boolean =>
    (includes.caps?.every(has) ?? true) &&
    (includes.arches?.some(here) ?? true) &&
    (includes.minKernel === undefined || kernelIsAtLeast(includes.minKernel)) &&
    !(excludes.caps?.some(has) ?? false) &&
    !(excludes.arches?.some(here) ?? false) &&
    (excludes.minKernel === undefined || !kernelIsAtLeast(excludes.minKernel));
  const family = profile.archMap.find(({ architecture }) => architecture === machine.scmp);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet !== undefined && { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(family && { architectures: [family.architecture, ...(family.subArchitectures ?? [])] }),
    syscalls: profile.syscalls.filter(applies).map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet !== undefined && { errnoRet }),
      ...(args !== undefined && { args }),
    })),
  };
}
