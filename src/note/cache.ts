import { alignUp, type ByteString, byteStringOf, bytesOf, type Encoding } from '../elf/bytes.js';
import { CACHE_NOTE_OWNER, CACHE_NOTE_TYPE } from '../elf/constants.js';
import { NHDR } from '../elf/structs.js';
import { ElfnoteError } from '../errors.js';

/**
 * The cache note.
 *
 * ```
 * Elf_Nhdr   n_namesz 6, n_descsz, n_type 0x63a86cb6: three 32-bit words in the file's byte order
 * owner      "NixOS\0", padded to 8
 * descriptor (soname NUL path-list NUL)* NUL, its padding to 4 not counted in n_descsz
 * path-list  element (":" element)*
 * element    "=" absolute path to open, or "?" directory that the loader must search itself
 * ```
 *
 * Pairs are sorted by the bytes of the soname and each soname stands once. The reader (nixpkgs' patch to
 * glibc and its descendants) drops the whole note for an empty path-list or when its last two bytes are not
 * NUL, and skips an element of 4,096 bytes or more.
 */
export interface CacheEntry {
  readonly soname: ByteString;
  readonly steps: readonly CacheStep[];
}

/** One element of a path-list: a file to open, or a directory to search. */
export type CacheStep =
  | { readonly kind: 'path'; readonly path: ByteString }
  | { readonly kind: 'hint'; readonly dir: ByteString };

/** The reader skips an element of this many bytes or more, its sigil included. */
export const ELEMENT_LIMIT = 4096;

/** Bytes before the descriptor: `Elf_Nhdr` and the padded owner. */
export const DESC_START = 20;

/** Required of the `PT_NOTE`: with 8 a reader looks for the descriptor at 24. */
export const NOTE_ALIGN = 4;

/** The path-list element of a step. */
export function elementOf(step: CacheStep): ByteString {
  return step.kind === 'path' ? `=${step.path}` : `?${step.dir}`;
}

/** Bytes of the descriptor that `encodeDescriptor` makes. */
export function descriptorSize(entries: readonly CacheEntry[]): number {
  let size = 1;
  for (const { soname, steps } of entries) {
    size += soname.length + 1;
    for (const step of steps) size += (step.kind === 'path' ? step.path : step.dir).length + 2;
  }
  return size;
}

/** The descriptor without its padding. An empty list of entries has none. */
export function encodeDescriptor(entries: readonly CacheEntry[]): Buffer {
  return bytesOf(descriptorText(entries));
}

function descriptorText(entries: readonly CacheEntry[]): ByteString {
  let text = '';
  for (const { soname, steps } of inOrder(entries)) {
    text += `${soname}\0`;
    let before = '';
    for (const step of steps) {
      text += before + elementOf(step);
      before = ':';
    }
    text += '\0';
  }
  return `${text}\0`;
}

function inOrder(entries: readonly CacheEntry[]): readonly CacheEntry[] {
  let last: ByteString | undefined;
  for (const { soname } of entries) {
    if (last !== undefined && last >= soname)
      return [...entries].sort((a, b) => (a.soname < b.soname ? -1 : 1));
    last = soname;
  }
  return entries;
}

/** The whole note, padded to 4 bytes. */
export function encodeNote(entries: readonly CacheEntry[], encoding: Encoding): Buffer {
  const desc = descriptorText(entries);
  const note = Buffer.alloc(alignUp(DESC_START + desc.length, NOTE_ALIGN));
  const n_namesz = CACHE_NOTE_OWNER.length + 1;
  NHDR.put(encoding, note, 0, { n_namesz, n_descsz: desc.length, n_type: CACHE_NOTE_TYPE });
  note.write(CACHE_NOTE_OWNER, NHDR.size(encoding), 'latin1');
  note.write(desc, DESC_START, 'latin1');
  return note;
}

/**
 * Decodes a descriptor (without padding).
 * @param at the file offset of the descriptor, for messages.
 * @throws ElfnoteError `malformed-note` for everything the format forbids, with the file offset of the fault.
 */
export function decodeDescriptor(desc: Buffer, at: number, path?: string): CacheEntry[] {
  const fail = (message: string, offset: number) =>
    new ElfnoteError('malformed-note', message, { path, offset: at + offset });
  if (desc.length < 2) throw fail(`the descriptor has ${desc.length} bytes, fewer than two`, 0);
  if (desc[desc.length - 1] !== 0 || desc[desc.length - 2] !== 0) {
    throw fail('the descriptor does not end with two NUL bytes', desc.length - 2);
  }
  const text = byteStringOf(desc);
  const entries: CacheEntry[] = [];
  const end = text.length - 1;
  let previous: ByteString | undefined;
  for (let offset = 0; offset < end; ) {
    const sonameEnd = text.indexOf('\0', offset);
    const listStart = sonameEnd + 1;
    if (sonameEnd === offset) throw fail('a soname is empty', offset);
    if (listStart >= end) throw fail('a soname has no path-list', offset);
    const listEnd = text.indexOf('\0', listStart);
    if (listEnd === listStart) throw fail('a path-list is empty', listStart);
    const soname = text.slice(offset, sonameEnd);
    if (previous === soname) throw fail('a soname stands twice', offset);
    if (previous !== undefined && previous > soname) throw fail('the sonames are not sorted', offset);
    entries.push({ soname, steps: decodeSteps(text.slice(listStart, listEnd), listStart, fail) });
    previous = soname;
    offset = listEnd + 1;
  }
  return entries;
}

function decodeSteps(
  list: ByteString,
  start: number,
  fail: (message: string, offset: number) => ElfnoteError,
): CacheStep[] {
  const steps: CacheStep[] = [];
  let at = start;
  for (const element of list.split(':')) {
    if (element.length >= ELEMENT_LIMIT) {
      throw fail(`a path-list element has ${element.length} bytes; the loader skips it`, at);
    }
    if (element.startsWith('=/')) steps.push({ kind: 'path', path: element.slice(1) });
    else if (element.startsWith('?')) steps.push({ kind: 'hint', dir: element.slice(1) });
    else if (element.startsWith('=')) throw fail('a path-list element names a path that is not absolute', at);
    else throw fail("a path-list element starts with neither '=' nor '?'", at);
    at += element.length + 1;
  }
  return steps;
}
