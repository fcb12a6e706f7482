import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import fastGlob from 'fast-glob';
import { type ElfnoteError, fromSystemError } from '../errors.js';

/** One file to work on, or a place that could not be looked into. */
export interface Found {
  readonly path: string;
  /** Named by the caller itself, not found in a directory. */
  readonly explicit: boolean;
  readonly error?: ElfnoteError;
}

/**
 * The files that the paths name: a file is itself, a directory is every regular file below it, sorted by name.
 * Symbolic links inside a directory are not followed; `.build-id` directories hold links and debug files of
 * other packages and are left out.
 */
export function* findFiles(paths: readonly string[]): Generator<Found> {
  const seen = new Set<string>();
  for (const path of paths) {
    for (const found of expand(path)) {
      if (seen.has(found.path)) continue;
      seen.add(found.path);
      yield found;
    }
  }
}

function expand(path: string): Found[] {
  let isDirectory: boolean;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (error) {
    return [{ path, explicit: true, error: fromSystemError('unreadable', 'cannot open', path, error) }];
  }
  return isDirectory ? walk(path) : [{ path, explicit: true }];
}

function walk(directory: string): Found[] {
  const failures: Found[] = [];
  const files = fastGlob.sync('**/*', {
    cwd: directory,
    dot: true,
    followSymbolicLinks: false,
    ignore: ['**/.build-id/**'],
    fs: { readdirSync: tolerantReaddir(failures) },
  });
  const found = files.map(name => ({ path: join(directory, name), explicit: false }));
  return [...found, ...failures].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** fast-glob stops at the first directory it cannot read; here it is noted and passed over. */
function tolerantReaddir(failures: Found[]): typeof readdirSync {
  const handler: ProxyHandler<typeof readdirSync> = {
    apply(target, self, args) {
      try {
        return Reflect.apply(target, self, args);
      } catch (error) {
        const path = String(args[0]);
        failures.push({
          path,
          explicit: false,
          error: fromSystemError('unreadable', 'cannot list', path, error),
        });
        return [];
      }
    },
  };
  return new Proxy(readdirSync, handler);
}
