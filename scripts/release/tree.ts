/**
 * The installed files: one directory for the programs, with a Node of their own, and links and pages in those of the
 * system.
 *
 *     lib/tscr-unionfs/        package.json, VERSION, LICENSE, the programs, node, the addons, licences
 *     bin/, sbin/              links to the launchers
 *     share/                   manual pages, completions
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { version } from '../../cli/version.js';
import { type Machine, provideAddons, ROOT } from '../addons.js';
import { lockedPackage, type Pin, withPackage } from '../packages.js';

export const NAME = 'tscr-unionfs';
/** In a prefix such as /usr. */
export const LIBRARY = `lib/${NAME}`;
const PROGRAMS = `${LIBRARY}/dist/bin`;
const LICENSES = `${LIBRARY}/dist/LICENSES`;
/** What a link that is no launcher's own name is called, by the launcher. */
const COMMANDS = { unionfs: 'unionfs', 'unionfs-overlay': 'unionfs', tscr: 'tscr' } as const;
export const MOUNT_HELPER = 'mount.fuse.unionfs';

const NODE_VERSION = '24.21.0';
const NODE_DIGESTS: Readonly<Record<Machine, string>> = {
  x64: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
  arm64: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
};

const nodePin = (machine: Machine): Pin => ({
  name: `node-linux-${machine}`,
  version: NODE_VERSION,
  integrity: NODE_DIGESTS[machine],
});

/** What of the repository and the build is installed as it is. */
const COPIED = [
  'package.json',
  'LICENSE',
  'dist/bin',
  'dist/LICENSES',
  'runtime/container/seccomp-default.json',
  'runtime/container/seccomp-default.LICENSE',
];

/** Puts the files below `prefix`. @param helper the directory of the helper that mount(8) calls */
export function installTree(machine: Machine, prefix: string, helper: 'bin' | 'sbin'): void {
  const library = join(prefix, LIBRARY);
  for (const path of COPIED) {
    mkdirSync(dirname(join(library, path)), { recursive: true });
    cpSync(join(ROOT, path), join(library, path), { recursive: true });
  }
  mkdirSync(join(library, 'dist/addons'));
  for (const file of provideAddons(machine)) {
    if (file.endsWith('glibc.node'))
      writeFileSync(join(library, file.slice(ROOT.length)), readFileSync(file));
  }
  withPackage(nodePin(machine), (directory) => {
    copyFileSync(join(directory, 'bin/node'), join(prefix, PROGRAMS, 'node'));
    copyFileSync(join(directory, 'LICENSE'), join(prefix, LICENSES, 'node'));
  });
  writeFileSync(join(library, 'VERSION'), versions(machine));
  for (const [name, launcher] of Object.entries(COMMANDS)) link(prefix, 'bin', name, launcher);
  link(prefix, helper, MOUNT_HELPER, COMMANDS.unionfs);
  cpSync(join(ROOT, 'dist/share'), join(prefix, 'share'), { recursive: true });
}

function link(prefix: string, directory: string, name: string, launcher: string): void {
  mkdirSync(join(prefix, directory), { recursive: true });
  symlinkSync(join('..', PROGRAMS, launcher), join(prefix, directory, name));
}

function versions(machine: Machine): string {
  const { version: koffi } = lockedPackage(ROOT, 'koffi');
  const parts = {
    [NAME]: version(),
    commit: commit(),
    machine: `linux-${machine}`,
    node: NODE_VERSION,
    koffi,
  };
  return Object.entries(parts)
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
}

function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, stdio: 'pipe' }).toString().trim();
  } catch {
    return 'unknown';
  }
}

/** Modes that no umask has touched. */
export function setModes(directory: string): void {
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', directory]);
}

export const text = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
