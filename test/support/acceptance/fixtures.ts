/**
 * Material for the steps of the long test: the source of a real program from Debian's archive, and a real
 * git repository with hundreds of commits. Made on the host, cached, then copied into the union.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { run } from '../run.js';
import { cached } from './cache.js';
import { DEBIAN_MIRROR, DEBIAN_SUITE } from './roots.js';

/** Small, built by ./configure and make without anything from other packages, and packed with gzip. */
const SOURCE_PACKAGES = ['hello', 'mawk'];
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SECOND_COMMITS = 100;
const IDENTITY = ['-c', 'user.name=Test', '-c', 'user.email=test@example.org'];
const GIT = [...IDENTITY, '-c', 'gc.auto=0', '-c', 'core.autocrlf=false', '-c', 'commit.gpgSign=false'];
const REPOSITORY_TIMEOUT_MS = 300_000;

/** The directory with the original tarballs (.tar.gz) of the source packages. */
export function sourceTarballs(): string {
  return cached('sources-1', (directory) => withTemporary((state) => download(state, directory)));
}

/** The path of one package's tarball. */
export function tarballOf(name: string): string {
  const directory = sourceTarballs();
  const file = readdirSync(directory).find((entry) => entry.startsWith(`${name}_`));
  if (!file) throw new Error(`no tarball of "${name}" in "${directory}"`);
  return join(directory, file);
}

/** A bare repository whose history adds every source file in a commit of its own, then changes some. */
export function gitRepository(): string {
  return cached('repository-1.git', (bare) =>
    withTemporary((worktree) => {
      for (const name of SOURCE_PACKAGES) run('tar', ['-xzf', tarballOf(name), '-C', worktree]);
      run('sh', ['-euc', COMMIT_EACH_FILE, 'sh', String(SECOND_COMMITS)], {
        cwd: worktree,
        env: gitEnvironment(),
        timeoutMs: REPOSITORY_TIMEOUT_MS,
      });
      // Loose objects, not a pack: a clone then makes a hard link of every one.
      run('cp', ['-a', `${worktree}/.git/.`, bare]);
      run('git', ['-C', bare, 'config', 'core.bare', 'true']);
    }),
  );
}

const COMMIT_EACH_FILE = `
git() { command git ${GIT.join(' ')} "$@"; }
git init --quiet --initial-branch=main
find . -path ./.git -prune -o -type f -print | sort | while read -r file; do
  git add --force "$file"
  git commit --quiet --message "Add $file"
done
git ls-files | head -n "$1" | while read -r file; do
  echo changed >> "$file"
  git commit --quiet --message "Change $file" "$file"
done`;

function gitEnvironment(): NodeJS.ProcessEnv {
  const { PATH } = process.env;
  return { PATH, HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1', LC_ALL: 'C' };
}

/** Lets apt fetch and verify sources with lists of its own: the host's configuration stays as it is. */
function download(state: string, directory: string): void {
  const sources = join(state, 'sources.list');
  writeFileSync(sources, `deb-src [signed-by=${KEYRING}] ${DEBIAN_MIRROR} ${DEBIAN_SUITE} main\n`);
  mkdirSync(join(state, 'lists/partial'), { recursive: true });
  mkdirSync(join(state, 'cache/archives/partial'), { recursive: true });
  const settings = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State': state,
    'Dir::Cache': join(state, 'cache'),
    'APT::Sandbox::User': 'root',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  run('apt-get', ['-qq', ...options, 'update']);
  run('apt-get', ['-qq', ...options, 'source', '--download-only', ...SOURCE_PACKAGES], { cwd: state });
  for (const file of readdirSync(state).filter((name) => name.endsWith('.orig.tar.gz'))) {
    copyFileSync(join(state, basename(file)), join(directory, file));
  }
}

function withTemporary(use: (directory: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), 'unionfs-fixture-'));
  try {
    use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
