import { Command } from 'commander';
import { GROUP } from './file-command.js';

export interface ReaderFlags {
  readonly for?: string;
}

const EXAMPLE = `
Example:
  $ export LD_AUDIT="$(elfnote reader)"
  $ elfnote build-cache --reader "$(elfnote reader --for ./result/bin/hello)" ./result/bin/hello

Exit status: 0 printed, 1 there is none for the architecture, 2 it is not
there, or the program cannot be read.`;

export function readerCommand(): Command {
  return new Command('reader')
    .description('print the path of the audit module that reads notes for an unpatched glibc')
    .optionsGroup(GROUP.common)
    .option(
      '--for <program>',
      'for the architecture of this program, looked up in PATH (default: this machine)',
    )
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', EXAMPLE)
    .action(async ({ for: program }: ReaderFlags) => {
      const { printReader } = await import('./print-reader.js');
      printReader(program);
    });
}
