/**
 * System calls of this process that are written down, changed or refused while something is done. Only calls that come
 * through fs/sys/native.ts are; the kernel knows nothing of it.
 */
import { errno, native } from '../../../fs/sys/native.js';

type Natives = typeof native;
/** Makes a replacement of a call from the call itself. */
type Replacements = { readonly [Name in keyof Natives]?: (original: Natives[Name]) => Natives[Name] };

/** Does something while calls are replaced. */
export function tampering<T>(replacements: Replacements, action: () => T): T {
  const table = native as Record<string, unknown>;
  const originals = Object.keys(replacements).map((name) => [name, table[name]] as const);
  for (const [name, original] of originals) {
    const replace = replacements[name as keyof Natives] as (original: unknown) => unknown;
    table[name] = replace(original);
  }
  try {
    return action();
  } finally {
    for (const [name, original] of originals) table[name] = original;
  }
}

/** What a call that is refused returns. @param code the errno it leaves */
export function refusal(code: number): -1 {
  (errno as (value: number) => number)(code); // koffi sets it, given a value
  return -1;
}

export interface Recorded {
  readonly call: keyof Natives;
  readonly args: readonly unknown[];
}

/** The calls of those names that are made, in their order. */
export function recording(names: readonly (keyof Natives)[], action: () => void): Recorded[] {
  const calls: Recorded[] = [];
  const replacements = Object.fromEntries(
    names.map((call) => [
      call,
      (original: (...args: unknown[]) => unknown) =>
        (...args: unknown[]) => {
          calls.push({ call, args });
          return original(...args);
        },
    ]),
  );
  tampering(replacements as Replacements, action);
  return calls;
}
