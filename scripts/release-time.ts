/** The time that files of a release carry. */
import { execFileSync } from 'node:child_process';
import { ROOT } from './addons.js';

const MS_PER_S = 1000;
const DAY = 'YYYY-MM-DD'.length;

/** Seconds since 1970: SOURCE_DATE_EPOCH, else the last commit's time. */
export function releaseTime(): number {
  const { SOURCE_DATE_EPOCH } = process.env;
  if (SOURCE_DATE_EPOCH !== undefined) return Number(SOURCE_DATE_EPOCH);
  try {
    return Number(
      execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: ROOT, stdio: 'pipe' }).toString(),
    );
  } catch {
    return Math.floor(Date.now() / MS_PER_S); // a source tree without its history
  }
}

/** YYYY-MM-DD. */
export const releaseDay = (): string => new Date(releaseTime() * MS_PER_S).toISOString().slice(0, DAY);
