/**
 * tar-stream's header codec, `tar-stream/headers.js`, which the package uses and does not export.
 *
 * Rule: nothing else is in this file, since the bundler puts the package's own file in its place (rollup.config.js).
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

export const codec: object = require(join(dirname(require.resolve('tar-stream')), 'headers.js'));
