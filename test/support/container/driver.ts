/** Runs the bundle in a directory: driver.js DIR [OPTIONS as JSON]. Writes the command's host pid to DIR/pid. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { UsageError } from '../../../fs/index.js';
import { runBundleDirectory } from '../../../runtime/container/process/bundle.js';

const [directory = '', options = '{}'] = process.argv.slice(2);
const onStarted = (pid: number): void => writeFileSync(join(directory, 'pid'), String(pid));

try {
  process.exitCode = await runBundleDirectory(directory, {
    stdin: 'inherit',
    ...JSON.parse(options),
    onStarted,
  });
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`tscr run: ${error.message}`);
  process.exitCode = 125;
}
