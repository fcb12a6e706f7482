import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { ElfnoteError } from '../errors.js';
import { nameOf } from '../files/names.js';

/** What Node shows in the place of bytes that are no UTF-8. */
const REPLACEMENT = '\ufffd';

/**
 * Node hands arguments on as text, so one that is not UTF-8 would name another file than the one that is meant, and be
 * something else for a program that is run. The system has its bytes.
 *
 * @throws ElfnoteError `usage`
 */
export function refuseForeignArguments(args: readonly string[]): void {
  if (!args.some(arg => arg.includes(REPLACEMENT))) return;
  const foreign = argumentsAsBytes()
    .map(nameOf)
    .find(({ isUtf8 }) => !isUtf8);
  if (foreign === undefined) return;
  throw new ElfnoteError('usage', 'is an argument that is not UTF-8, which Node cannot pass on', {
    path: foreign.text,
  });
}

/** None where the system does not tell. */
function argumentsAsBytes(): Buffer[] {
  try {
    const line = readFileSync('/proc/self/cmdline', 'latin1');
    return line.split('\0').map(arg => Buffer.from(arg, 'latin1'));
  } catch {
    return [];
  }
}

/** Of options that are lists, as environment variables have them: these may well be empty. */
const MAY_BE_EMPTY = /<(?:dirs|names)>$/;

/**
 * An empty argument is a variable of the caller's that is not set. As a path it would be the working directory for one
 * call, and nothing for another.
 */
export function refuseEmpty(command: Command): void {
  command.registeredArguments.forEach((argument, i) => {
    // What a program is run with is its own.
    const given = argument.variadic && argument.name() === 'args' ? [] : [command.processedArgs[i]].flat();
    if (given.includes('')) command.error(`argument '${argument.name()}' is empty`);
  });
  for (const option of command.options) {
    const given: unknown = command.getOptionValue(option.attributeName());
    if ([given].flat().includes('') && !MAY_BE_EMPTY.test(option.flags))
      command.error(`option '${option.flags}' argument is empty`);
  }
}
