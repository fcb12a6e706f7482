import { displayBytes, escapeControls } from '../../elf/bytes.js';
import { type Counts, libraryCount } from '../../loader/count.js';
import type { Place } from '../../loader/record.js';
import type { Trace } from '../../loader/trace.js';

/** How people call the rules of the loader. */
export const PLACE_WORDS: Readonly<Record<Place['how'], string>> = {
  path: 'path',
  note: 'note',
  rpath: 'rpath',
  'library-path': 'library path',
  runpath: 'runpath',
  'ld.so.cache': 'ld.so.cache',
  default: 'default',
};

/** With commas between thousands. */
export function number(value: number): string {
  return String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}

export function total({ opens, stats }: Counts): number {
  return opens + stats;
}

/** The one line that a person wants. @param best the same program with a note in every object. */
export function headline(trace: Trace, best: Trace): string {
  const { opens, stats } = trace.counts;
  const libraries = counted(libraryCount(trace), 'library', 'libraries');
  const least = total(best.counts);
  const cost = `${counted(opens, 'failing open')} and ${counted(stats, 'failing stat')}`;
  // What it has by now may say more, as with --system-libraries.
  const hasMore = total(trace.counts) < least;
  return `${libraries}, ${cost}${hasMore ? '' : `; with notes everywhere ${least === 0 ? 'none' : number(least)}`}`;
}

/** A path as a word of a shell's command. */
export function shellWord(path: string): string {
  const word = escapeControls(path.startsWith('-') ? `./${path}` : path);
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function pathOf({ objects }: Trace, index: number | undefined): string {
  return displayBytes((index === undefined ? undefined : objects[index])?.path ?? '');
}

/** The last part of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Where the loader looked, in words. */
export function placeText({ how, owner, directory }: Place, trace: Trace): string {
  const whose = owner === undefined ? '' : ` of ${nameOf(pathOf(trace, owner))}`;
  const where = directory === undefined || how === 'ld.so.cache' ? '' : ` ${directoryText(directory)}`;
  return `${PLACE_WORDS[how]}${whose}${where}`;
}

export function directoryText(directory: string): string {
  return directory === '' ? 'the current directory' : displayBytes(directory.replace(/(?<=.)\/$/, ''));
}
