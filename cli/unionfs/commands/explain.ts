/** unionfs explain: shows the layers of a path and which entry is visible; with --op, the steps of an operation. */

import { resolve } from 'node:path';
import { Command } from 'commander';
import {
  type Cover,
  type Explanation,
  explain,
  type LayerEntry,
  type LayerExplanation,
  type Operation,
  type Plan,
  plan,
  planRename,
  STEPS,
  type Stack,
  stepsOf,
  UsageError,
  type View,
  viewOf,
} from '../../../fs/index.js';
import { alternatives, shownBytes } from '../../../fs/input/shown.js';
import { absolute, isTrulyRoot, PRIVILEGED_PREFIX } from '../../../fs/layers.js';
import type { Union } from '../../../fs/offline.js';
import { toBytes } from '../../../fs/sys/path-bytes.js';
import { print, printJson, table } from '../../terminal/output.js';
import { requireInspection, unionOf } from '../mounts.js';
import { givenStack, type StackOptions } from '../stack.js';

/** Operations by their command line names. */
const OPERATIONS: Readonly<Record<string, Operation>> = {
  read: 'read',
  write: 'write',
  chmod: 'write',
  create: 'create',
  mkdir: 'mkdir',
  rm: 'unlink',
  unlink: 'unlink',
  rmdir: 'rmdir',
};
const RENAME = 'mv';

interface Options extends StackOptions {
  readonly op?: string;
  readonly to?: string;
  readonly json?: true;
}

export function explainCommand(): Command {
  return new Command('explain')
    .description('show which layers hold a path, which one is visible and why, and the steps of an operation')
    .argument('<path>', 'path inside a mount; with --lower, a path relative to the root of the layers')
    .option(
      '--op <operation>',
      `show the steps of an operation: ${[...Object.keys(OPERATIONS), RENAME].join(', ')}`,
    )
    .option('--to <path>', `new path for --op ${RENAME}`)
    .option('--lower <a:b>', 'lower layers, instead of those of a mount')
    .option('--upper <dir>', 'upper layer, with --lower')
    .option('--json', 'print JSON')
    .action(run);
}

async function run(path: string, options: Options): Promise<void> {
  const { stack, names, redirects } = await locate(path, options);
  checkOperation(options);
  const to = options.op === RENAME ? (await locate(options.to ?? '', options)).names : [];
  const union = viewOf(stack);
  try {
    const explanation = explain(union, names);
    const steps =
      options.op === undefined
        ? undefined
        : planOf(union, stack, explanation, path, { ...options, names: to }, redirects);
    if (options.json === true)
      printJson({ ...explanation, ...(steps !== undefined && { plan: asJson(steps) }) });
    else print(describe(names, explanation, steps, options.op));
  } finally {
    union.close();
  }
}

function checkOperation({ op, to }: Options): void {
  const known = [...Object.keys(OPERATIONS), RENAME];
  if (op !== undefined && !known.includes(op)) {
    throw new UsageError(`unknown operation "${op}"; use ${alternatives(known)}`);
  }
  if (op === RENAME && to === undefined) throw new UsageError('--op mv needs the new name; add --to');
}

const namesOf = (path: string): string[] =>
  toBytes(path)
    .split('/')
    .filter((name) => name !== '');

interface Located {
  readonly stack: Stack;
  /** Below the roots of the layers. */
  readonly names: string[];
  /** Directories of lower layers are renamed with redirects (mounted by root) instead of EXDEV. */
  readonly redirects: boolean;
}

/** The layers, and the path inside them. */
async function locate(path: string, options: StackOptions): Promise<Located> {
  const given = givenStack(options);
  if (given !== undefined)
    return { stack: given, names: namesOf(resolve('/', path)), redirects: isTrulyRoot() };
  const union = unionOf(absolute(path));
  if (union === undefined) {
    throw new UsageError(`"${path}" is not inside a unionfs mount; name its layers with --lower and --upper`);
  }
  const live = await requireInspection(union.mountpoint);
  const redirects = live.whiteoutXattrs === PRIVILEGED_PREFIX;
  return { stack: live, names: namesOf(union.inner), redirects };
}

function planOf(
  union: Union,
  stack: Stack,
  source: Explanation,
  path: string,
  options: Options & { readonly names: readonly string[] },
  redirects: boolean,
): Plan {
  const writable = stack.upper !== undefined;
  if (source.situation === undefined) throw new UsageError(`"${path}" has no parent directory in the union`);
  if (options.op !== RENAME) return plan(OPERATIONS[options.op ?? ''] ?? 'read', source.situation, writable);
  const target = explain(union, options.names);
  if (target.situation === undefined)
    throw new UsageError(`"${options.to}" has no parent directory in the union`);
  return planRename(source.situation, target.situation, 'replace', { writable, redirects });
}

// --- output

function describe(
  names: readonly string[],
  { view, layers }: Explanation,
  steps: Plan | undefined,
  operation: string | undefined,
): string {
  const path = shownBytes(`/${names.join('/')}`);
  const rows = layers.map((layer) => [
    String(layer.layer),
    layer.isUpper ? 'upper' : 'lower',
    shownBytes(layer.path),
    describeEntry(layer.entry),
    describeRole(layer),
  ]);
  const parts = [table(['#', 'LAYER', 'PATH', 'HOLDS', ''], rows), '', `${path} shows ${describeView(view)}`];
  if (steps !== undefined) parts.push('', describePlan(operation ?? '', steps));
  return parts.join('\n');
}

function describeEntry(entry: LayerEntry): string {
  if (entry.is === 'whiteout') return `whiteout (${entry.form})`;
  if (entry.is === 'directory' && entry.opaque !== undefined) return `opaque directory (${entry.opaque})`;
  if (entry.is === 'directory' && entry.redirect !== undefined)
    return `directory, redirected to ${shownBytes(entry.redirect)}`;
  return entry.is;
}

const REASONS: Record<Cover['why'], string> = {
  nondirectory: 'holds the name',
  whiteout: 'deletes it',
  opaque: 'is opaque',
  'covered by a directory': 'is not a directory either way',
};

function describeRole({ role, cover, coveredAt, layer }: LayerExplanation): string {
  if (role === 'covered' && cover !== undefined) {
    if (cover.why === 'covered by a directory' && cover.layer === layer)
      return 'covered by a directory above';
    return `covered: layer ${cover.layer} ${REASONS[cover.why]} at ${coveredAt}`;
  }
  if (role === 'deletes') return 'deletes the name in the layers below';
  return role === 'absent' ? '' : role;
}

function describeView(view: View): string {
  if (view.shows === 'nothing') return 'nothing';
  if (view.shows !== 'directory') return `the ${view.shows} of layer ${view.layer}`;
  const [only] = view.layers;
  return view.layers.length === 1
    ? `the directory of layer ${only}`
    : `a directory merged from layers ${view.layers.join(', ')}`;
}

const asJson = (plan: Plan): unknown => ('refused' in plan ? plan : { steps: stepsOf(plan) });

function describePlan(operation: string, plan: Plan): string {
  if ('refused' in plan) return `${operation} is refused: ${plan.refused}`;
  const steps = stepsOf(plan);
  if (steps.length === 0) return `${operation} changes nothing`;
  const lines = steps.map((step, index) => `  ${index + 1}. ${step}: ${STEPS[step]}`);
  return [`${operation} would`, ...lines].join('\n');
}
