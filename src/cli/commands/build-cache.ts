import { type Command, Option } from 'commander';
import { fileCommand, type RunFlags, repeated } from './file-command.js';

interface Flags extends RunFlags {
  readonly root?: string;
  readonly allowMissing?: string[];
  readonly placement: 'auto' | 'slack' | 'tail';
  readonly moveTable?: boolean;
  readonly reader?: string;
  readonly likePatchelf?: boolean;
  readonly closureFiles?: boolean;
  readonly closure?: boolean;
  readonly trustStore?: boolean;
  readonly systemLibraries?: boolean;
  readonly dlopen?: boolean;
}

const EXAMPLE = `
Example:
  $ elfnote build-cache --store-dir /nix/store ./result/bin/hello
  ./result/bin/hello: note written: 2 found at once, 1 left to the loader (libc.so.6), +494 bytes

A directory is walked; its files have a line each with -v.

Exit status: 0 done or nothing to do, 1 a file failed or (--strict) a library
is not found or (--check) something would be written, 2 could not run.`;

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
    new Option('--check', 'as --dry-run, and exit 1 where something would be written').implies({
      dryRun: true,
    }),
    new Option(
      '--strict',
      'fail on a file whose libraries are not all found, or that has no room for its note',
    ),
    new Option('--allow-missing <glob>', 'with --strict: sonames that may be missing (repeatable)').argParser(
      repeated,
    ),
    new Option(
      '--hook',
      'for build hooks: one line a path, a warning for each file that gets no note, and (without --strict) exit 0',
    ),
    new Option('--placement <place>', 'where the note may be')
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
      '--closure',
      'also write into programs, and into files that are named, a note that answers for all that they load',
    ),
    new Option(
      '--trust-store',
      'let closure notes answer for files in store directories without a look (needs --store-dir)',
    ),
    new Option(
      '--system-libraries',
      'record also what ld.so.cache and the default directories give (needs --store-dir)',
    ),
    new Option('--dlopen', 'record also the libraries that a file declares to dlopen (.note.dlopen)'),
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
      const { closure, trustStore, systemLibraries, dlopen } = flags;
      if (reader !== undefined) (await import('../../audit-module.js')).checkedModule(reader);
      const looked = {
        root,
        storeDirs: storeDir,
        likePatchelf,
        closure,
        trustStore,
        systemLibraries,
        dlopen,
      };
      const own = { ...looked, strict, allowMissing: flags.allowMissing, placement, moveTable, reader };
      (await import('../needs-store.js')).refuseWithoutStore(flags);
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
