/** Completions for fish: a line for each command, option and argument (complete(1)). */
import { type CommandEntry, type Kind, type OptionEntry, withAllBelow } from './tree.js';

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Where the command line is: the command that it names, and how many words for it come before the one to complete. */
const SAME = `function __PROGRAM_at --description 'whether it is at the command $argv[1], after $argv[2] to $argv[3] words'
    set -l path PROGRAM
    set -l skip no
    set -l words 0
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
        else if string match -q -- '-*' $word
            contains -- "$path $word" $__PROGRAM_valued; and set skip yes
        else if test $words = 0; and contains -- "$path $word" $__PROGRAM_commands
            set path "$path $word"
        else
            set words (math $words + 1)
        end
    end
    test "$path" = "$argv[1]" -a $words -ge $argv[2] -a $words -le $argv[3]
end
`;

/** More words than a command line has. */
const ANY = 99_999;

const NAMES = `function __tscr_images
    command tscr images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null
end
function __tscr_containers
    command tscr ps -a 2>/dev/null | awk 'NR > 1 { print $NF }'
end
function __tscr_things
    __tscr_images
    __tscr_containers
end
`;

const ACTIONS: Readonly<Record<Kind, (program: string) => string>> = {
  image: () => "-f -a '(__tscr_images)'",
  container: () => "-f -a '(__tscr_containers)'",
  thing: () => "-f -a '(__tscr_things)'",
  directory: () => "-f -a '(__fish_complete_directories)'",
  file: () => '-F',
  program: () => "-f -a '(__fish_complete_command)'",
  command: () => "-a '(__fish_complete_command)'",
  other: () => '-f',
};

function optionLine(start: string, option: OptionEntry, program: string): string {
  const { short, long, summary, takesValue, choices, kind } = option;
  const value = choices.length > 0 ? `-f -a ${quoted(choices.join(' '))}` : ACTIONS[kind](program);
  const flags = [`-l ${long.replace(/^--/, '')}`, ...(short === undefined ? [] : [`-s ${short.slice(1)}`])];
  return [start, ...flags, ...(takesValue ? ['-r', value] : []), '-d', quoted(summary)].join(' ');
}

function lines({ path, options, commands, arguments: args }: CommandEntry, program: string): string[] {
  const at = (least: number, most: number): string =>
    `complete -c ${program} -n ${quoted(`__${program}_at "${path}" ${least} ${most}`)}`;
  const isCommands = args.some(({ kind }) => kind === 'command');
  return [
    ...commands.map(({ name, description }) => `${at(0, 0)} -f -a ${name} -d ${quoted(description)}`),
    ...options.map((option) => optionLine(at(0, isCommands ? 0 : ANY), option, program)),
    ...args.map(
      ({ kind, variadic }, place) => `${at(place, variadic ? ANY : place)} ${ACTIONS[kind](program)}`,
    ),
  ];
}

/** The script for one program. */
export function fishCompletion(program: CommandEntry): string {
  const all = withAllBelow(program);
  const valued = all.flatMap(({ path, options }) =>
    options
      .filter(({ takesValue }) => takesValue)
      .flatMap(({ short, long }) =>
        [short, long].filter((flag) => flag !== undefined).map((flag) => `${path} ${flag}`),
      ),
  );
  const paths = all.map(({ path }) => path);
  const list = (name: string, words: readonly string[]): string =>
    `set -g __${program.name}_${name} ${words.map(quoted).join(' ')}\n`;
  return `# fish completion for ${program.name}; written by "npm run reference".

${list('commands', paths)}${list('valued', valued)}
${SAME.replaceAll('PROGRAM', program.name)}${program.name === 'tscr' ? NAMES : ''}
${all.flatMap((entry) => lines(entry, program.name)).join('\n')}
`;
}
