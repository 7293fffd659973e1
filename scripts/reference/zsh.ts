/** Completions for zsh: a function for each command, which calls _arguments (zshcompsys(1)). */
import { type ArgumentEntry, type CommandEntry, type Kind, type OptionEntry, withAllBelow } from './tree.js';

const functionName = (path: string): string => `_${path.replaceAll(/[ -]/g, '_')}`;
/** In single quotes. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** In a specification of _arguments, where a colon ends a part and brackets a description. */
const escaped = (text: string): string => text.replaceAll(/[\\:[\]]/g, '\\$&');

function actionOf(kind: Kind, program: string): string {
  switch (kind) {
    case 'image':
    case 'container':
    case 'thing':
      return `_${program}_${kind}s`;
    case 'directory':
      return '_files -/';
    case 'file':
      return '_files';
    case 'program':
      return '_command_names -e';
    case 'command':
      return '_normal';
    case 'other':
      return ' ';
  }
}

function optionSpecs(option: OptionEntry, program: string): string {
  const { short, long, choices, kind, summary, takesValue } = option;
  const action = choices.length > 0 ? `(${choices.join(' ')})` : actionOf(kind, program);
  const spec = (flag: string): string => {
    const value = takesValue ? `:value:${action}` : '';
    return quoted(`*${flag}${takesValue && flag.startsWith('--') ? '=' : ''}[${escaped(summary)}]${value}`);
  };
  return [...(short === undefined ? [] : [spec(short)]), spec(long)].join(' ');
}

function argumentSpec({ term, kind, variadic }: ArgumentEntry, at: number, program: string): string {
  const place = variadic ? (kind === 'command' ? '*:' : '*') : String(at + 1);
  return quoted(`${place}:${escaped(term.replaceAll(/[<>[\].]/g, ''))}:${actionOf(kind, program)}`);
}

function commandFunction(entry: CommandEntry, program: string): string {
  const options = entry.options.map((option) => optionSpecs(option, program));
  const lines = (specs: readonly string[]): string => specs.join(' \\\n    ');
  if (entry.commands.length === 0) {
    const args = entry.arguments.map((argument, at) => argumentSpec(argument, at, program));
    return `${functionName(entry.path)}() {
  _arguments -S -s \\
    ${lines([...options, ...args])}
}`;
  }
  const names = entry.commands.map(({ name, description }) => quoted(`${escaped(name)}:${description}`));
  const cases = entry.commands.map(({ name, path }) => `        ${name}) ${functionName(path)} ;;`);
  return `${functionName(entry.path)}() {
  local context state line
  typeset -A opt_args
  local -a commands=(
    ${names.join('\n    ')}
  )
  _arguments -C -S -s \\
    ${lines([...options, quoted('1:command:->command'), quoted('*::argument:->argument')])}
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
${cases.join('\n')}
      esac ;;
  esac
}`;
}

const NAMES = `_tscr_images() {
  local -a names=(\${(f)"$(_call_program images tscr images --format "'{{.Repository}}:{{.Tag}}'" 2>/dev/null)"})
  compadd -a names
}

_tscr_containers() {
  local -a names=(\${(f)"$(_call_program containers tscr ps -a 2>/dev/null | awk 'NR > 1 { print $NF }')"})
  compadd -a names
}

_tscr_things() {
  _tscr_images
  _tscr_containers
}

`;

/** The script for one program. */
export function zshCompletion(program: CommandEntry): string {
  const functions = withAllBelow(program).map((entry) => commandFunction(entry, program.name));
  return `#compdef ${program.name}
# zsh completion for ${program.name}; written by "npm run reference".

${program.name === 'tscr' ? NAMES : ''}${functions.join('\n\n')}

if [ "$funcstack[1]" = _${program.name} ]; then
  _${program.name} "$@"
else
  compdef _${program.name} ${program.name}
fi
`;
}
