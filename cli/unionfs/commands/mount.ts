import { Command, Option } from 'commander';
import { type MountOptions, type Transport, UsageError } from '../../../fs/index.js';
import { suggestion } from '../../../fs/input/nearest.js';
import { absolute, splitLayers } from '../../../fs/layers.js';
import { MOUNT_FLAGS } from '../../../fs/transport/mount-flags.js';
import { ChoiceOption } from '../../terminal/choice-option.js';
import { MOUNT_WORDS, VALUED } from '../mount-words.js';
import { ownershipOf } from '../ownership.js';
import { showingOf } from '../showing.js';
import { MOUNT_OPTION_HELP } from './mount-option-help.js';

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

/** How a mount is served: by this process, or by a server in the background. */
export interface MountServers {
  inForeground(options: MountOptions): Promise<void>;
  inBackground(options: MountOptions): Promise<void>;
}

export function mountCommand(servers: MountServers): Command {
  const collect = (value: string, all: readonly string[]): string[] => [...all, value];
  return new Command('mount')
    .description('mount a union of directories; returns when the mount is usable')
    .argument('<mountpoint>', 'directory to mount on')
    .option(
      '--lower <a:b>',
      'lower layers, which are never changed; the leftmost is the top one; "\\:" escapes a colon',
    )
    .option('--upper <dir>', 'upper layer, which receives all changes; without it the mount is read-only')
    .option(
      '--workdir <dir>',
      "work directory on upper's filesystem (default: a hidden directory beside upper)",
    )
    .addOption(new Option('--work <dir>').hideHelp())
    .option('--clear-workdir', 'empty WORKDIR/work even if another program has used it')
    .option('-o, --option <list>', 'mount options, separated by commas; listed below', collect, [])
    .option('--layer-changes <mode>', LAYER_CHANGES_HELP)
    .addOption(
      new ChoiceOption(
        '--transport <name>',
        'how requests of the kernel are received',
        TRANSPORT_HELP,
        'kernel',
      ),
    )
    .option('-f, --foreground', 'serve in the foreground until unmounted')
    .option('--trace', 'print every request on standard error; implies --foreground')
    .addHelpText('after', `\nMount options:\n${mountOptionsHelp()}`)
    .action((mountpoint: string, options: Options) => run(mountpoint, options, servers));
}

const TRANSPORT_HELP: Readonly<Record<Transport, string>> = {
  kernel: 'directly from /dev/fuse',
  'fuse-native': 'through libfuse 2.9 and the npm package fuse-native, with fewer features',
};

const LAYER_CHANGES_HELP = `how changes to lower layers from outside the mount are detected
  watch        by inotify (default on local filesystems)
  ttl=SECONDS  by reading again what is older (default on network filesystems: ttl=1)
  never        not at all; lower layers must not change`;

/** The mount options with their meaning, one per line. */
function mountOptionsHelp(): string {
  const rows = Object.entries(MOUNT_OPTION_HELP);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, meaning]) => `  ${name.padEnd(width)}  ${meaning}`).join('\n');
}

async function run(mountpoint: string, options: Options, servers: MountServers): Promise<void> {
  const settings = mountOptions(mountpoint, options);
  const isForeground = options.foreground === true || options.trace === true;
  await (isForeground ? servers.inForeground(settings) : servers.inBackground(settings));
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
      throw new UsageError(`option "-o ${name}" needs a value`);
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
  throw new UsageError(
    `invalid value "${text}" for option "--layer-changes": use "watch", "ttl=SECONDS" or "never"`,
  );
}
