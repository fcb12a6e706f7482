import { Argument, type Command, type Option } from 'commander';

/** What may stand where a value is due. */
export type Value =
  | { readonly kind: 'file' | 'directory' | 'program' | 'other' }
  | { readonly kind: 'words'; readonly words: readonly string[] };

export interface OptionWords {
  readonly short: string | undefined;
  readonly long: string;
  readonly description: string;
  /** Undefined for a flag. */
  readonly value: Value | undefined;
}

export interface CommandWords {
  readonly name: string;
  readonly description: string;
  readonly options: readonly OptionWords[];
  /** What its arguments are; undefined where it takes none. */
  readonly argument: Value | undefined;
}

export interface Words {
  readonly commands: readonly CommandWords[];
  /** Before the name of a command. */
  readonly options: readonly OptionWords[];
}

/** Every command, option and value that a command line may have. */
export function wordsOf(program: Command): Words {
  const commands = program.commands.map(command => ({
    name: command.name(),
    description: command.description(),
    options: optionsOf(command),
    argument: command.registeredArguments[0] && valueFor(command.registeredArguments[0]),
  }));
  const help: CommandWords = {
    name: 'help',
    description: 'show the help of a command',
    options: [],
    argument: { kind: 'words', words: commands.map(({ name }) => name) },
  };
  return { commands: [...commands, help], options: optionsOf(program) };
}

function optionsOf(command: Command): OptionWords[] {
  const visible = command.createHelp().visibleOptions(command);
  return visible.flatMap(option => {
    const { short, long, description } = option;
    const value = option.required || option.optional ? valueFor(option) : undefined;
    return long ? [{ short, long, description, value }] : [];
  });
}

const KINDS: Readonly<Record<string, 'file' | 'directory' | 'program'>> = {
  path: 'file',
  file: 'file',
  module: 'file',
  program: 'program',
  dir: 'directory',
  dirs: 'directory',
};

/** Told by the choices, or else by the name in the usage: `<dir>`. */
function valueFor(of: Option | Argument): Value {
  const choices = of.argChoices;
  if (choices !== undefined) return { kind: 'words', words: choices };
  const name = of instanceof Argument ? of.name() : (/<([^>.]+)/.exec(of.flags)?.[1] ?? '');
  return { kind: KINDS[name] ?? 'other' };
}

/** A word in single quotes, as all three shells read it but for what `escape` does in them. */
export function quoted(text: string, quote = "'\\''"): string {
  return `'${text.replaceAll("'", quote)}'`;
}
