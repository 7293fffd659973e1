/**
 * npm run demo: shows copy-on-write on this machine's own files.
 *
 * Rule: everything runs in a mount namespace of its own and on a tmpfs, so that nothing is left, however it ends. The
 * printed commands are the executed ones.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E, Errno } from '../fs/sys/errno.js';
import { umount2 } from '../fs/sys/syscalls.js';
import { packageFile } from '../runtime/host/package.js';
import { bindMount, enterMountNamespace, mountTmpfs } from '../runtime/namespaces/mount-namespace.js';
import { print, setPrefix, warn } from './terminal/output.js';

const PROGRAMS: Readonly<Record<string, string>> = {
  unionfs: packageFile('dist/bin/unionfs'),
  tscr: packageFile('dist/bin/tscr'),
};

class Demo {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  title(text: string): void {
    print(`\n=== ${text}\n`);
  }

  say(text: string): void {
    print(`# ${text}`);
  }

  /** Shows a shell command and runs it; `unionfs` and `tscr` are the programs of this checkout. */
  run(command: string, expectFailure = false): void {
    print(`$ ${command}`);
    const functions = Object.entries(PROGRAMS).map(([name, path]) => `${name}() { "${path}" "$@"; }`);
    const { status } = spawnSync('sh', ['-c', [...functions, command].join('\n')], {
      cwd: this.#directory,
      stdio: 'inherit',
      env: { ...process.env, TSCR_ROOT: join(this.#directory, 'store') },
    });
    if ((status === 0) === expectFailure) throw new Error(`"${command}" ended with ${status}`);
  }

  /** Shows what lies in directories: mode, size and name. A whiteout is a character device, c---------. */
  layers(...names: string[]): void {
    for (const name of names) {
      const args = [name, '-mindepth', '1', '-printf', '      %M %4s bytes  %P\n'];
      const { stdout } = spawnSync('find', args, { cwd: this.#directory, encoding: 'utf8' });
      print(`  ${name}${stdout === '' ? ': empty' : ''}`);
      process.stdout.write(sorted(stdout));
    }
  }
}

function sorted(lines: string): string {
  const name = (line: string): string => line.split(' bytes  ')[1] ?? '';
  return lines
    .split('\n')
    .filter((line) => line !== '')
    .sort((a, b) => (name(a) < name(b) ? -1 : 1))
    .map((line) => `${line}\n`)
    .join('');
}

function experiment5(demo: Demo): void {
  demo.title('Experiment 5: two directories become one; the upper name covers the lower one');
  demo.run('mkdir a b m && echo a > a/x.log && echo b > b/x.log && touch a/a.log b/b1.log b/b2.log');
  demo.layers('a', 'b');
  demo.run('unionfs mount --lower a:b m');
  demo.run('ls m && cat m/x.log');
  demo.say('there is no upper layer, so nothing can be written:');
  demo.run('touch m/new', true);
  demo.run('unionfs explain m/x.log');
  demo.run('unionfs umount m');
}

function experiment6(demo: Demo): void {
  demo.title('Experiment 6: copy-on-write. All changes go to upper, lower stays as it is');
  demo.run('mkdir lower upper work merged && echo one > lower/changed && echo two > lower/deleted');
  demo.run('unionfs mount --lower lower --upper upper --workdir work merged');
  const show = (): void => demo.layers('lower', 'upper', 'work/work', 'merged');
  show();
  demo.say('a new file is made in upper:');
  demo.run('echo new > merged/created');
  show();
  demo.say(
    'the first change copies the whole file up; in work it was built, in upper it appeared by one rename:',
  );
  demo.run('unionfs explain merged/changed --op write');
  demo.run('echo more >> merged/changed');
  show();
  demo.say('a deletion leaves a whiteout, the character device 0/0, in upper:');
  demo.run('rm merged/deleted');
  show();
  demo.run('unionfs diff merged');
  demo.run('cat lower/changed lower/deleted');
  demo.run('unionfs umount merged');
}

function chrootIntoHost(demo: Demo, directory: string): void {
  demo.title(
    "A root of one's own: this machine's files below, changes on a tmpfs, a shell chrooted into the union",
  );
  demo.run('mkdir host changes scratch root');
  bindMount('/', join(directory, 'host'));
  demo.run('unionfs mount --lower host --upper changes --workdir scratch root');
  const script =
    'echo "root is $(stat -f -c %T /), $(ls / | wc -l) entries"; rm /etc/passwd; mkdir -p /opt/demo; echo mine > /opt/demo/file; ls /etc/passwd';
  demo.say('the mount namespace and the chroot are entered by Node itself, through FFI:');
  demo.run(`tscr unshare --mount --root root sh -c '${script}'`, true);
  demo.say('inside, /etc/passwd was gone; outside it is not:');
  demo.run('ls -l /etc/passwd && ls /opt/demo', true);
  demo.run('unionfs diff root');
  demo.run('unionfs umount root');
  umount2(join(directory, 'host'));
}

function container(demo: Demo): void {
  demo.title("A container: an image made of this machine's own programs, run with the union as its root");
  demo.run('tscr image from-host sh,ls,cat,rm,id,ps -t demo:1 && tscr images');
  const script =
    'echo "I am process $$ of $(hostname 2>/dev/null || cat /etc/hostname)"; rm /usr/bin/id; echo mine >/file; ls /';
  demo.run(`tscr run --name first --hostname inside demo:1 sh -c '${script}'`);
  demo.say(
    'what it wrote and deleted lies in its own layer; another container of the image sees nothing of it:',
  );
  demo.run('tscr diff first');
  demo.run('tscr run --rm demo:1 id');
  demo.say('committed, that layer becomes part of a new image; the deletion has freed nothing:');
  demo.run('tscr commit first demo:2 && tscr images && tscr history demo:2');
  demo.run('tscr run --rm demo:2 cat /file');
  demo.run('tscr rm first && tscr rmi demo:1 demo:2');
}

function main(): void {
  const directory = mkdtempSync(join(tmpdir(), 'unionfs-demo-'));
  try {
    enterMountNamespace('private');
    mountTmpfs(directory);
    const demo = new Demo(directory);
    experiment5(demo);
    experiment6(demo);
    chrootIntoHost(demo, directory);
    container(demo);
    umount2(directory);
    print('\nNothing is left: no mount, no process, no file.');
  } finally {
    try {
      rmdirSync(directory);
    } catch {
      warn(`"${directory}" is still in use; remove it when the last process in it has ended`);
    }
  }
}

setPrefix('demo');
try {
  main();
} catch (error) {
  const denied = error instanceof Errno && error.code === E.EPERM;
  warn(denied ? `uid ${process.getuid?.()} may not mount; run as root` : String(error));
  process.exitCode = 1;
}
