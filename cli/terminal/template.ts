/**
 * `--format`: the part of Go's text/template that people use with docker: {{.A.B}}, {{json .A}}, {{len .A}},
 * {{index .A "key"}}, and \t and \n in the text.
 *
 * Rule: an unknown field is an error, not an empty string; values are printed as by Go's fmt, but control characters are
 * escaped (`fs/input/shown.ts`); {{json .A}} gives the exact value.
 */
import { UsageError } from '../../fs/index.js';
import { suggestion } from '../../fs/input/nearest.js';
import { shown, shownJson } from '../../fs/input/shown.js';

const ACTION = /\{\{-?\s*(.*?)\s*-?\}\}/gs;
const EXPRESSION = /^(?:(json|len|index|println)\s+)?(\.[\w.]*)(?:\s+(?:"([^"]*)"|(\d+)))?$/;
const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', '\\': '\\' };

/** Fills in a template. Throws `UsageError` with the invalid part. */
export function render(template: string, value: object): string {
  if (template === 'json') return shownJson(JSON.stringify(value));
  const text = template.replace(/\\([tn\\])/g, (_, letter: string) => ESCAPES[letter] ?? letter);
  return text.replace(ACTION, (_, expression: string) => evaluate(expression, value));
}

function evaluate(expression: string, value: object): string {
  const match = EXPRESSION.exec(expression);
  if (match === null)
    throw new UsageError(
      `invalid expression "{{${expression}}}" in the template; use {{.Field}}, {{json .Field}}, {{len .Field}} or {{index .Field "key"}}`,
    );
  const [, call, path = '', key, position] = match;
  const found = at(value, path);
  if (call === 'json') return shownJson(JSON.stringify(found) ?? 'null');
  if (call === 'len') return String(lengthOf(found));
  if (call === 'index') return show(element(found, key ?? position ?? ''));
  return show(found) + (call === 'println' ? '\n' : '');
}

/** The value of ".A.B". */
function at(value: unknown, path: string): unknown {
  const names = path.split('.').filter((name) => name !== '');
  return names.reduce((here: unknown, name) => {
    const fields = typeof here === 'object' && here !== null ? Object.keys(here) : [];
    if (!fields.includes(name))
      throw new UsageError(`unknown field "${path}" in the template${suggestion(name, fields)}`);
    return (here as Record<string, unknown>)[name];
  }, value);
}

const element = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;

function lengthOf(value: unknown): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  return typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
}

function show(value: unknown): string {
  if (value === undefined || value === null) return '<no value>';
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`;
  if (typeof value !== 'object') return shown(String(value));
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `map[${fields.map(([name, field]) => `${shown(name)}:${show(field)}`).join(' ')}]`;
}
