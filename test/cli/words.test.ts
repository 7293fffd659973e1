/**
 * Protects the words of both programs (CONTRIBUTING.md, "Words"): errors begin with the program and the command, what
 * docker has and tscr has not is refused by name, and nothing is suggested that is not close.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { assert } from 'chai';
import type { Command } from 'commander';
import { ChoiceOption, optionDescription } from '../../cli/terminal/choice-option.js';
import { psCommand } from '../../cli/tscr/commands/container/ps.js';
import { rmCommand } from '../../cli/tscr/commands/container/rm.js';
import { runCommand } from '../../cli/tscr/commands/container/run.js';
import { historyCommand } from '../../cli/tscr/commands/image/history.js';
import { imagesCommand } from '../../cli/tscr/commands/image/images.js';
import { importCommand } from '../../cli/tscr/commands/image/import.js';
import { loadCommand } from '../../cli/tscr/commands/image/load.js';
import { rmiCommand } from '../../cli/tscr/commands/image/rmi.js';
import { saveCommand } from '../../cli/tscr/commands/image/save.js';
import { inspectCommand } from '../../cli/tscr/commands/system/inspect.js';
import { systemCommand } from '../../cli/tscr/commands/system/system.js';
import { insteadOf, notImplemented } from '../../cli/tscr/not-implemented.js';
import { MOUNT_OPTION_HELP } from '../../cli/unionfs/commands/mount-option-help.js';
import { MOUNT_WORDS } from '../../cli/unionfs/mount-words.js';
import { suggestion } from '../../fs/input/nearest.js';
import { adviceFor } from '../../fs/sys/advice.js';
import { E } from '../../fs/sys/errno.js';
import { PACKAGE } from '../support/container/tscr.js';

const TSCR_FAILURE = 125;
const UNIONFS_FAILURE = 1;

/** What is called, and the line on standard error. */
const ERRORS: readonly [call: string, says: string | RegExp][] = [
  ['tscr rum', 'tscr: unknown command "rum"; did you mean "run"?'],
  ['tscr frobnicate', 'tscr: unknown command "frobnicate"'],
  ['tscr --frobnicate ps', 'tscr: unknown option "--frobnicate"'],
  ['tscr ps extra', 'tscr ps: unexpected argument "extra"'],
  ['tscr system df extra', 'tscr system df: unexpected argument "extra"'],
  ['tscr tag one', 'tscr tag: missing required argument "name"'],
  [
    'tscr save x --format zip',
    'tscr save: invalid value "zip" for option "--format": use "docker-archive" or "oci"',
  ],
  ['tscr save x -o', 'tscr save: option "--output" needs a value'],
  ['tscr run --name a/b x', /^tscr run: invalid name "a\/b": use letters, digits, "_", "\." and "-"/],
  ['tscr run', /^tscr run: missing image; /],
  ['tscr run -d x', /^tscr run: "--detach" is not implemented; /],
  ['tscr run -it x', /^tscr run: "--tty" is not implemented; /],
  ['tscr run -p8080:80 x', /^tscr run: "--publish" is not implemented; /],
  ['tscr run --memory=1g x', /^tscr run: "--memory" is not implemented; /],
  ['tscr image rm --no-prune x', /^tscr image rm: "--no-prune" is not implemented; /],
  ['tscr image pull x', /^tscr image: "pull" is not implemented; /],
  ['tscr container ls', /^tscr: "container" is not implemented; /],
  ['tscr ps --filter status=exited', /^tscr ps: "--filter" is not implemented; /],
  ['unionfs mout', 'unionfs: unknown command "mout"; did you mean "mount"?'],
  ['unionfs umount', 'unionfs umount: missing required argument "mountpoint"'],
  ['unionfs list extra', 'unionfs list: unexpected argument "extra"'],
  ['unionfs mount --lower / /no/such', 'unionfs mount: "/no/such" does not exist'],
  ['unionfs mount -f --lower / /no/such', 'unionfs mount: "/no/such" does not exist'],
];

const COMMANDS: Readonly<Record<string, Command>> = {
  run: runCommand(),
  ps: psCommand(),
  images: imagesCommand(),
  rm: rmCommand(),
  rmi: rmiCommand(),
  load: loadCommand(),
  save: saveCommand(),
  import: importCommand(),
  history: historyCommand(),
  inspect: inspectCommand(),
  ...Object.fromEntries(systemCommand().commands.map((command) => [`system ${command.name()}`, command])),
};

function call(line: string): { status: number | null; stdout: string; stderr: string } {
  const [program = '', ...args] = line.split(' ');
  const { status, stdout, stderr } = spawnSync(join(PACKAGE, 'dist/bin', program), args, {
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('words', () => {
  describe('errors begin with the program and the command', () => {
    for (const [line, says] of ERRORS) {
      it(line, () => {
        const { status, stdout, stderr } = call(line);
        const failure = line.startsWith('tscr') ? TSCR_FAILURE : UNIONFS_FAILURE;
        assert.deepEqual({ status, stdout }, { status: failure, stdout: '' });
        if (typeof says === 'string') assert.equal(stderr, `${says}\n`);
        else assert.match(stderr, says);
        assert.lengthOf(stderr.trimEnd().split('\n'), 1, stderr);
      });
    }
  });

  describe('what docker has and tscr has not', () => {
    it('no name in the table is implemented', () => {
      const help = call('tscr --help').stdout;
      const commands = [...help.matchAll(/^ {2}(\w+)/gm)].map(([, name]) => name);
      assert.includeMembers(commands, ['run', 'ps', 'images']);
      for (const [command, name] of notImplemented()) {
        const options = COMMANDS[command]?.options.flatMap(({ long, short }) => [long, short]);
        if (command === '') assert.notInclude(commands, name);
        else assert.notInclude(options ?? assert.fail(`no command "${command}"`), name);
      }
    });

    it('every name is found, with its full form', () => {
      for (const [command, name] of notImplemented())
        assert.match(insteadOf(command, name)?.name ?? '', name.startsWith('-') ? /^--\w/ : /^\w/);
      assert.isUndefined(insteadOf('run', '--frobnicate'));
      assert.isUndefined(insteadOf('ps', 'stop'));
    });
  });

  it('a suggestion is at most two edits away', () => {
    const known = ['mount', 'umount', 'list'];
    assert.equal(suggestion('mont', known), '; did you mean "mount"?');
    assert.equal(suggestion('muont', known), '; did you mean "mount"?');
    for (const word of ['x', 'li', 'frobnicate', 'm']) assert.equal(suggestion(word, known), '', word);
  });

  it('help has one line per value of an option', () => {
    for (const command of Object.values(COMMANDS)) {
      for (const option of command.options.filter((each) => each instanceof ChoiceOption)) {
        const lines = optionDescription(option).split('\n').slice(1);
        assert.deepEqual(
          lines.map((line) => line.trim().split(' ')[0]),
          option.argChoices,
        );
      }
    }
  });

  it('help explains every mount option', () => {
    const explained = Object.keys(MOUNT_OPTION_HELP).flatMap((names) =>
      names.split(', ').map((name) => name.replace(/=.*/, '')),
    );
    assert.sameMembers([...new Set(explained)], [...MOUNT_WORDS]);
  });

  it('no space and no permission name the filesystem, a missing privilege names doctor', () => {
    assert.match(adviceFor(E.ENOSPC, '/proc/no/such'), /^; no space left on proc mounted at "\/proc"$/);
    assert.match(adviceFor(E.EACCES, '/proc'), /^; permission denied on proc mounted at "\/proc"$/);
    assert.equal(adviceFor(E.EDQUOT), '; disk quota exceeded on the filesystem');
    assert.equal(adviceFor(E.EPERM, '/proc'), '; run "tscr doctor"');
    assert.equal(adviceFor(E.ENOENT, '/proc'), '');
  });
});
