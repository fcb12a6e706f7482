import { type Command, Option } from 'commander';
import { fileCommand, type RunFlags, repeated } from './file-command.js';

interface Flags extends RunFlags {
  readonly root?: string;
  readonly placement: 'auto' | 'slack' | 'tail';
  readonly moveTable?: boolean;
  readonly reader?: string;
  readonly likePatchelf?: boolean;
  readonly closureFiles?: boolean;
}

const EXAMPLE = `
Example:
  $ elfnote build-cache --store-dir /nix/store ./result/bin/hello
  ./result/bin/hello: note written in slack, table reuse-note: 2 exact, +494 bytes

A directory is walked. Exit status: 0 done or nothing to do, 1 a file failed or (--strict) a soname is
unresolved, 2 could not run.`;

export function buildCacheCommand(): Command {
  const own = [
    new Option('--root <dir>', 'look run paths up in the file system below this directory'),
    new Option(
      '--store-dir <dir>',
      'directory whose contents never change (repeatable; default: $NIX_STORE)',
    ).argParser(repeated),
    new Option(
      '--closure-files',
      'work on the program and every library that the loader would load for it, inside the store directories alone',
    ),
    new Option('--strict', 'fail on a file with a soname that its run path does not resolve'),
    new Option(
      '--hook',
      'for build hooks: one line a path, a warning for each file that gets no note, and (without --strict) exit 0',
    ),
    new Option('--placement <place>', 'where the note may stand')
      .choices(['auto', 'slack', 'tail'])
      .default('auto'),
    new Option(
      '--move-table',
      'let the program header table move where nothing else fits (not safe to strip)',
    ),
    new Option(
      '--like-patchelf',
      'record also what helps no loader, byte for byte as patchelf --build-resolution-cache',
    ),
    new Option(
      '--reader <module>',
      'let programs ask for this audit module themselves (DT_AUDIT, glibc 2.32)',
    ),
  ];
  return fileCommand(
    'build-cache',
    'write into each ELF file a note that says where its DT_NEEDED libraries are',
    own,
  )
    .addHelpText('after', EXAMPLE)
    .action(async (paths: string[], flags: Flags) => {
      const { root, storeDir, strict, placement, moveTable, reader, likePatchelf } = flags;
      if (reader !== undefined) (await import('../../audit-module.js')).checkedReader(reader);
      const own = { root, storeDirs: storeDir, strict, placement, moveTable, reader, likePatchelf };
      const { commonOptions, runOverFiles } = await import('../run.js');
      const options = { ...commonOptions(flags), ...own };
      const listed = flags.closureFiles
        ? (await import('./closure-list.js')).closureList(paths, flags)
        : undefined;
      process.exitCode = await runOverFiles(
        listed === undefined ? paths : [],
        flags,
        { kind: 'build', options },
        listed,
      );
    });
}
