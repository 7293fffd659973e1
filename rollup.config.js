/**
 * What users start, in few files: a program of a hundred modules takes three times as long to load.
 *
 * dist/ holds the modules one by one, for the API and the tests; dist/bin/ holds the programs and, beside them, the
 * threads and the process that they start. Packages stay where npm put them, but for the one that every start needs and
 * that is mostly unused: of valibot's 206 KB we need 20, which load in 1 ms instead of 6.
 */
import { fileURLToPath } from 'node:url';

const SHAKEN = 'valibot';
const external = (id, importer) => importer !== undefined && !/^[./]/.test(id) && id !== SHAKEN;

const shaken = {
  name: 'shaken',
  resolveId: (id) => (id === SHAKEN ? fileURLToPath(import.meta.resolve(SHAKEN)) : null),
};

const manifest = {
  name: 'manifest',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'package.json', source: '{ "type": "commonjs" }\n' });
  },
};

const programs = {
  input: ['dist/cli/tscr.js', 'dist/cli/unionfs.js'],
  external,
  output: { dir: 'dist/bin', format: 'cjs' },
  plugins: [shaken, manifest],
};

const alone = (input, file) => ({
  input,
  external,
  plugins: [shaken],
  output: { file: `dist/bin/${file}`, format: 'cjs' },
});

/** A program of its own; what it loads later lies beside it. */
const apart = (input) => ({ input, external, plugins: [shaken], output: { dir: 'dist/bin', format: 'cjs' } });

export default [
  programs,
  apart('dist/cli/server.js'),
  apart('dist/cli/portable-server.js'),
  alone('dist/cli/background-mount.js', 'background-mount.js'),
  alone('dist/fs/serve.js', 'serve.js'),
  alone('dist/runtime/container/owners/owner-worker.js', 'owner-worker.js'),
  alone('dist/fs/transport/flusher-thread.js', 'flusher-thread.js'),
  alone('dist/fs/transport/notifier.js', 'transport/notifier.js'),
  alone('dist/runtime/container/init/main.js', 'init.cjs'),
];
