import { realpathSync } from 'node:fs';
import { escapeControls } from '../../elf/bytes.js';
import { during, ElfnoteError } from '../../errors.js';
import { ClosureCache, closureCacheDir } from '../../files/closure-cache.js';
import { nixStoreOf } from '../../files/nix-store.js';
import { isWithin } from '../../files/paths.js';
import { closureOfFile } from '../../loader/file-closure.js';
import { FileLoaderProbe } from '../../loader/file-probe.js';
import { storeRoots } from '../../lookup.js';
import { FileSystemProbe } from '../../resolve/fs-probe.js';
import { refuseWithoutStore } from '../needs-store.js';
import { printError } from '../output.js';

export interface CachedFlags {
  readonly storeDir?: readonly string[];
  readonly systemLibraries?: boolean;
}

/**
 * The file that holds the closure note of a program which may not be changed; the audit module finds it by the variable
 * `ELFNOTE_CLOSURE`. Undefined where there is nothing to say, or no place to say it: the program runs all the same.
 *
 * @throws ElfnoteError `unreadable`, or `usage` where `systemLibraries` would say nothing.
 */
export function cachedClosure(program: string, flags: CachedFlags): string | undefined {
  const path = during('unreadable', 'cannot be looked at', program, () => realpathSync(program));
  const store = nixStoreOf(path);
  const storeDirs = flags.storeDir ?? (store === undefined ? undefined : [store]);
  refuseWithoutStore({ storeDir: storeDirs, systemLibraries: flags.systemLibraries });
  const roots = storeRoots({ storeDirs });
  const asked = JSON.stringify([roots ?? null, flags.systemLibraries === true]);
  const isImmutable = (storeDirs ?? []).some(dir => isWithin(path, dir));
  try {
    const cache = new ClosureCache(closureCacheDir(process.env));
    return cache.fileFor(path, isImmutable, asked, () => {
      const found = closureOfFile(path, {
        storeRoots: roots,
        systemLibraries: flags.systemLibraries,
        libraries: new FileSystemProbe(),
        objects: new FileLoaderProbe(),
      });
      return found.note;
    });
  } catch (error) {
    if (!(error instanceof ElfnoteError) || error.code === 'unreadable') throw error;
    printError(`${escapeControls(program)}: runs without a closure note: ${escapeControls(error.line)}`);
    return undefined;
  }
}
