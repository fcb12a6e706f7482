import type { CommandWords, OptionWords, Value, Words } from './words.js';

/** A completion script for bash 4.4 or later, which needs nothing else. */
export function bashCompletion({ commands, options }: Words): string {
  const names = [...commands.map(({ name }) => name), ...flagsOf(options)];
  return `# bash completion for elfnote, made by \`elfnote completion bash\`.
_elfnote() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command='' i
  COMPREPLY=()
  # \`--root=dir\` arrives as three words.
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ \${COMP_WORDS[i]} != -* ]]; then
      command=\${COMP_WORDS[i]}
      break
    fi
  done
  case $command in
    '') _elfnote_words '${names.join(' ')}' ;;
${commands.map(branch).join('\n')}
  esac
}

_elfnote_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }

_elfnote_paths() {
  compopt -o filenames
  mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}

_elfnote_program() {
  if [[ $cur == */* ]]; then _elfnote_paths -f; else _elfnote_paths -c; fi
}

complete -F _elfnote elfnote
`;
}

function branch({ name, options, argument }: CommandWords): string {
  const values = options.filter(({ value }) => value !== undefined);
  const cases = values.map(option => `        ${flagsOf([option]).join(' | ')}) ${offer(option.value)} ;;`);
  const flags = `if [[ $cur == -* ]]; then _elfnote_words '${flagsOf(options).join(' ')}'; else ${offer(argument)}; fi`;
  const body =
    cases.length === 0
      ? `      ${flags}`
      : ['      case $prev in', ...cases, `        *) ${flags} ;;`, '      esac'].join('\n');
  return `    ${name})\n${body}\n      ;;`;
}

function flagsOf(options: readonly OptionWords[]): string[] {
  return options.flatMap(({ short, long }) => (short === undefined ? [long] : [short, long]));
}

function offer(value: Value | undefined): string {
  switch (value?.kind) {
    case 'words':
      return `_elfnote_words '${value.words.join(' ')}'`;
    case 'file':
      return '_elfnote_paths -f';
    case 'directory':
      return '_elfnote_paths -d';
    case 'program':
      return '_elfnote_program';
    default:
      return ':';
  }
}
