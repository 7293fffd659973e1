/**
 * What users start, in few files: a program of a hundred modules takes three times as long to load.
 *
 * dist/ holds the modules one by one, for the API and the tests; dist/bin/ holds the programs and, beside them, the
 * threads and the process that they start. Packages stay where npm put them.
 */
const external = (id, importer) => importer !== undefined && !/^[./]/.test(id);

const programs = {
  input: ['dist/cli/tscr.js', 'dist/cli/unionfs.js'],
  external,
  output: { dir: 'dist/bin', format: 'es' },
};

const alone = (input, file, format) => ({ input, external, output: { file: `dist/bin/${file}`, format } });

export default [
  programs,
  alone('dist/fs/serve.js', 'serve.js', 'es'),
  alone('dist/runtime/container/owners/owner-worker.js', 'owner-worker.js', 'es'),
  alone('dist/fs/transport/flusher-thread.js', 'flusher-thread.js', 'es'),
  alone('dist/fs/transport/notifier.js', 'transport/notifier.js', 'es'),
  alone('dist/runtime/container/init/main.js', 'init.cjs', 'cjs'),
];
