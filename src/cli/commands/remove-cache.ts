import type { Command } from 'commander';
import { fileCommand, type RunFlags } from './file-command.js';

const EXAMPLE = `
Example:
  $ elfnote remove-cache ./result/bin/hello
  ./result/bin/hello: note removed, -494 bytes

A file that only elfnote has edited gets its old bytes back.

Exit status: 0 done or nothing to do, 1 a file failed, 2 could not run.`;

export function removeCacheCommand(): Command {
  return fileCommand('remove-cache', 'take the note out of each ELF file', [])
    .addHelpText('after', EXAMPLE)
    .action(async (paths: string[], flags: RunFlags) => {
      const { commonOptions, runOverFiles } = await import('../run.js');
      process.exitCode = await runOverFiles(paths, flags, { kind: 'remove', options: commonOptions(flags) });
    });
}
