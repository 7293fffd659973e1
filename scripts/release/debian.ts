/**
 * A Debian package for a machine: the same files as the tarball's, below /usr, and what Debian and Ubuntu want beside
 * them (deb(5), Debian Policy).
 *
 * Rule: the AppArmor profile names our own Node, so that no other program of the host may more than before. Where the
 * installed AppArmor is older than 4.0 and cannot read it, postinst disables it, and nothing there needs it.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { version } from '../../cli/version.js';
import { type Machine, ROOT } from '../addons.js';
import { releaseTime } from '../release-time.js';
import { installTree, LIBRARY, NAME, setModes, text } from './tree.js';

const SOURCES = join(ROOT, 'scripts/release/debian');
const ARCHITECTURES: Readonly<Record<Machine, string>> = { x64: 'amd64', arm64: 'arm64' };
const SCRIPTS = ['postinst', 'prerm', 'postrm'];
const DOC = `usr/share/doc/${NAME}`;
const PROFILE = `etc/apparmor.d/${NAME}`;
const EXECUTABLE = 0o755;
const KIB = 1024;
const BEST = 9;
const MAINTAINER = `The ${NAME} authors <${NAME}@invalid.invalid>`;
const MS_PER_S = 1000;
/** The first that have what Node 24 needs. */
const DEPENDS = ['libc6 (>= 2.28)', 'libgcc-s1', 'libstdc++6 (>= 9)', 'libseccomp2'];

/** Makes it; the path of the file. */
export function debianPackage(machine: Machine, work: string, output: string): string {
  const root = join(work, 'root');
  const architecture = ARCHITECTURES[machine];
  installTree(machine, join(root, 'usr'), 'sbin');
  moveZshCompletions(root);
  compressPages(join(root, 'usr/share/man'));
  put(root, `${DOC}/copyright`, copyright(root));
  put(root, `${DOC}/changelog.gz`, gzipSync(changelog(), { level: BEST }));
  put(root, `${DOC}/NEWS.gz`, gzipSync(text('CHANGELOG.md'), { level: BEST }));
  put(root, `usr/share/lintian/overrides/${NAME}`, readFileSync(join(SOURCES, 'lintian-overrides')));
  put(root, PROFILE, readFileSync(join(SOURCES, 'apparmor')));
  const size = Math.ceil(sizeOf(root) / KIB);
  put(root, 'DEBIAN/md5sums', checksums(root));
  put(root, 'DEBIAN/control', control(architecture, size));
  put(root, 'DEBIAN/conffiles', `/${PROFILE}\n`);
  put(root, 'DEBIAN/triggers', readFileSync(join(SOURCES, 'triggers')));
  setModes(root);
  for (const script of SCRIPTS) {
    copyFileSync(join(SOURCES, script), join(root, 'DEBIAN', script));
    chmodSync(join(root, 'DEBIAN', script), EXECUTABLE);
  }
  const file = join(output, `${NAME}_${version()}_${architecture}.deb`);
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(releaseTime()) };
  const settings = ['--root-owner-group', '-Zxz', '-z1'];
  execFileSync('dpkg-deb', [...settings, '--build', root, file], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return file;
}

function put(root: string, path: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

/** Debian's zsh looks for packages' completions in a directory of its own. */
function moveZshCompletions(root: string): void {
  renameSync(join(root, 'usr/share/zsh/site-functions'), join(root, 'usr/share/zsh/vendor-completions'));
}

/** gzip as Debian wants it, without name and time; a page that only names another one names a compressed one. */
function compressPages(directory: string): void {
  execFileSync('find', [directory, '-type', 'f', '-exec', 'gzip', '-9n', '{}', '+']);
}

const find = (root: string, ...tests: string[]): string[] =>
  execFileSync('find', ['.', '-type', 'f', ...tests], { cwd: root, encoding: 'utf8' })
    .trim()
    .split('\n')
    .sort();

function sizeOf(root: string): number {
  const sizes = execFileSync('find', ['.', '-type', 'f', '-printf', '%s\n'], { cwd: root, encoding: 'utf8' });
  return sizes
    .trim()
    .split('\n')
    .reduce((sum, size) => sum + Number(size), 0);
}

function checksums(root: string): string {
  const files = find(root, '!', '-path', `./${PROFILE}`).map((path) => path.slice('./'.length));
  return execFileSync('md5sum', ['--', ...files], { cwd: root, encoding: 'utf8' });
}

function copyright(root: string): string {
  const works = readdirSync(join(root, 'usr', LIBRARY, 'dist/LICENSES')).sort();
  const list = works.map((name) => `  ${name}: /usr/${LIBRARY}/dist/LICENSES/${name}`).join('\n');
  return `${NAME}

${text('LICENSE')}
The package contains other works; their copyright and licences are in these files:

${list}
  system call filter of the Moby project: /usr/${LIBRARY}/runtime/container/seccomp-default.LICENSE

On Debian systems the Apache License 2.0 is also in /usr/share/common-licenses/Apache-2.0.
`;
}

/** In the form of deb-changelog(5). */
function changelog(): string {
  const date = new Date(releaseTime() * MS_PER_S).toUTCString().replace('GMT', '+0000');
  return `${NAME} (${version()}) unstable; urgency=medium

  * What changed is in /usr/share/doc/${NAME}/NEWS.gz.

 -- ${MAINTAINER}  ${date}
`;
}

function control(architecture: string, size: number): string {
  return `Package: ${NAME}
Version: ${version()}
Architecture: ${architecture}
Maintainer: ${MAINTAINER}
Installed-Size: ${size}
Depends: ${DEPENDS.join(', ')}
Recommends: fuse3, uidmap
Section: admin
Priority: optional
Description: union filesystem in userspace and container runtime
 unionfs shows several directories as one, with the semantics of overlayfs,
 served over FUSE. tscr loads and makes images and runs containers of them, as
 root or as an ordinary user, without a daemon, without Docker or overlayfs.
 .
 The package brings its own Node.
`;
}
