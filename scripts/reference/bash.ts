/**
 * Completions for bash, which need no bash-completion.
 *
 * Rules: bash splits words at "=" and ":", so that `--userns=single` and `debian:12` are several words; what is completed
 * here are the words as the program gets them, and answers leave out what bash has split off. The generated tables say
 * which words a command takes; the functions below them are the same for every program.
 */
import { type CommandEntry, type Kind, type OptionEntry, withAllBelow } from './tree.js';

const quoted = (words: readonly string[]): string => `'${words.join(' ').replaceAll("'", "'\\''")}'`;
const flagsOf = ({ short, long }: OptionEntry): string[] => (short === undefined ? [long] : [short, long]);
const candidates = ({ choices, kind }: { choices: readonly string[]; kind: Kind }): string =>
  choices.length > 0 ? choices.join(' ') : `@${kind}`;

function commandCase({ path, options, commands, arguments: args }: CommandEntry): string {
  const kinds = args.map(({ kind, variadic }) => `@${kind}${variadic ? '...' : ''}`);
  return `    ${quoted([path])})
      options=${quoted(options.flatMap(flagsOf))}
      commands=${quoted(commands.map(({ name }) => name))}
      arguments=${quoted(kinds)} ;;`;
}

function valueCases({ path, options }: CommandEntry): string[] {
  return options
    .filter(({ takesValue }) => takesValue)
    .map((option) => {
      const patterns = flagsOf(option).map((flag) => quoted([`${path} ${flag}`]));
      return `    ${patterns.join(' | ')}) value=${quoted([candidates(option)])} ;;`;
    });
}

/** The script for one program. */
export function bashCompletion(program: CommandEntry): string {
  const commands = withAllBelow(program);
  const name = `_${program.name}`;
  return `# bash completion for ${program.name}; written by "npm run reference".

# What the command "$1" takes.
${name}_words() {
  options= commands= arguments=
  case $1 in
${commands.map(commandCase).join('\n')}
  esac
}

# What the option "$2" of the command "$1" takes; nothing if it takes no value.
${name}_value() {
  value=
  case "$1 $2" in
${commands.flatMap(valueCases).join('\n')}
  esac
}

${SAME.replaceAll('PROGRAM', program.name)}
complete -o default -F ${name} ${program.name}
`;
}

const SAME = `# Words, or what stands for them, as candidates for "$current".
_PROGRAM_candidates() {
  local word words=
  for word in $1; do
    case $word in
      @image) words+=" $(command PROGRAM "\${global[@]}" images --format '{{.Repository}}:{{.Tag}}' 2>/dev/null)" ;;
      @container) words+=" $(command PROGRAM "\${global[@]}" ps -a 2>/dev/null | awk 'NR > 1 { print $NF }')" ;;
      @thing) _PROGRAM_candidates '@image @container' ;;
      @directory) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$current") ;;
      @file) compopt -o filenames; mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current") ;;
      @program | @command) mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -c -- "$current") ;;
      @other) ;;
      *) words+=" $word" ;;
    esac
  done
  [ -z "$words" ] || mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$current")
}

_PROGRAM() {
  local line=\${COMP_LINE:0:COMP_POINT} path=PROGRAM current= option= at=0 only= value options commands arguments
  local -a words global=()
  COMPREPLY=()
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[-1]}
  _PROGRAM_words "$path"
  for word in "\${words[@]:1:\${#words[@]}-2}"; do
    if [ -n "$option" ]; then
      [ "$option" != --root ] || global=(--root "$word")
      option=
    elif [ -z "$only" ] && [[ $word == -- ]]; then only=arguments
    elif [ -z "$only" ] && [[ $word == --*=* ]]; then
      [[ $word != --root=* ]] || global=("$word")
    elif [ -z "$only" ] && [[ $word == -* ]]; then
      _PROGRAM_value "$path" "$word"
      [ -z "$value" ] || option=$word
    elif [[ " $commands " == *" $word "* ]]; then
      path+=" $word"
      _PROGRAM_words "$path"
    else
      at=$((at + 1))
      [[ $arguments != *@command* ]] || only=arguments
    fi
  done

  local -a kinds=($arguments)
  local kind=\${kinds[at]-}
  [ -n "$kind" ] || [[ \${kinds[-1]-} != *... ]] || kind=\${kinds[-1]}
  if [ -n "$option" ]; then
    _PROGRAM_value "$path" "$option"
    _PROGRAM_candidates "$value"
  elif [ -z "$only" ] && [[ $current == --*=* ]]; then
    _PROGRAM_value "$path" "\${current%%=*}"
    local flag=\${current%%=*}
    current=\${current#*=}
    _PROGRAM_candidates "$value"
    COMPREPLY=("\${COMPREPLY[@]/#/$flag=}")
    current=$flag=$current
  elif [ -z "$only" ] && [[ $current == -* ]]; then
    _PROGRAM_candidates "$options"
  else
    _PROGRAM_candidates "$commands \${kind%...}"
  fi

  # What bash has split off is not repeated.
  local breaks=\${COMP_WORDBREAKS//[!=:]/} split
  if [[ -n $breaks && $current == *["$breaks"]* ]]; then
    split=\${current%"\${current##*["$breaks"]}"}
    COMPREPLY=("\${COMPREPLY[@]#"$split"}")
  fi
}
`;
