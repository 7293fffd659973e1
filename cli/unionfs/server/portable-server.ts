/** The same as `server.ts` for `--transport fuse-native`, which serves on the main thread. */
import '../../machine.js';
import { words } from '../../../runtime/command/call.js';
import { carryOut } from './server-command.js';
import { serveInBackground } from './serving.js';

const [launcher, name = '', ...given] = words();
void carryOut(name, given, (options) => serveInBackground(options, Number(launcher)));
