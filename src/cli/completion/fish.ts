import { type CommandWords, type OptionWords, quoted, type Value, type Words } from './words.js';

/** A completion script for fish 3 or later. */
export function fishCompletion({ commands, options }: Words): string {
  const none = 'not __fish_seen_subcommand_from $elfnote_commands';
  return [
    '# fish completion for elfnote, made by `elfnote completion fish`.',
    `set -l elfnote_commands ${commands.map(({ name }) => name).join(' ')}`,
    'complete -c elfnote -f',
    ...commands.map(({ name, description }) => line(none, ['-a', name, '-d', quotedInFish(description)])),
    ...options.map(option => optionLine(none, option)),
    ...commands.flatMap(linesOf),
    '',
  ].join('\n');
}

function linesOf({ name, options, argument }: CommandWords): string[] {
  const seen = `__fish_seen_subcommand_from ${name}`;
  return [
    ...options.map(option => optionLine(seen, option)),
    ...(argument === undefined ? [] : [line(seen, [...offer(argument)])]),
  ];
}

function optionLine(condition: string, { short, long, description, value }: OptionWords): string {
  return line(condition, [
    ...(short === undefined ? [] : ['-s', short.slice(1)]),
    '-l',
    long.slice(2),
    ...(value === undefined ? [] : ['-r', ...offer(value)]),
    '-d',
    quotedInFish(description),
  ]);
}

function line(condition: string, parts: readonly string[]): string {
  return `complete -c elfnote -n "${condition}" ${parts.join(' ')}`;
}

/** In single quotes fish knows two escapes. */
function quotedInFish(text: string): string {
  return quoted(text.replaceAll('\\', '\\\\'), "\\'");
}

function offer(value: Value): readonly string[] {
  switch (value.kind) {
    case 'words':
      return ['-f', '-a', quotedInFish(value.words.join(' '))];
    case 'file':
      return ['-F'];
    case 'directory':
      return ['-f', '-a', "'(__fish_complete_directories)'"];
    case 'program':
      return ['-f', '-a', "'(__fish_complete_subcommand)'"];
    case 'other':
      return ['-f'];
  }
}
