import { isObject, type JsonObject, jsonLines, listIn, objectIn } from './cli.js';
import { elfnoteHere } from './cli-here.js';

/**
 * The only JSON object that `elfnote dump --json FILE` prints, of a file with a note. Fixtures name libraries that are
 * not on this machine, so that the exit status may be 1.
 */
export function dumpJson(file: string, ...args: readonly string[]): JsonObject {
  const { status, stdout, stderr } = elfnoteHere(['dump', '--json', ...args, file]);
  const [object] = status === 0 || status === 1 ? jsonLines(stdout) : [];
  if (!isObject(object?.note)) throw new Error(`${file}: no note: exit ${status}\n${stderr}`);
  return object;
}

/** The entries of one object of `elfnote dump --json`, each as `soname: element element`. */
export function entriesIn(dumped: JsonObject): string[] {
  return listIn(objectIn(dumped, 'note'), 'entries').map(entry => {
    const elements = listIn(entry, 'elements').map(({ element }) => String(element));
    return `${String(entry.soname)}: ${elements.join(' ')}`;
  });
}

/** The entries of a file's note. */
export function entriesOf(file: string, ...args: readonly string[]): string[] {
  return entriesIn(dumpJson(file, ...args));
}
