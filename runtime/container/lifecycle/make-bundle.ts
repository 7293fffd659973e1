/**
 * `tscr bundle`: an image as a filesystem bundle of the OCI runtime specification (bundle.md).
 *
 * Rules: the root is a plain copy, so that any runtime can run it; config.json is the one that `tscr run` would use, but
 * with a network namespace as runc's users expect. config.json is written last, so an interrupted bundle has none.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { flattenStack, UsageError } from '../../../fs/index.js';
import { writeJson } from '../../../fs/input/json-file.js';
import type { Store } from '../../image/store/store.js';
import { commandOf, imageWorkdir } from '../spec/command.js';
import { containerSpec } from '../spec/container-spec.js';
import { environmentOf } from '../spec/environment.js';
import { readUserFiles, resolveUser } from '../spec/users.js';

const ROOT = 'rootfs';
const CONFIG = 'config.json';
const HOSTNAME = 'tscr';
const MODE = 0o755;
const FILE_MODE = 0o644;

/** Throws `UsageError` if the directory is not empty or the image does not exist. */
export function makeBundle(store: Store, reference: string, directory: string): void {
  const image = store.find(reference);
  const config = image.config.config ?? {};
  const args = commandOf(config, reference, { command: [] });
  const root = emptyDirectory(resolve(directory));
  copyImage([...image.layers].reverse(), root);
  const env = environmentOf({
    image: config.Env ?? [],
    files: [],
    changes: [],
    hostname: HOSTNAME,
    caller: {},
  });
  const user = resolveUser(config.User ?? '', readUserFiles(root));
  const cwd = imageWorkdir(config);
  const request = { process: { args, env, cwd, user }, hostname: HOSTNAME, mounts: [], readOnly: false };
  const spec = containerSpec({ ...request, network: 'none', rootPath: ROOT });
  writeJson(join(resolve(directory), CONFIG), spec, FILE_MODE);
}

/** The root directory of a bundle, whose directory is created if it is missing. */
function emptyDirectory(directory: string): string {
  mkdirSync(directory, { recursive: true, mode: MODE });
  const [entry] = readdirSync(directory);
  if (entry !== undefined) throw new UsageError(`"${directory}" holds "${entry}"; choose an empty directory`);
  const root = join(directory, ROOT);
  mkdirSync(root);
  return root;
}

function copyImage(lowers: readonly string[], root: string): void {
  if (lowers.length > 0) flattenStack({ lowers }, root);
}
