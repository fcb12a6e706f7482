import { Command } from 'commander';
import { GROUP } from './file-command.js';

export interface DumpFlags {
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly root?: string;
}

const EXAMPLE = `
Example:
  $ elfnote dump ./result/bin/hello

Exit status: 0 every file has a note, and each path in it leads to a library;
1 some file has none, or one that is stale or names a path that is gone; 2 not
readable or a malformed note. --raw looks no path up.`;

export function dumpCommand(): Command {
  return new Command('dump')
    .description("print a file's note: where the loader will find each library")
    .argument('<file...>', 'ELF files')
    .optionsGroup(GROUP.common)
    .option('--json', 'print one JSON object a file')
    .option('--raw', "write the descriptor's bytes and nothing else")
    .option('--root <dir>', 'look paths up in the file system below this directory')
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', EXAMPLE)
    .action(async (files: string[], flags: DumpFlags) => {
      const { dumpFiles } = await import('./dump-file.js');
      process.exitCode = dumpFiles(files, flags);
    });
}
