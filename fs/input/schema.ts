/**
 * Building blocks of schemas for documents. One definition gives the check and the type.
 *
 * Rules, as Go's encoding/json reads the same documents: null is the zero value of an optional field; in a list or a
 * map it is the zero value of the element type. Unknown fields are kept for other programs.
 * Every list, map and text has a bound. Keys are any text, `__proto__` and `constructor` too: a map's value is an object
 * whose own properties they are.
 */
import * as v from 'valibot';

export type Schema<T> = v.GenericSchema<unknown, T>;

type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;
/** The type of what a schema has checked. */
export type Output<S extends v.GenericSchema> = Frozen<v.InferOutput<S>>;

/** Elements of a list, entries of a map. */
export const MAX_ENTRIES = 10_000;
/** Bytes of a path (PATH_MAX). */
const MAX_PATH = 4096;

type Result<T> =
  | { readonly success: true; readonly value: T }
  | {
      readonly success: false;
      readonly path: readonly (string | number)[];
      readonly expected: string;
      readonly received: unknown;
    };

/** Checks a value; the first complaint if there is one. */
export function safeParse<T>(schema: Schema<T>, value: unknown): Result<T> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return { success: true, value: result.output };
  const [issue] = result.issues;
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  return { success: false, path, expected: issue.message, received: issue.input };
}

/** Any text. */
export const text = v.string('a string');
export const flag = v.boolean('true or false');
/** Text that is handed to the kernel: NUL would end it. */
export const word = v.pipe(
  text,
  v.check((value) => !value.includes('\0'), 'a string without NUL'),
);
export const absolutePath = v.pipe(
  word,
  v.check((path) => path.startsWith('/') && path.length < MAX_PATH, 'an absolute path'),
);
/** A number that counts or measures. */
export const count = whole('a number, 0 or more', 0);
export const integer = whole('an integer', Number.MIN_SAFE_INTEGER);

function whole(expected: string, least: number) {
  const isRight = (value: number): boolean => Number.isSafeInteger(value) && value >= least;
  return v.pipe(v.number(expected), v.check(isRight, expected));
}

export const exactly = <const T extends number | string>(value: T) => v.literal(value, JSON.stringify(value));
export const oneOf = <const T extends readonly string[]>(values: T) =>
  v.picklist(values, `one of ${values.map((value) => JSON.stringify(value)).join(', ')}`);
/** @param expected completes "must be" */
export const custom = <T>(isRight: (value: unknown) => boolean, expected: string) =>
  v.custom<T>(isRight, expected);

/** A field that may be missing. */
export const optional = v.exactOptional;
/** A field that is `zero` where it is missing, as in Go. */
export const orZero = <S extends v.GenericSchema>(schema: S, zero: v.InferOutput<S>) =>
  v.optional(schema, zero as never) as unknown as Schema<v.InferOutput<S>>;
export const either = <const S extends readonly v.GenericSchema[]>(options: S, expected: string) =>
  v.union(options, expected);
/** Chooses the schema by the type of the value, so that the error message is about the intended one. */
export const listOrOne = <T>(list: Schema<T>, one: Schema<T>): Schema<T> =>
  v.lazy((value) => (Array.isArray(value) ? list : one));
export const { pipe, transform } = v;

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const withoutNulls = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));

const object = v.custom<Fields>(isObject, 'an object');

/** An object with known fields. */
export const struct = <const E extends v.ObjectEntries>(entries: E) =>
  v.pipe(object, v.transform(withoutNulls), v.looseObject(entries)) as unknown as v.GenericSchema<
    unknown,
    v.InferOutput<v.ObjectSchema<E, undefined>>
  >;

/** A list. @param zero the value of null elements; without it they are refused */
export function listOf<S extends v.GenericSchema>(item: S, zero?: v.InferOutput<S>, most = MAX_ENTRIES) {
  const filled = (list: unknown[]): unknown[] =>
    zero === undefined ? list : list.map((value) => value ?? zero);
  return v.pipe(
    v.custom<unknown[]>(Array.isArray, 'a list'),
    v.check((list) => list.length <= most, `a list of at most ${most}`),
    v.transform(filled),
    v.array(item),
  ) as unknown as Schema<v.InferOutput<S>[]>;
}

/** An object with arbitrary keys. @param zero the value of null entries */
export const mapOf = <S extends v.GenericSchema>(item: S, zero: v.InferOutput<S>) =>
  v.pipe(
    object,
    v.check((map) => Object.keys(map).length <= MAX_ENTRIES, `an object of at most ${MAX_ENTRIES} entries`),
    v.rawTransform<Fields, Record<string, v.InferOutput<S>>>(({ dataset, addIssue, NEVER }) => {
      const map: [string, v.InferOutput<S>][] = [];
      for (const [key, value] of Object.entries(dataset.value)) {
        const checked = safeParse(item as Schema<v.InferOutput<S>>, value ?? zero);
        if (!checked.success) {
          addIssue({
            message: checked.expected,
            input: checked.received,
            path: [
              { type: 'object', origin: 'value', input: { ...dataset.value }, key, value },
              ...checked.path.map((inner) => ({
                type: 'unknown' as const,
                origin: 'value' as const,
                input: value,
                key: inner,
                value: checked.received,
              })),
            ],
          });
          return NEVER;
        }
        map.push([key, checked.value]);
      }
      return Object.fromEntries(map);
    }),
  ) as unknown as Schema<Record<string, v.InferOutput<S>>>;
