import { Command, Option } from 'commander';
import { type MountOptions, TRANSPORTS, type Transport, UsageError } from '../../../fs/index.js';
import { absolute, splitLayers } from '../../../fs/layers.js';
import { MOUNT_FLAGS } from '../../../fs/transport/mount-flags.js';
import { suggestion } from '../../../runtime/nearest.js';
import { MOUNT_WORDS, VALUED } from '../mount-words.js';
import { ownershipOf } from '../ownership.js';
import { showingOf } from '../showing.js';

interface Options {
  readonly lower?: string;
  readonly upper?: string;
  readonly workdir?: string;
  readonly work?: string;
  readonly clearWorkdir?: true;
  readonly option: readonly string[];
  readonly layerChanges?: string;
  readonly transport?: Transport;
  readonly foreground?: true;
  readonly trace?: true;
}

/** What is done about a mount, by where it is to be served. */
export interface Ways {
  inForeground(options: MountOptions): Promise<void>;
  inBackground(options: MountOptions): Promise<void>;
}

export function mountCommand(ways: Ways): Command {
  const collect = (value: string, all: readonly string[]): string[] => [...all, value];
  return new Command('mount')
    .description('mount a union of directories')
    .argument('<mountpoint>', 'directory to mount on')
    .option('--lower <a:b>', 'lower layers, never changed; the leftmost is the top one; "\\:" is a colon')
    .option('--upper <dir>', 'the layer that takes all changes; without it the mount is read-only')
    .option('--workdir <dir>', "scratch space on upper's filesystem (default: a hidden sibling of upper)")
    .addOption(new Option('--work <dir>').hideHelp())
    .option('--clear-workdir', 'remove what another program has left in WORKDIR/work')
    .option('-o, --option <list>', `mount options: ${knownOptions().join(', ')}`, collect, [])
    .option('--layer-changes <how>', 'notice changes to lower layers: watch, ttl=SECONDS or never')
    .addOption(
      new Option('--transport <how>', 'speak to the kernel directly, or through the package fuse-native')
        .choices(TRANSPORTS)
        .default('kernel'),
    )
    .option('-f, --foreground', 'serve in this process until unmounted')
    .option('--trace', 'write every request to standard error; implies --foreground')
    .action((mountpoint: string, options: Options) => run(mountpoint, options, ways));
}

async function run(mountpoint: string, options: Options, ways: Ways): Promise<void> {
  const settings = mountOptions(mountpoint, options);
  const isForeground = options.foreground === true || options.trace === true;
  await (isForeground ? ways.inForeground(settings) : ways.inBackground(settings));
}

function knownOptions(): string[] {
  return MOUNT_WORDS.map((name) => (VALUED.includes(name) ? `${name}=` : name));
}

/** Splits `a,b=c`; `\,` is a comma within a value. */
function splitOptions(lists: readonly string[]): [name: string, value: string | undefined][] {
  const items = lists.flatMap((list) => list.split(/(?<!\\),/)).filter((item) => item !== '');
  return items.map((item) => {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(item.replaceAll('\\,', ',')) ?? [];
    return [name, value];
  });
}

export function mountOptions(mountpoint: string, options: Options): MountOptions {
  const given = new Map<string, string | undefined>();
  let flags = 0;
  for (const [name, value] of splitOptions(options.option)) {
    const flag = MOUNT_FLAGS[name];
    if (flag !== undefined) flags |= flag;
    else if (!MOUNT_WORDS.includes(name)) {
      throw new UsageError(`unknown option "-o ${name}"${suggestion(name, knownOptions())}`);
    } else given.set(name, value);
    if (VALUED.includes(name) && (value === undefined || value === '')) {
      throw new UsageError(`the option "-o ${name}" needs a value`);
    }
  }
  const lower = options.lower ?? given.get('lowerdir');
  const upper = options.upper ?? unescaped(given.get('upperdir'));
  const work = options.workdir ?? options.work ?? unescaped(given.get('workdir'));
  const source = given.get('fsname');
  const layerChanges = layerChangesOf(options.layerChanges);
  const ownership = ownershipOf(given);
  return {
    mountpoint: absolute(mountpoint),
    lowers: lower === undefined ? [] : splitLayers(lower).map(absoluteOrEmpty),
    ...(upper !== undefined && { upper: absoluteOrEmpty(upper) }),
    ...(work !== undefined && { work: absoluteOrEmpty(work) }),
    ...(source !== undefined && { source }),
    ...(layerChanges !== undefined && { layerChanges }),
    ...(ownership !== undefined && { ownership }),
    ...showingOf(given),
    ...(options.clearWorkdir === true && { clearsWork: true }),
    flags,
    allowOther: given.has('allow_other'),
    volatile: given.has('volatile'),
    writeback: given.has('writeback'),
    ...(options.transport !== undefined && { transport: options.transport }),
    trace: options.trace === true,
  };
}

/** In -o, a backslash stands before a colon also where there is one path only, as with overlayfs. */
const unescaped = (path: string | undefined): string | undefined => path?.replace(/\\(.)/gs, '$1');

/** An empty path is an error of its own, not the current directory. */
const absoluteOrEmpty = (path: string): string => (path === '' ? '' : absolute(path));

function layerChangesOf(text: string | undefined): MountOptions['layerChanges'] {
  if (text === undefined || text === 'watch' || text === 'never') return text;
  const seconds = Number(/^ttl=(\d+)$/.exec(text)?.[1] ?? Number.NaN);
  if (Number.isSafeInteger(seconds)) return seconds;
  throw new UsageError(`--layer-changes "${text}" is none of "watch", "ttl=SECONDS", "never"`);
}
