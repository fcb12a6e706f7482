import { type ByteSource, type ByteString, byteStringOf } from '../elf/bytes.js';
import { PT_NOTE } from '../elf/constants.js';
import type { ElfImage } from '../elf/image.js';
import { notesIn } from '../elf/notes.js';

/** Owner and type of a note that names libraries for dlopen(3), by the UAPI group's "ELF dlopen metadata". */
const OWNER = 'FDO';
const TYPE = 0x407c0c0a;

/** A larger one is no list of libraries. In bytes. */
const LARGEST = 1 << 20;

/** What an object may open at run time. */
export interface DlopenRequest {
  /** Alternatives, the one to try first in front. */
  readonly sonames: readonly ByteString[];
  readonly feature: string | undefined;
  readonly description: string | undefined;
  /** `required`, `recommended` or `suggested`; `recommended` where the note does not say. */
  readonly priority: string;
}

/**
 * The libraries that a file declares to dlopen, in the order of its notes: a JSON array in each note with owner `FDO`
 * and type 0x407c0c0a, in any `PT_NOTE` (https://uapi-group.org/specifications/specs/elf_dlopen_metadata/). What does
 * not keep to that is passed over: it is another tool's note, and no loader reads it.
 */
export function readDlopenRequests(image: ElfImage, source: ByteSource): DlopenRequest[] {
  const found: DlopenRequest[] = [];
  for (const p of image.programHeaders) {
    if (p.p_type !== PT_NOTE || !(p.p_offset + p.p_filesz <= source.size)) continue;
    for (const note of notesIn(source, image.encoding, p.p_offset, p.p_filesz, p.p_align)) {
      if (note.owner !== OWNER || note.n_type !== TYPE || !note.isWhole || note.n_descsz > LARGEST) continue;
      found.push(...requestsIn(source.read(note.descOffset, note.n_descsz)));
    }
  }
  return found;
}

/** Every soname of the requests, each once. */
export function dlopenSonames(requests: readonly DlopenRequest[]): ByteString[] {
  return [...new Set(requests.flatMap(({ sonames }) => sonames))];
}

function requestsIn(descriptor: Buffer): DlopenRequest[] {
  const end = descriptor.indexOf(0);
  let json: unknown;
  try {
    json = JSON.parse(descriptor.toString('utf8', 0, end < 0 ? descriptor.length : end));
  } catch {
    return [];
  }
  return Array.isArray(json) ? json.flatMap(requestOf) : [];
}

function requestOf(item: unknown): DlopenRequest[] {
  if (typeof item !== 'object' || item === null || !('soname' in item) || !Array.isArray(item.soname))
    return [];
  const sonames = item.soname
    .filter(name => typeof name === 'string')
    .filter(name => name !== '' && !name.includes('\0'))
    .map(name => byteStringOf(Buffer.from(name)));
  if (sonames.length === 0) return [];
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  const feature = 'feature' in item ? text(item.feature) : undefined;
  const description = 'description' in item ? text(item.description) : undefined;
  const priority = ('priority' in item ? text(item.priority) : undefined) ?? 'recommended';
  return [{ sonames, feature, description, priority }];
}
