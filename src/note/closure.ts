import { type ByteString, bytesOf } from '../elf/bytes.js';

/**
 * The closure note: for each object of a closure, where the libraries are that it asks for. It is behind the cache note
 * of the object that carries it, in the same section and `PT_NOTE`; docs/format.md has a worked dump.
 *
 * ```
 * Elf_Nhdr    n_namesz 8, n_descsz, n_type 2
 * owner       "elfnote\0"
 * header      version 1, flags, directories, objects, edges, bytes of strings: six 32-bit words
 * checks      a 32-bit word for each object: checkOf
 * sizes       a 32-bit word for each object: 0, TRUSTED, or the low 32 bits of its file's size
 * directories an index for each: where its string starts
 * names       an index for each object: where the string starts that is its path behind the last slash
 * homes       an index for each object: its directory
 * firsts      an index for each object and one more: its first edge, and behind the last object all edges
 * edges       an index each
 * strings     each with a NUL
 * ```
 *
 * All integers are in the file's byte order. An index has 16 bits, or 32 where flag 1 is set. The upper three bits of an
 * edge say: the rest is a directory to search (HINT), not an object; the path-list goes on with the next edge (MORE); the
 * loader looks there before `LD_LIBRARY_PATH` (BEFORE). A path-list is for the name of its last element, an object.
 *
 * Object 0 carries the note: its name is empty, whatever its path. The others are sorted by name, then by path. A
 * directory is absolute; or starts with `+`, which stands for the string of directory 0; or with `$ORIGIN`, which
 * stands for the directory of the carrier, as ld.so has it for that object.
 */
export interface ClosureNote {
  /** The carrier first, with an empty path. */
  readonly objects: readonly ClosureObject[];
}

export interface ClosureObject {
  /** As ld.so knows it (`l_name`): absolute, or `$ORIGIN/...` for what is found from the carrier's own directory. */
  readonly path: ByteString;
  /** `checkOf` of what it asks for. An object that asks for something else by now is left to the loader. */
  readonly check: number;
  /**
   * The size of its file in bytes: a file of another size is opened to see whether it is a library for this machine.
   * `trusted` is answered without a look, and where it is gone the program does not start. Undefined: not known.
   */
  readonly size: number | 'trusted' | undefined;
  readonly answers: readonly ClosureAnswer[];
}

export interface ClosureAnswer {
  readonly soname: ByteString;
  /** In the order in which the loader looks. The last one is a path, and each path is that of an object of the note. */
  readonly steps: readonly ClosureStep[];
}

export type ClosureStep = {
  /** It comes from a `DT_RPATH`, which the loader searches before `LD_LIBRARY_PATH`. */
  readonly beforeLibraryPath: boolean;
} & (
  | { readonly kind: 'path'; readonly path: ByteString }
  /** A directory that is looked at when the program runs: absolute, or `$ORIGIN/...` of the carrier. */
  | { readonly kind: 'hint'; readonly dir: ByteString }
);

export const CLOSURE_VERSION = 1;

/** The header's words. */
export const HEADER = {
  version: 0,
  flags: 4,
  directories: 8,
  objects: 12,
  edges: 16,
  strings: 20,
  size: 24,
} as const;

/** Indexes have 32 bits. */
export const FLAG_WIDE = 1;

/** In place of a size. */
export const TRUSTED = 0xffff_ffff;

export const ORIGIN = '$ORIGIN';

/** The bits of an edge, by the bits of an index. */
export function edgeBits(indexSize: 2 | 4): { hint: number; more: number; before: number } {
  const top = 2 ** (8 * indexSize - 1);
  return { hint: top, more: top / 2, before: top / 4 };
}

/** What an object asks for, and where, as it stands in its dynamic section. */
export interface Asked {
  /** `DT_NEEDED`, in order. */
  readonly needed: readonly ByteString[];
  readonly runpath: ByteString | undefined;
  /** Of no account beside a `DT_RUNPATH`. */
  readonly rpath: ByteString | undefined;
}

const HAS_RUNPATH = 1;
const HAS_RPATH = 2;

/**
 * What an object asks for as one 32-bit number, which the audit module works out again from memory. Each `DT_NEEDED`
 * string is added in order; then 1 and `DT_RUNPATH`, or 2 and `DT_RPATH`, where there is one. A string is added with
 * its NUL, filled up with NULs to a multiple of four bytes, as little-endian words; then its length. To add a word:
 * xor, multiply by 0x9e3779b1 modulo 2^32, xor with itself shifted right by 15.
 */
export function checkOf({ needed, runpath, rpath }: Asked): number {
  let check = needed.reduce(addString, 0);
  if (runpath !== undefined) check = addString(addWord(check, HAS_RUNPATH), runpath);
  else if (rpath !== undefined) check = addString(addWord(check, HAS_RPATH), rpath);
  return check;
}

function addString(check: number, text: ByteString): number {
  const words = Buffer.alloc(4 * (Math.floor(text.length / 4) + 1));
  bytesOf(text).copy(words);
  let sum = check;
  for (let at = 0; at < words.length; at += 4) sum = addWord(sum, words.readUInt32LE(at));
  return addWord(sum, text.length);
}

function addWord(check: number, word: number): number {
  const product = Math.imul(check ^ word, 0x9e3779b1);
  return (product ^ (product >>> 15)) >>> 0;
}
