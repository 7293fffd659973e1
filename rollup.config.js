/**
 * What users start, in few files: a program of a hundred modules takes three times as long to load.
 *
 * dist/ holds the modules one by one, for the API and the tests; dist/bin/ holds the programs and, beside them, the
 * threads and the process that they start. Packages stay where npm put them, but for two. Every start needs valibot, and
 * little of it: of 206 KB 20, which load in 1 ms instead of 6. zstddec has no CommonJS form, and Node takes such modules
 * by require() only from 20.19 and 22.12 on.
 */
import { fileURLToPath } from 'node:url';

const BUNDLED = ['valibot', 'zstddec/stream'];
const external = (id, importer) => importer !== undefined && !/^[./]/.test(id) && !BUNDLED.includes(id);

const bundled = {
  name: 'bundled',
  resolveId: (id) => (BUNDLED.includes(id) ? fileURLToPath(import.meta.resolve(id)) : null),
};

const manifest = {
  name: 'manifest',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'package.json', source: '{ "type": "commonjs" }\n' });
  },
};

const programs = {
  input: ['dist/cli/tscr/tscr.js', 'dist/cli/unionfs/unionfs.js'],
  external,
  output: { dir: 'dist/bin', format: 'cjs' },
  plugins: [bundled, manifest],
};

const alone = (input, file) => ({
  input,
  external,
  plugins: [bundled],
  output: { file: `dist/bin/${file}`, format: 'cjs' },
});

/** A program of its own; what it loads later lies beside it. */
const apart = (input) => ({
  input,
  external,
  plugins: [bundled],
  output: { dir: 'dist/bin', format: 'cjs' },
});

export default [
  programs,
  apart('dist/cli/unionfs/server/server.js'),
  apart('dist/cli/unionfs/server/portable-server.js'),
  alone('dist/cli/unionfs/server/background-mount.js', 'background-mount.js'),
  alone('dist/fs/mount/serve.js', 'serve.js'),
  alone('dist/runtime/container/owners/owner-worker.js', 'owner-worker.js'),
  alone('dist/fs/transport/flusher-thread.js', 'flusher-thread.js'),
  alone('dist/fs/transport/notifier.js', 'notifier.js'),
  alone('dist/runtime/host/execute.js', 'execute.js'),
  alone('dist/runtime/container/init/main.js', 'init.cjs'),
];
