/**
 * unionfs mount: starts the server, in the background unless asked otherwise.
 *
 * Rules: the command returns 0 only when the mount is usable. The server is a process of its own, in its own
 * session, at "/", with none of the caller's streams: it tells how it went through a pipe of its own.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Command, Option } from 'commander';
import { type Mount, type MountOptions, mount, UsageError } from '../../fs/index.js';
import { O } from '../../fs/sys/constants.js';
import { Errno } from '../../fs/sys/errno.js';
import { close, closeOnExec, dup2, openat } from '../../fs/sys/syscalls.js';
import { MOUNT_FLAGS } from '../../fs/transport/device.js';
import { openApart } from '../../fs/union/layer.js';
import { LOG, splitLayers, toBytes } from '../../fs/union/stack.js';
import { suggestion } from '../../runtime/nearest.js';

interface Options {
  readonly lower?: string;
  readonly upper?: string;
  readonly workdir?: string;
  readonly work?: string;
  readonly option: readonly string[];
  readonly layerChanges?: string;
  readonly foreground?: true;
  readonly trace?: true;
  readonly readyFd?: string;
}

export function mountCommand(): Command {
  const collect = (value: string, all: readonly string[]): string[] => [...all, value];
  return new Command('mount')
    .description('mount a union of directories')
    .argument('<mountpoint>', 'directory to mount on')
    .option('--lower <a:b>', 'lower layers, never changed; the leftmost is the top one; "\\:" is a colon')
    .option('--upper <dir>', 'the layer that takes all changes; without it the mount is read-only')
    .option('--workdir <dir>', "scratch space on upper's filesystem (default: a hidden sibling of upper)")
    .addOption(new Option('--work <dir>').hideHelp())
    .option('-o, --option <list>', `mount options: ${knownOptions().join(', ')}`, collect, [])
    .option('--layer-changes <how>', 'notice changes to lower layers: watch, ttl=SECONDS or never')
    .option('-f, --foreground', 'serve in this process until unmounted')
    .option('--trace', 'write every request to standard error; implies --foreground')
    .addOption(new Option('--ready-fd <fd>').hideHelp())
    .action(run);
}

async function run(mountpoint: string, options: Options): Promise<void> {
  const settings = mountOptions(mountpoint, options);
  if (options.readyFd !== undefined) await serve(settings, Number(options.readyFd));
  else if (options.foreground === true || options.trace === true) await serve(settings);
  else await background();
}

// --- options

/** Options that mean what the program does anyway, and those that undo a flag. */
const ACCEPTED = ['rw', 'suid', 'dev', 'exec', 'allow_other', 'default_permissions'];
const VALUED = ['lowerdir', 'upperdir', 'workdir', 'fsname'];
const SWITCHES = ['volatile', 'writeback'];

function knownOptions(): string[] {
  return [...VALUED.map((name) => `${name}=`), ...SWITCHES, ...Object.keys(MOUNT_FLAGS), ...ACCEPTED];
}

/** Splits `a,b=c`; `\,` is a comma within a value. */
function splitOptions(lists: readonly string[]): [name: string, value: string | undefined][] {
  const items = lists.flatMap((list) => list.split(/(?<!\\),/)).filter((item) => item !== '');
  return items.map((item) => {
    const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(item.replaceAll('\\,', ',')) ?? [];
    return [name, value];
  });
}

function mountOptions(mountpoint: string, options: Options): MountOptions {
  const given = new Map<string, string | undefined>();
  let flags = 0;
  for (const [name, value] of splitOptions(options.option)) {
    const flag = MOUNT_FLAGS[name];
    if (flag !== undefined) flags |= flag;
    else if (![...VALUED, ...SWITCHES, ...ACCEPTED].includes(name)) {
      throw new UsageError(`unknown option "-o ${name}"${suggestion(name, knownOptions())}`);
    } else given.set(name, value);
    if (VALUED.includes(name) && (value === undefined || value === '')) {
      throw new UsageError(`the option "-o ${name}" needs a value`);
    }
  }
  const lower = options.lower ?? given.get('lowerdir');
  const upper = options.upper ?? given.get('upperdir');
  const work = options.workdir ?? options.work ?? given.get('workdir');
  const source = given.get('fsname');
  const layerChanges = layerChangesOf(options.layerChanges);
  return {
    mountpoint: resolve(mountpoint),
    lowers: lower === undefined ? [] : splitLayers(lower).map(absolute),
    ...(upper !== undefined && { upper: absolute(upper) }),
    ...(work !== undefined && { work: absolute(work) }),
    ...(source !== undefined && { source }),
    ...(layerChanges !== undefined && { layerChanges }),
    flags,
    volatile: given.has('volatile'),
    writeback: given.has('writeback'),
    trace: options.trace === true,
  };
}

/** An empty path is an error of its own, not the current directory. */
const absolute = (path: string): string => (path === '' ? '' : resolve(path));

function layerChangesOf(text: string | undefined): MountOptions['layerChanges'] {
  if (text === undefined || text === 'watch' || text === 'never') return text;
  const seconds = Number(/^ttl=(\d+)$/.exec(text)?.[1] ?? Number.NaN);
  if (Number.isSafeInteger(seconds)) return seconds;
  throw new UsageError(`--layer-changes "${text}" is none of "watch", "ttl=SECONDS", "never"`);
}

// --- serving

/** Serves until unmounted. With a `readyFd`, says there when the mount is usable, or why it is not. */
async function serve(options: MountOptions, readyFd?: number): Promise<void> {
  process.umask(0);
  let mounted: Mount;
  try {
    mounted = await mount(options);
  } catch (error) {
    if (readyFd === undefined) throw error;
    tell(readyFd, explain(error));
    process.exitCode = FAILURE;
    return;
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void end(mounted));
  if (readyFd !== undefined) {
    withdraw(mounted);
    tell(readyFd, READY);
  }
  await mounted.ended;
}

/** The last word on the pipe: its number may mean another file from here on. */
function tell(fd: number, message: string): void {
  writeSync(fd, message);
  closeSync(fd);
}

/** Ends the mount; a server that is stuck in a system call ends with its process, and the kernel cleans up. */
async function end(mounted: Mount): Promise<void> {
  const stuck = setTimeout(() => process.kill(process.pid, 'SIGKILL'), END_PATIENCE_MS);
  await mounted.end();
  clearTimeout(stuck);
}

const FAILURE = 1;
const END_PATIENCE_MS = 5000;

const READY = 'ready';
/** The pipe that the server of a background mount is given. */
const READY_FD = 3;
const STDERR = 2;

/** Lets go of the caller's directory; what the server logs goes beside its scratch files, as long as it holds them. */
function withdraw({ stack, released }: Mount): void {
  process.chdir('/');
  if (stack.work === undefined) return;
  const work = openApart(toBytes(stack.work));
  redirectErrors(openat(work, LOG, O.WRONLY | O.APPEND | O.CREAT, 0o600));
  close(work);
  const silence = (): void => redirectErrors(openSync('/dev/null', 'w'));
  released.then(silence, () => {}); // a failure is still to be logged
}

function redirectErrors(fd: number): void {
  dup2(fd, STDERR);
  close(fd);
}

function explain(error: unknown): string {
  if (error instanceof UsageError || error instanceof Errno) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** What the caller left open beside the standard streams is none of the server's business. */
function keepDescriptors(): void {
  for (const name of readdirSync('/proc/self/fd')) if (Number(name) > STDERR) closeOnExec(Number(name));
}

/** Starts this very command as a process of its own and waits for its word. */
async function background(): Promise<void> {
  keepDescriptors();
  const [script = '', command = '', ...rest] = process.argv.slice(1);
  const again = [...process.execArgv, script, command, '--ready-fd', String(READY_FD), ...rest];
  const child = spawn(process.execPath, again, {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const word = await text(child.stdio[READY_FD] as Readable);
  child.unref();
  if (word !== READY) throw new UsageError(word === '' ? 'the server ended without a word' : word);
}
