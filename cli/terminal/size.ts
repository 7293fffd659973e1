/** Sizes as users type them: "512", "64k", "10g", in powers of 1024 (docker/go-units RAMInBytes). */
import { UsageError } from '../../fs/index.js';

const UNITS = 'bkmgtp';
const STEP = 1024;

/** Bytes. Throws `UsageError`. */
export function parseSize(text: string): number {
  const [, digits, unit = 'b'] = /^(\d+(?:\.\d+)?)\s*([bkmgtp])?(?:i?b)?$/i.exec(text) ?? [];
  if (digits === undefined)
    throw new UsageError(`invalid size "${text}": use a number with an optional unit, e.g. 512m or 10g`);
  return Math.floor(Number(digits) * STEP ** UNITS.indexOf(unit.toLowerCase()));
}
