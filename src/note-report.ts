import { type ByteSource, type ByteString, zeroRun } from './elf/bytes.js';
import { CACHE_NOTE_OWNER } from './elf/constants.js';
import { type Audit, readAudit } from './elf/dt-audit.js';
import { addressOfOffset, type CacheNoteLocation, type ElfImage } from './elf/image.js';
import { readImage } from './elf/read.js';
import { ElfView } from './elf/view.js';
import { ElfnoteError } from './errors.js';
import { withFile } from './files/source.js';
import { ownWork } from './layout/undo/undo.js';
import { type CacheEntry, decodeDescriptor } from './note/cache.js';
import { type DlopenRequest, dlopenSonames, readDlopenRequests } from './note/dlopen.js';
import { agreesWithRunPath } from './note/stale.js';
import { judgeCandidate, type Verdict } from './resolve/candidate.js';
import type { LibraryProbe } from './resolve/probe.js';

/** A note as it stands in a file, with what the machine has for each element now. */
export interface NoteReport {
  readonly path: string;
  readonly image: ElfImage;
  readonly location: CacheNoteLocation;
  /** The descriptor without padding. */
  readonly descriptor: Buffer;
  readonly entries: readonly CacheEntry[];
  /** False when the run path or `DT_NEEDED` has changed since: the note is stale. */
  readonly agreesWithRunPath: boolean;
  /** What a program asks ld.so to load before it, whoever wrote it. */
  readonly audit: Audit | undefined;
  /** What the file declares to dlopen. */
  readonly declared: readonly DlopenRequest[];
  /** Whether the file says how it was, and nothing that elfnote wrote has changed since: remove-cache undoes it all. */
  readonly removalIsExact: boolean;
}

/**
 * The note of a file, or undefined when it has none.
 * @throws ElfnoteError `malformed-note`, with the offset, for a note that the loader would reject.
 */
export function readNote(path: string): NoteReport | undefined {
  return withFile(path, source => noteOf(readImage(source), source));
}

/** Also what a file without a note declares to dlopen. @throws ElfnoteError as `readNote` */
export function readNoteAndDeclared(path: string): {
  report: NoteReport | undefined;
  declared: readonly DlopenRequest[];
} {
  return withFile(path, source => {
    const image = readImage(source);
    const report = noteOf(image, source);
    return { report, declared: report?.declared ?? readDlopenRequests(image, source) };
  });
}

/** As `readNote`, of a file that is open and read. */
export function noteOf(image: ElfImage, source: ByteSource): NoteReport | undefined {
  const [location, second] = image.cacheNotes;
  if (location === undefined) return undefined;
  const { path } = source;
  checkPlacement(image, location, second);
  const descriptor = Buffer.from(source.read(location.descOffset, location.n_descsz));
  const entries = decodeDescriptor(descriptor, location.descOffset, path);
  checkPadding(source, location);
  const declared = readDlopenRequests(image, source);
  return {
    path,
    image,
    location,
    descriptor,
    entries,
    agreesWithRunPath: agreesWithRunPath(image, entries, dlopenSonames(declared)),
    audit: readAudit(image, source),
    declared,
    removalIsExact: ownWork(new ElfView(image, source))?.isWhole ?? false,
  };
}

/** What ld.so would do with an exact path of a note now. */
export function judgePath(
  { image }: Pick<NoteReport, 'image'>,
  path: ByteString,
  probe: LibraryProbe,
): Verdict {
  return judgeCandidate(probe.candidate(path), image);
}

/** What the readers require of the segment (docs/format.md). @throws ElfnoteError `malformed-note` */
function checkPlacement(
  image: ElfImage,
  location: CacheNoteLocation,
  second: CacheNoteLocation | undefined,
): void {
  const fail = (message: string, offset = location.offset) =>
    new ElfnoteError('malformed-note', message, { path: image.path, offset });
  if (second !== undefined) throw fail('there is a second cache note', second.offset);
  const segment = location.segment === undefined ? undefined : image.programHeaders[location.segment];
  if (segment === undefined)
    throw fail('the cache note has a section and no PT_NOTE, so the loader cannot find it');
  if (segment.p_align !== 4)
    throw fail(`the PT_NOTE of the cache note has p_align ${segment.p_align}, not 4`);
  const address = addressOfOffset(image.programHeaders, segment.p_offset, segment.p_filesz);
  if (address !== segment.p_vaddr) throw fail('the cache note does not lie inside one PT_LOAD');
}

function checkPadding(source: ByteSource, location: CacheNoteLocation): void {
  const ownerEnd = location.offset + OWNER_END;
  const descEnd = location.descOffset + location.n_descsz;
  const paddings = [
    ['owner', ownerEnd, location.descOffset],
    ['descriptor', descEnd, location.end],
  ] as const;
  for (const [what, start, end] of paddings) {
    const other = zeroRun(source, start, end - start);
    if (other === end - start) continue;
    throw new ElfnoteError('malformed-note', `the padding behind the ${what} is not zero`, {
      path: source.path,
      offset: start + other,
    });
  }
}

/** `Elf_Nhdr` and the owner without its padding. */
const OWNER_END = 12 + CACHE_NOTE_OWNER.length + 1;
