/**
 * A copy of the project in which every mutant is built in, and one of them can be switched on.
 *
 * Rules: the mutants are those of Stryker's instrumenter. The environment variable that Stryker reads switches one on,
 * in every process and thread that a test starts. A mutant of the text of a message is left out: no behaviour depends
 * on it. So is a mutant that Stryker places in a type or in what the compiler removes.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Instrumenter } from '@stryker-mutator/instrumenter';

export interface Mutant {
  readonly id: string;
  readonly file: string;
  /** One-based. */
  readonly line: number;
  readonly mutator: string;
  readonly original: string;
  readonly replacement: string;
}

/** The environment variable that holds the id of the mutant that is on (Stryker's header). */
export const ACTIVE = '__STRYKER_ACTIVE_MUTANT__';
/** The environment variable that names the file to which the ids of the mutants that are reached are appended. */
export const REACHED = 'UNIONFS_MUTANTS_REACHED';

/** A message's text: words with spaces between them. */
const isMessage = (mutator: string, original: string): boolean =>
  mutator === 'StringLiteral' && /[a-z,:] [a-z"$]/i.test(original);

/**
 * @param root the project
 * @param target an empty directory for the copy
 * @param sources prefixes of the files to mutate
 */
export async function instrument(
  root: string,
  target: string,
  sources: readonly string[],
): Promise<readonly Mutant[]> {
  const files = git(root, 'ls-files', '--cached', '--others', '--exclude-standard');
  for (const file of files) copy(root, target, file);
  symlinkSync(join(root, 'node_modules'), join(target, 'node_modules'));
  const mutated = files.filter(
    (file) => file.endsWith('.ts') && sources.some((prefix) => file.startsWith(prefix)),
  );
  if (mutated.length === 0) throw new Error(`no sources below ${sources.join(', ')}`);
  const mutants = await place(root, target, mutated);
  writeFileSync(join(target, PRELUDE), PRELUDE_TEXT);
  execFileSync('npx', ['tsc', '-p', 'tsconfig.json', '--noCheck', '--declaration', 'false'], {
    cwd: target,
    stdio: 'inherit',
  });
  execFileSync('npm', ['run', '--silent', 'bundle'], { cwd: target, stdio: 'inherit' });
  return mutants;
}

const git = (root: string, ...args: readonly string[]): string[] =>
  execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\n').filter(Boolean);

function copy(root: string, target: string, file: string): void {
  mkdirSync(dirname(join(target, file)), { recursive: true });
  cpSync(join(root, file), join(target, file));
}

async function place(root: string, target: string, files: readonly string[]): Promise<Mutant[]> {
  const contents = files.map((name) => ({
    name,
    content: readFileSync(join(root, name), 'utf8'),
    mutate: true,
  }));
  const options = { plugins: null, excludedMutations: [], ignorers: [NAMES] };
  const result = await new Instrumenter(SILENT).instrument(contents, options);
  for (const { name, content } of result.files) {
    const up = '../'.repeat(name.split('/').length - 1);
    writeFileSync(join(target, name), `import '${up}${PRELUDE.replace(/ts$/, 'js')}';\n${content}`);
  }
  const text = new Map(contents.map(({ name, content }) => [name, content.split('\n')]));
  return result.mutants
    .filter(({ status }) => status !== 'Ignored')
    .map(({ id, fileName, location, mutatorName, replacement }) => ({
      id,
      file: fileName,
      line: location.start.line + 1,
      mutator: mutatorName,
      original: excerpt(text.get(fileName) ?? [], location),
      replacement,
    }))
    .filter(({ mutator, original }) => !isMessage(mutator, original));
}

/** A method's quoted name is no value: a switch cannot stand there. */
const NAMES = {
  shouldIgnore: ({ key, parentPath }: { key: unknown; parentPath: { isMethod(): boolean } | null }) =>
    key === 'key' && parentPath?.isMethod() === true ? 'a name' : undefined,
};

interface Location {
  readonly start: { readonly line: number; readonly column: number };
  readonly end: { readonly line: number; readonly column: number };
}

function excerpt(lines: readonly string[], { start, end }: Location): string {
  const chosen = lines.slice(start.line, end.line + 1);
  const last = chosen.length - 1;
  return chosen
    .map((line, at) => line.slice(at === 0 ? start.column : 0, at === last ? end.column : undefined))
    .join('\n');
}

const nothing = (): void => {};
const SILENT = {
  isTraceEnabled: () => false,
  isDebugEnabled: () => false,
  isInfoEnabled: () => false,
  isWarnEnabled: () => false,
  isErrorEnabled: () => false,
  isFatalEnabled: () => false,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing,
};

/**
 * Imported first by every mutated file. It writes down, once each, which mutants are reached: what an object has not it
 * asks its prototype for, so that counting again costs nothing.
 */
const PRELUDE = 'fs/mutants-reached.ts';
const PRELUDE_TEXT = `import { appendFileSync } from 'node:fs';
const file = process.env['${REACHED}'];
const first: ProxyHandler<object> = {
  set(_, id, value, reached: object) {
    if (file !== undefined) {
      try {
        appendFileSync(file, String(id) + '\\n');
      } catch {
        // a process that cannot reach the file any more, as in a container
      }
    }
    return Reflect.defineProperty(reached, id, { value, writable: true, enumerable: true, configurable: true });
  },
};
const space = ((globalThis as Record<string, unknown>)['__stryker__'] ??= {}) as Record<string, unknown>;
space['mutantCoverage'] ??= { static: Object.create(new Proxy({}, first)), perTest: {} };
`;
