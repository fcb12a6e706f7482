import { Command } from 'commander';

interface Flags {
  readonly printEnv?: boolean;
}

const EXAMPLE = `
Example:
  $ elfnote exec -- ./result/bin/hello --greeting hi
  $ export "$(elfnote exec --print-env)"

LD_AUDIT is kept, and the reader put behind what is in it. ELFNOTE_DEBUG=1 makes the reader say on standard
error what it answered, and why where it did not.

Exit status: that of the program, or death by the same signal; 127 no such program, 126 it cannot be run, 2 there
is no reader to run it with.`;

export function execCommand(): Command {
  return new Command('exec')
    .description('run a program so that an unpatched glibc finds its libraries by their notes')
    .argument('[program]', 'looked up in PATH')
    .argument('[args...]', 'passed on as they are')
    .option('--print-env', 'print the variable that does it, for a shell, a wrapper or a service unit')
    .passThroughOptions()
    .addHelpText('after', EXAMPLE)
    .action(async (name: string | undefined, args: string[], flags: Flags, command: Command) => {
      if (name === undefined && flags.printEnv !== true) command.error("missing required argument 'program'");
      const { execProgram } = await import('./exec-program.js');
      await execProgram(name, args, flags.printEnv === true);
    });
}
