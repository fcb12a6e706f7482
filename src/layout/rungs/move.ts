import type { ByteSource } from '../../elf/bytes.js';
import { SHT_SYMTAB } from '../../elf/constants.js';
import type { ElfImage } from '../../elf/image.js';
import { DYN, SYM } from '../../elf/structs.js';
import { type Edit, STEP } from '../model/plan.js';
import type { Point } from './place.js';
import type { Block } from './room.js';
import type { NewPlaces } from './section-table.js';

export interface Move {
  /** The copy, and every pointer to it outside the section header table. */
  readonly edits: readonly Edit[];
  /** New place of each section that moves or is copied. */
  readonly places: NewPlaces;
}

/** Moves a block; the old bytes stay until the table grows over them, so both places are good until then. */
export function moveEdits(image: ElfImage, source: ByteSource, block: Block, to: Point): Move {
  const { edits, places } = copyEdits(image, source, block, to);
  const distance = to.address - block.address;
  return {
    edits: [
      ...edits,
      ...dynamicEdits(image, block, distance),
      ...symbolEdits(image, source, block, distance),
    ],
    places,
  };
}

/**
 * Moves the headers of notes to a copy of them. The bytes stay, and so does every pointer to them that is loaded; the
 * symbols of `.symtab` follow, into the sections that `renumbered` gives for the old ones.
 */
export function leaveEdits(
  image: ElfImage,
  source: ByteSource,
  block: Block,
  to: Point,
  renumbered: ReadonlyMap<number, number>,
): Move {
  const { edits, places } = copyEdits(image, source, block, to);
  const symbols = symbolEdits(image, source, block, to.address - block.address, renumbered);
  return { edits: [...edits, ...symbols], places };
}

/** Copies a block and leaves the original and every pointer to it as they are. */
export function copyEdits(image: ElfImage, source: ByteSource, block: Block, to: Point): Move {
  const places = new Map(
    block.sections.map(index => {
      const within = (image.sectionHeaders[index]?.sh_offset ?? block.start) - block.start;
      return [index, { address: to.address + within, offset: to.offset + within }];
    }),
  );
  const copy: Edit = {
    offset: to.offset,
    bytes: source.read(block.start, block.size),
    step: STEP.payload,
    why: `copy of ${block.names.join(', ')}`,
  };
  return { edits: [copy], places };
}

function dynamicEdits(image: ElfImage, block: Block, distance: number): Edit[] {
  const { encoding } = image;
  return (image.dynamic?.entries ?? [])
    .filter(entry => block.tags.includes(entry.d_tag))
    .map(entry => ({
      offset: entry.offset + DYN.at(encoding, 'd_val'),
      bytes: encoding.wordBytes(entry.d_val + distance),
      step: STEP.pointers,
      why: `dynamic entry 0x${entry.d_tag.toString(16)}: its table's new address`,
    }));
}

const PIECE = 1 << 20;

/** Symbols of `.symtab` defined in a section that moves (`__abi_tag`, section symbols) move with it. */
function symbolEdits(
  image: ElfImage,
  source: ByteSource,
  block: Block,
  distance: number,
  renumbered?: ReadonlyMap<number, number>,
): Edit[] {
  const { encoding, sectionHeaders } = image;
  const size = SYM.size(encoding);
  const valueAt = SYM.at(encoding, 'st_value');
  const shndxAt = SYM.at(encoding, 'st_shndx');
  const moved = new Set(block.sections);
  const edits: Edit[] = [];
  for (const table of sectionHeaders) {
    if (table.sh_type !== SHT_SYMTAB) continue;
    const pieceSize = PIECE - (PIECE % size);
    for (let done = 0; done < table.sh_size; done += pieceSize) {
      const piece = source.read(table.sh_offset + done, Math.min(pieceSize, table.sh_size - done));
      for (let at = 0; at + size <= piece.length; at += size) {
        const st_shndx = encoding.u16(piece, at + shndxAt);
        if (!moved.has(st_shndx)) continue;
        const renumber = renumbered?.get(st_shndx);
        if (renumber !== undefined) {
          const bytes = Buffer.alloc(2);
          encoding.putU16(bytes, 0, renumber);
          const offset = table.sh_offset + done + at + shndxAt;
          edits.push({ offset, bytes, step: STEP.pointers, why: 'section of a symbol that moved' });
        }
        const value = encoding.word(piece, at + valueAt);
        // patchelf 0.14 has left the symbols of what it moved behind.
        if (value < block.address || value > block.address + block.size) continue;
        edits.push({
          offset: table.sh_offset + done + at + valueAt,
          bytes: encoding.wordBytes(value + distance),
          step: STEP.pointers,
          why: 'symbol defined in a section that moved',
        });
      }
    }
  }
  return edits;
}
