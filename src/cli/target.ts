import { OutputDir } from '../batch/output-dir.js';
import type { Found } from '../batch/walk.js';
import { ElfnoteError, fromSystemError } from '../errors.js';
import { nixStoreOf } from '../files/nix-store.js';
import type { RunFlags } from './commands/file-command.js';

/** Where the files of a run are written to. A dry run has nothing to keep. */
export class Target {
  /** The Nix stores whose registered contents the run is going to change. */
  readonly registered: readonly string[];
  readonly #copies: OutputDir | undefined;
  readonly #found: readonly Found[];

  /**
   * @param paths as the caller named them.
   * @param found the files below them.
   * @throws ElfnoteError `usage` for an output that does not fit.
   */
  constructor(paths: readonly string[], found: readonly Found[], flags: RunFlags) {
    const { dryRun, output, outputDir } = flags;
    if (output !== undefined && outputDir !== undefined) {
      throw new ElfnoteError('usage', '--output and --output-dir exclude each other');
    }
    if (output !== undefined && (found.length !== 1 || found[0]?.explicit !== true)) {
      throw new ElfnoteError('usage', '--output takes exactly one input file');
    }
    const written = output ?? outputDir;
    const stores = dryRun ? [] : (written === undefined ? paths : [written]).map(nixStoreOf);
    const inStores = [...new Set(stores.filter(store => store !== undefined))];
    this.registered = isNixBuild() ? [] : inStores;
    if (outputDir !== undefined && !dryRun) this.#copies = new OutputDir(paths, outputDir, flags);
    this.#found = found;
  }

  /** The files, each with where it is to be written; `unreadable` too are those whose copies have no place. */
  files(): readonly Found[] {
    const copies = this.#copies;
    if (copies !== undefined) return this.#found.map(file => placed(file, copies));
    return this.#found;
  }

  /**
   * To be called at the end of a run. After an aborted signal nothing more is copied; what is there is finished.
   * @returns what could not be copied.
   */
  async *complete(signal?: AbortSignal): AsyncGenerator<ElfnoteError> {
    if (this.#copies !== undefined) yield* this.#copies.complete(signal);
  }
}

function placed(file: Found, copies: OutputDir): Found {
  if (file.unreadable !== undefined || file.outside !== undefined) return file;
  try {
    return { output: copies.place(file.path), ...file };
  } catch (error) {
    const { message } = fromSystemError('unwritable', 'cannot be copied', file.path, error);
    return { ...file, unreadable: message };
  }
}

/** A build writes to paths that are not registered yet; `nix-shell` has the environment of one. */
function isNixBuild(): boolean {
  return process.env.NIX_BUILD_TOP !== undefined && process.env.IN_NIX_SHELL === undefined;
}
