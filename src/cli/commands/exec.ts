import { Command, Option } from 'commander';
import { GROUP, repeated } from './file-command.js';

interface Flags {
  readonly cached?: boolean;
  readonly storeDir?: string[];
  readonly systemLibraries?: boolean;
  readonly printEnv?: boolean;
}

const EXAMPLE = `
Example:
  $ elfnote exec -- ./result/bin/hello --greeting hi
  $ export $(elfnote exec --print-env)
  $ env $(elfnote exec --print-env ./result/bin/hello) ./result/bin/hello

LD_AUDIT is kept, and the audit module put behind what is in it. With an audit
module glibc reserves little static thread-local storage, so GLIBC_TUNABLES
gets glibc.rtld.optional_static_tls, by what the program's libraries have.
ELFNOTE_DEBUG=1 makes the module say on standard error what it answered, and
why where it did not.

Exit status: that of the program, or death by the same signal; 127 no such
program, 126 it cannot be run, 2 there is no audit module to run it with.`;

export function execCommand(): Command {
  return new Command('exec')
    .description('run a program so that an unpatched glibc finds its libraries by their notes')
    .argument('[program]', 'looked up in PATH')
    .argument('[args...]', 'passed on as they are')
    .optionsGroup(GROUP.common)
    .option(
      '--print-env',
      'print the variables that do it, one a line, for a shell, a wrapper or a service unit',
    )
    .option('--cached', 'make, keep and use a closure note for a program that may not be changed')
    .addOption(
      new Option(
        '--store-dir <dir>',
        'with --cached: directory whose contents never change (repeatable; default: $NIX_STORE, or the store that it is in)',
      ).argParser(repeated),
    )
    .option('--system-libraries', 'with --cached: as for build-cache')
    .passThroughOptions()
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', EXAMPLE)
    .action(async (name: string | undefined, args: string[], flags: Flags, command: Command) => {
      if (name === undefined && flags.printEnv !== true) command.error("missing required argument 'program'");
      const { execProgram } = await import('./exec-program.js');
      await execProgram(name, args, flags.printEnv === true, flags.cached ? flags : undefined);
    });
}
