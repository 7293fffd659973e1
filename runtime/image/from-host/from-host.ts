/**
 * `image from-host`: an image of programs of this host and of the files that they need.
 *
 * Rules: files keep their paths, modes and times, and belong to root. The users root and nobody, their groups and an empty
 * /tmp are added, because programs need them.
 */
import { createReadStream, readlinkSync, type Stats } from 'node:fs';
import { buildImage } from '../create/new-image.js';
import type { Digest } from '../oci.js';
import type { Store } from '../store/store.js';
import { type ArchiveEntry, directoryEntry, tarOf, textEntry } from '../tar/archive-tar.js';
import { filesFor, programPath } from './host-files.js';

const PERMISSIONS = 0o7777;
const TMP_MODE = 0o1777;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n';
const GROUP = 'root:x:0:\nnogroup:x:65534:\n';

const ADDED: readonly ArchiveEntry[] = [
  directoryEntry('etc'),
  textEntry('etc/group', GROUP),
  textEntry('etc/passwd', PASSWD),
  { type: 'directory', name: 'root/', mode: 0o700 },
  { type: 'directory', name: 'tmp/', mode: TMP_MODE },
];

/** Creates an image of programs (names or paths); the first one is its command. @returns its ID @throws UsageError */
export async function imageFromHost(
  store: Store,
  programs: readonly string[],
  names: readonly string[],
): Promise<Digest> {
  const files = filesFor(programs);
  const [first = ''] = programs;
  const own = [...files].map(([path, stat]) => entryOf(path, stat));
  const taken = new Set(own.map(({ name }) => name));
  const entries = [...own, ...ADDED.filter(({ name }) => !taken.has(name))];
  return store.write((writer) =>
    buildImage(writer, {
      layer: tarOf(entries.sort((a, b) => (a.name < b.name ? -1 : 1))),
      execution: { Env: [`PATH=${PATH}`], Cmd: [programPath(first)] },
      step: { created_by: `tscr image from-host ${programs.join(' ')}` },
      names,
    }),
  );
}

function entryOf(path: string, stat: Stats): ArchiveEntry {
  const name = path.slice(1);
  const shape = { mode: stat.mode & PERMISSIONS, mtime: stat.mtime };
  if (stat.isSymbolicLink()) return { type: 'symlink', name, target: readlinkSync(path), ...shape };
  if (stat.isDirectory()) return { type: 'directory', name: `${name}/`, ...shape };
  return { type: 'file', name, size: stat.size, open: () => createReadStream(path), ...shape };
}
