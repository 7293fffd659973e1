/**
 * What users start, in few files and without node_modules: a program of a hundred modules takes three times as long to
 * load, and a package without dependencies is installed without a registry.
 *
 * dist/ holds the modules one by one, for the tests; dist/bin/ holds the programs, the library, and beside them the
 * threads and processes that they start, with the parts of the packages that they use. Of koffi only the addon is
 * needed, one for each machine, which lies in dist/addons/ (scripts/addons.ts).
 *
 * Rules: an import that leads nowhere fails the build. The licence of each package of which something is bundled is in
 * dist/LICENSES.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import commonjs from '@rollup/plugin-commonjs';
import { nodeResolve } from '@rollup/plugin-node-resolve';

const LICENSES = 'dist/LICENSES';
const require = createRequire(import.meta.url);
const packageDirectory = (name) => dirname(require.resolve(name));

/**
 * The addon that fits the C library that Node itself uses: the path of its loader is in the first page of Node's file.
 * That file has no usable path in a container's first process (runtime/container/init-process.ts), and where there is no
 * /proc, the programs say so themselves.
 */
const KOFFI = `
import { closeSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';

function usesMusl() {
  const start = Buffer.alloc(4096);
  try {
    const node = openSync('/proc/self/exe', 'r');
    readSync(node, start, 0, start.length, 0);
    closeSync(node);
  } catch {}
  return start.includes('/ld-musl-');
}

const libc = usesMusl() ? 'musl' : 'glibc';
export default createRequire(import.meta.url)(\`../addons/koffi-\${process.arch}-\${libc}.node\`);
`;

/** Modules that are others in the bundles, and their sources. */
const REPLACED = [
  [/^koffi$/, KOFFI],
  [
    /\/tar-codec\.js$/,
    `export { default as codec } from '${join(packageDirectory('tar-stream'), 'headers.js')}';`,
  ],
];

const replaced = {
  name: 'replaced',
  resolveId: (id) => (REPLACED.some(([pattern]) => pattern.test(id)) ? `\0replaced:${id}` : null),
  load: (id) =>
    id.startsWith('\0replaced:')
      ? REPLACED.find(([pattern]) => pattern.test(id.slice('\0replaced:'.length)))[1]
      : null,
};

/** The package that a module belongs to. */
function packageOf(module) {
  const [, directory, name] = /^\0?(.*\/node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(module);
  return { name, directory };
}

function writeLicense({ name, directory }) {
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
  if (file === undefined) throw new Error(`the package "${name}" has no licence in "${directory}"`);
  mkdirSync(LICENSES, { recursive: true });
  writeFileSync(join(LICENSES, name.replace('/', '+')), readFileSync(join(directory, file))); // without its mode
}

const licenses = {
  name: 'licenses',
  generateBundle(_, files) {
    const modules = Object.values(files).flatMap((file) => Object.keys(file.modules ?? {}));
    const paths = modules.map((id) => (id.endsWith('replaced:koffi') ? require.resolve('koffi') : id));
    for (const path of paths.filter((path) => path.includes('/node_modules/'))) writeLicense(packageOf(path));
  },
};

const manifest = {
  name: 'manifest',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'package.json', source: '{ "type": "commonjs" }\n' });
  },
};

/** Ours are found without it, in half the time. */
const packages = nodeResolve();
const ofPackages = {
  ...packages,
  resolveId: {
    ...packages.resolveId,
    handler(id, importer, options) {
      const isOurs = importer === undefined || (/^[./]/.test(id) && !importer.includes('/node_modules/'));
      return isOurs ? null : packages.resolveId.handler.call(this, id, importer, options);
    },
  },
};

/** `fs` is entered by files that name all that may be used of it: what a program does not use of that is left out. */
const treeshake = { moduleSideEffects: (id) => !id.includes('/dist/fs/') };

const bundle = (input, output, ...plugins) => ({
  input,
  treeshake,
  plugins: [replaced, ofPackages, commonjs({ include: /node_modules/ }), licenses, ...plugins],
  output: { format: 'cjs', ...output },
  onLog(level, log, handle) {
    if (log.code === 'UNRESOLVED_IMPORT') throw new Error(log.message);
    handle(level, log);
  },
});

const alone = (input, file) => bundle(input, { file: `dist/bin/${file}` });

/** A program of its own; what it loads later lies beside it. */
const apart = (input) => bundle(input, { dir: 'dist/bin' });

export default [
  bundle(['dist/cli/tscr/tscr.js', 'dist/cli/unionfs/unionfs.js'], { dir: 'dist/bin' }, manifest),
  bundle({ library: 'dist/fs/index.js' }, { dir: 'dist/bin' }),
  apart('dist/cli/unionfs/server/server.js'),
  apart('dist/cli/unionfs/server/portable-server.js'),
  alone('dist/cli/unionfs/server/background-mount.js', 'background-mount.js'),
  alone('dist/fs/mount/serve.js', 'serve.js'),
  alone('dist/runtime/container/owners/owner-worker.js', 'owner-worker.js'),
  alone('dist/fs/transport/flusher-thread.js', 'flusher-thread.js'),
  alone('dist/fs/transport/notifier.js', 'notifier.js'),
  alone('dist/runtime/command/execute.js', 'execute.js'),
  alone('dist/runtime/container/init/main.js', 'init.cjs'),
];
