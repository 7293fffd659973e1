/** Formats sizes and times as docker does (docker/go-units: HumanSize, HumanDuration). */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const STEP = 1000;
const DIGITS = 3;

/** Bytes in powers of 1000 and three digits: "74.8MB". */
export function humanSize(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= STEP && unit < UNITS.length - 1) {
    value /= STEP;
    unit += 1;
  }
  return `${Number(value.toPrecision(Math.max(DIGITS, Math.trunc(value).toString().length)))}${UNITS[unit]}`;
}

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const MONTH = 30 * DAY;
const YEAR = 365 * DAY;

/** The first row whose limit the age is below; limits and units in seconds. */
const AGES: readonly (readonly [limit: number, unit: number, name: string])[] = [
  [MINUTE, 1, 'second'],
  [HOUR, MINUTE, 'minute'],
  [2 * DAY, HOUR, 'hour'],
  [2 * WEEK, DAY, 'day'],
  [2 * MONTH, WEEK, 'week'],
  [2 * YEAR, MONTH, 'month'],
  [Number.POSITIVE_INFINITY, YEAR, 'year'],
];

/** The age of a time: "3 weeks ago"; "N/A" for an invalid time. @param time RFC 3339 */
export function ago(time: string | undefined, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(time ?? '')) / 1000);
  if (Number.isNaN(seconds)) return 'N/A';
  if (seconds < 1) return 'Less than a second ago';
  const [, unit, name] = AGES.find(([limit]) => seconds < limit) ?? [0, YEAR, 'year'];
  const count = Math.floor(seconds / unit);
  return `${count} ${name}${count === 1 ? '' : 's'} ago`;
}
