import type { ByteString } from '../elf/bytes.js';
import type { ElfImage } from '../elf/image.js';
import type { ClosureNote } from '../note/closure.js';
import type { SystemLibraries } from './system-libraries.js';

/** An answer of a closure note. */
interface Answer {
  readonly soname: ByteString;
  /** The last place where the loader looks. */
  readonly path: ByteString;
}

/** Whether a closure note answers for some library without a look. */
export function hasTrusted({ objects }: ClosureNote): boolean {
  return objects.some(({ size }) => size === 'trusted');
}

/**
 * What an older note answers and a newer one of the same carrier does not. An object that asks is known by its file's
 * name: its directory is another where its package has been renewed.
 */
export function answersLost(older: ClosureNote, newer: ClosureNote): Answer[] {
  const known = new Set(answersOf(newer).map(({ key }) => key));
  return answersOf(older).filter(({ key }) => !known.has(key));
}

function answersOf({ objects }: ClosureNote): (Answer & { readonly key: string })[] {
  return objects.flatMap(({ path, answers }) =>
    answers.map(({ soname, steps }) => {
      const last = steps.at(-1);
      const key = `${path.slice(path.lastIndexOf('/') + 1)}\0${soname}`;
      return { key, soname, path: last?.kind === 'path' ? last.path : '' };
    }),
  );
}

/** Whether some of the answers are what a loader finds without a run path. */
export function areOfSystem(answers: readonly Answer[], system: SystemLibraries, image: ElfImage): boolean {
  return answers.some(({ soname, path }) => path !== '' && system.find(soname, image) === path);
}
