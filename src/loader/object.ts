import { type ByteSource, type ByteString, byteStringOf } from '../elf/bytes.js';
import {
  DT_AUXILIARY,
  DT_FILTER,
  DT_FLAGS_1,
  DT_NEEDED,
  ET_EXEC,
  PT_INTERP,
  PT_NOTE,
} from '../elf/constants.js';
import { dynamicStrings, ownAuditModule } from '../elf/dt-audit.js';
import { addressOfOffset, type ElfImage, type ProgramHeader } from '../elf/image.js';
import { notesIn } from '../elf/notes.js';
import { readImage } from '../elf/read.js';
import { ElfnoteError } from '../errors.js';
import { type CacheEntry, decodeDescriptor, NOTE_ALIGN } from '../note/cache.js';
import type { ClosureNote } from '../note/closure.js';
import { decodeClosureDescriptor } from '../note/closure-decode.js';
import { type DlopenRequest, readDlopenRequests } from '../note/dlopen.js';
import { OWN_OWNER, OWN_TYPE } from '../note/own.js';

/** `DT_FLAGS_1`: neither the default directories nor ld.so.cache entries in them count for this object. */
const DF_1_NODEFLIB = 0x800;
/** A position-independent program, which the loader does not take for a library. */
const DF_1_PIE = 0x0800_0000;

/** What the loader takes from an object, in the order in which it works through the dynamic section. */
export interface ObjectFacts {
  /** Without section headers, which the loader does not read. */
  readonly image: ElfImage;
  readonly requests: readonly Request[];
  readonly soname: ByteString | undefined;
  readonly runpath: ByteString | undefined;
  /** Undefined where there is a `DT_RUNPATH`: the loader then forgets it. */
  readonly rpath: ByteString | undefined;
  readonly noDefaultLibraries: boolean;
  /** Whether it can be loaded by its program alone: the loader refuses it as a library. */
  readonly isProgram: boolean;
  /** `PT_INTERP`; undefined for a library or a static program. */
  readonly interpreter: ByteString | undefined;
  /** The entries of the note that a reader would find; undefined without a note, or with one that it drops. */
  readonly note: readonly CacheEntry[] | undefined;
  /** The closure note that it carries, where it is well-formed. */
  readonly closure: ClosureNote | undefined;
  /** What it says that it may open at run time; no loader reads that. */
  readonly declared: readonly DlopenRequest[];
  /** The audit module that elfnote had the program ask for, by its path. */
  readonly ownAuditModule: ByteString | undefined;
}

/** What an object asks the loader to load. */
export interface Request {
  readonly tag: 'needed' | 'auxiliary' | 'filter';
  readonly name: ByteString;
}

const TAGS: ReadonlyMap<number, Request['tag']> = new Map([
  [DT_NEEDED, 'needed'],
  [DT_AUXILIARY, 'auxiliary'],
  [DT_FILTER, 'filter'],
]);

/** @throws ElfnoteError `malformed` where the loader could not read the object's tables. */
export function readFacts(source: ByteSource): ObjectFacts {
  const image = readImage(source, { sections: false });
  const { dynamic } = image;
  return {
    image,
    requests: readRequests(image, source),
    soname: dynamic?.soname,
    runpath: dynamic?.runpath,
    rpath: dynamic?.runpath === undefined ? dynamic?.rpath : undefined,
    noDefaultLibraries: hasNoDefaultLibraries(image),
    isProgram: image.header.e_type === ET_EXEC || (value(image, DT_FLAGS_1) & DF_1_PIE) !== 0,
    interpreter: readInterpreterName(image, source),
    note: readNote(image, source),
    closure: readClosure(image, source),
    declared: readDlopenRequests(image, source),
    ownAuditModule: ownAuditModule(image, source),
  };
}

function value(image: ElfImage, tag: number): number {
  return image.dynamic?.entries.findLast(({ d_tag }) => d_tag === tag)?.d_val ?? 0;
}

function readRequests(image: ElfImage, source: ByteSource): Request[] {
  const needed = [...(image.dynamic?.needed ?? [])];
  return (image.dynamic?.entries ?? []).flatMap(({ d_tag, d_val }) => {
    const tag = TAGS.get(d_tag);
    if (tag === undefined) return [];
    const name = tag === 'needed' ? needed.shift() : stringAt(image, source, d_val);
    return name === undefined ? [] : [{ tag, name }];
  });
}

const LONGEST_NAME = 4096;

function stringAt(image: ElfImage, source: ByteSource, index: number): ByteString | undefined {
  const strings = dynamicStrings(image);
  if (strings === undefined || index >= strings.size) return undefined;
  const bytes = source.read(strings.offset + index, Math.min(LONGEST_NAME, strings.size - index));
  const end = bytes.indexOf(0);
  return end < 0 ? undefined : byteStringOf(bytes.subarray(0, end));
}

function readInterpreterName(image: ElfImage, source: ByteSource): ByteString | undefined {
  const segment = image.programHeaders.find(({ p_type }) => p_type === PT_INTERP);
  if (segment === undefined) return undefined;
  return byteStringOf(source.read(segment.p_offset, segment.p_filesz)).replace(/\0.*/s, '');
}

/** As readers require it (docs/format.md): 4-aligned, inside one `PT_LOAD`, and well-formed. */
function isMapped(image: ElfImage, header: ProgramHeader | undefined): boolean {
  if (header === undefined || header.p_align !== NOTE_ALIGN) return false;
  return addressOfOffset(image.programHeaders, header.p_offset, header.p_filesz) === header.p_vaddr;
}

function readNote(image: ElfImage, source: ByteSource): CacheEntry[] | undefined {
  const location = image.cacheNotes.find(
    ({ segment }) => segment !== undefined && isMapped(image, image.programHeaders[segment]),
  );
  if (location === undefined) return undefined;
  const { descOffset, n_descsz } = location;
  return wellFormed(() => decodeDescriptor(source.read(descOffset, n_descsz), descOffset));
}

function readClosure(image: ElfImage, source: ByteSource): ClosureNote | undefined {
  const { encoding } = image;
  for (const p of image.programHeaders) {
    if (p.p_type !== PT_NOTE || !isMapped(image, p)) continue;
    for (const note of notesIn(source, encoding, p.p_offset, p.p_filesz, p.p_align)) {
      if (note.owner !== OWN_OWNER || note.n_type !== OWN_TYPE.closure || !note.isWhole) continue;
      const { descOffset, n_descsz } = note;
      const bytes = source.read(descOffset, n_descsz);
      return wellFormed(() => decodeClosureDescriptor(bytes, encoding, descOffset));
    }
  }
  return undefined;
}

/** A note that is not as it has to be is none. */
function wellFormed<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    return undefined;
  }
}

/** Whether the object was linked with `-z nodefaultlib`. */
export function hasNoDefaultLibraries(image: ElfImage): boolean {
  return (value(image, DT_FLAGS_1) & DF_1_NODEFLIB) !== 0;
}
