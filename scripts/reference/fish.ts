/** Completions for fish: a line for each command, option and argument (complete(1)). */
import { type CommandEntry, type Kind, type OptionEntry, withAllBelow } from './tree.js';

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

/** Words of the command line that name commands, without options and their values. */
const SAME = `function __PROGRAM_at --description 'whether the command line is at the command $argv[1]'
    set -l path PROGRAM
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
        else if string match -q -- '-*' $word
            contains -- "$path $word" $__PROGRAM_valued; and set skip yes
        else if contains -- "$path $word" $__PROGRAM_commands
            set path "$path $word"
        end
    end
    test "$path" = "$argv[1]"
end
`;

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
  program: () => "-a '(__fish_complete_command)'",
  other: () => '-f',
};

function optionLine(start: string, option: OptionEntry, program: string): string {
  const { short, long, description, takesValue, choices, kind } = option;
  const value = choices.length > 0 ? `-f -a ${quoted(choices.join(' '))}` : ACTIONS[kind](program);
  const flags = [`-l ${long.replace(/^--/, '')}`, ...(short === undefined ? [] : [`-s ${short.slice(1)}`])];
  return [start, ...flags, ...(takesValue ? ['-r', value] : []), '-d', quoted(description)].join(' ');
}

function lines({ path, options, commands, arguments: args }: CommandEntry, program: string): string[] {
  const start = `complete -c ${program} -n ${quoted(`__${program}_at "${path}"`)}`;
  const kinds = new Set(args.map(({ kind }) => kind));
  return [
    ...commands.map(({ name, description }) => `${start} -f -a ${name} -d ${quoted(description)}`),
    ...options.map((option) => optionLine(start, option, program)),
    ...[...kinds].map((kind) => `${start} ${ACTIONS[kind](program)}`),
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
