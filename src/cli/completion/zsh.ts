import { type CommandWords, type OptionWords, quoted, type Value, type Words } from './words.js';

/** A completion script for zsh: to be put into `$fpath` as `_elfnote`, or sourced after compinit. */
export function zshCompletion({ commands, options }: Words): string {
  return `#compdef elfnote
# zsh completion for elfnote, made by \`elfnote completion zsh\`.
_elfnote() {
  local curcontext=$curcontext state line
  local -a commands=(
${commands.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`).join('\n')}
  )
  _arguments -C \\
${options.map(option => `    ${spec(option)} \\`).join('\n')}
    '1:command:->command' \\
    '*::argument:->arguments'
  case $state in
    command) _describe command commands ;;
    arguments)
      curcontext="\${curcontext%:*:*}:elfnote-$line[1]:"
      case $line[1] in
${commands.map(branch).join('\n')}
      esac
      ;;
  esac
}

if [[ $funcstack[1] == _elfnote ]]; then
  _elfnote "$@"
else
  compdef _elfnote elfnote
fi
`;
}

function branch({ name, options, argument }: CommandWords): string {
  const specs = options.map(spec);
  if (argument !== undefined) specs.push(quoted(argumentSpec(argument)));
  return `        ${name}) _arguments -s ${specs.map(one => `\\\n          ${one}`).join(' ')} ;;`;
}

/** What a program gets behind its name is its own affair. */
function argumentSpec(argument: Value): string {
  return argument.kind === 'program' ? '*::program:_normal' : `*:argument:${action(argument)}`;
}

function spec({ short, long, description, value }: OptionWords): string {
  const said = `[${description.replace(/[[\]:\\]/g, '\\$&')}]`;
  const takes = value === undefined ? '' : `:value:${action(value)}`;
  // Each may come again; that an option stands twice is for elfnote to judge.
  return [short, long]
    .flatMap(flag => (flag === undefined ? [] : [quoted(`*${flag}${said}${takes}`)]))
    .join(' ');
}

function action(value: Value): string {
  switch (value.kind) {
    case 'words':
      return `(${value.words.join(' ')})`;
    case 'file':
      return '_files';
    case 'directory':
      return '_files -/';
    case 'program':
      return '_command_names -e';
    case 'other':
      return '';
  }
}
