/**
 * addons.js [--all]: koffi's addon, as the bundled programs look for it: dist/addons/koffi-MACHINE-LIBC.node.
 *
 * Rule: a build takes those for this machine from node_modules; a package for others ("--all") has one for each machine
 * and C library that is supported, and no other.
 */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lockedPackage, withPackage } from './packages.js';

export const MACHINES = ['x64', 'arm64'] as const;
export type Machine = (typeof MACHINES)[number];

/** What koffi calls the C libraries. */
const LIBCS = { glibc: 'linux', musl: 'musl' } as const;
export type Libc = keyof typeof LIBCS;

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ADDONS = join(ROOT, 'dist/addons');

const addonFile = (machine: Machine, libc: Libc): string => join(ADDONS, `koffi-${machine}-${libc}.node`);

/** Puts the addons of one machine in place; returns the files. */
export function provideAddons(machine: Machine): string[] {
  const libcs = Object.keys(LIBCS) as Libc[];
  const files = libcs.map((libc) => addonFile(machine, libc));
  const name = `@koromix/koffi-linux-${machine}`;
  const installed = join(ROOT, 'node_modules', name);
  const copy = (directory: string): void => {
    for (const libc of libcs)
      copyFileSync(join(directory, `${LIBCS[libc]}_${machine}`, 'koffi.node'), addonFile(machine, libc));
  };
  mkdirSync(ADDONS, { recursive: true });
  if (existsSync(installed)) copy(installed);
  else if (!files.every((file) => existsSync(file))) withPackage(lockedPackage(ROOT, name), copy);
  return files;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const all = process.argv.includes('--all');
  for (const machine of MACHINES) if (all || machine === process.arch) provideAddons(machine);
}
