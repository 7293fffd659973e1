/** The same as `server.ts` for `--transport fuse-native`, which serves on the main thread. */
import './machine.js';
import { carryOut } from './server-command.js';
import { serveInBackground } from './serving.js';

const [, , launcher, name = '', ...words] = process.argv;
void carryOut(name, words, (options) => serveInBackground(options, Number(launcher)));
