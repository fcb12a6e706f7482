import {
  type ByteSource,
  type ByteString,
  bytesOf,
  congruentUp,
  displayBytes,
  isZero,
  largest,
} from '../../elf/bytes.js';
import {
  DT_AUDIT,
  DT_STRSZ,
  DT_STRTAB,
  ET_DYN,
  PF_W,
  PT_DYNAMIC,
  PT_LOAD,
  SHF_ALLOC,
  SHT_DYNAMIC,
  SHT_STRTAB,
} from '../../elf/constants.js';
import { AUDIT_MARK, dynamicStrings, readAudit, type StringTable } from '../../elf/dt-audit.js';
import { type ElfImage, type ProgramHeader, sectionHeaderSize } from '../../elf/image.js';
import { DYN, SHDR } from '../../elf/structs.js';
import type { ElfView } from '../../elf/view.js';
import { ElfnoteError } from '../../errors.js';
import { appendedData, occupiedRanges } from '../model/occupied.js';
import { type AuditCommit, type Edit, STEP } from '../model/plan.js';
import { fileGap, findSlack, type Slack } from '../model/slack.js';
import { Ground } from '../rungs/ground.js';
import { headerPlan } from '../rungs/header.js';
import { moveEdits } from '../rungs/move.js';
import { tablesIn } from '../rungs/move-tables.js';
import type { Block } from '../rungs/room.js';
import { movedSectionEdits } from '../rungs/section-table.js';

/** How the dynamic string table comes to have room for one more string behind it. */
interface Layout {
  /** File offset of the new string. */
  readonly pathAt: number;
  /** What moves, and where to: the tables behind the string table, or the string table itself. */
  readonly move: { readonly block: Block; readonly offset: number; readonly address: number } | undefined;
  /** The segment that grows, by index, and the file offset of its new end. */
  readonly grown: { readonly load: number; readonly end: number } | undefined;
  /** False where the new string is written over bytes that were in use. */
  readonly inPlaceIsSafe: boolean;
}

/**
 * Writes `DT_AUDIT` into a program that has none: over the first spare `DT_NULL`, with the path as one more string of
 * the dynamic string table, which docs/layout.md says how it makes room.
 *
 * @returns undefined where no segment has room.
 * @throws ElfnoteError `unsupported` for a program that cannot have an audit module.
 */
export function planAudit({ image, source }: ElfView, path: ByteString): AuditCommit | undefined {
  const slot = spareEntry(image, source);
  const table = plainStrings(image, source);
  const text = bytesOf(`${AUDIT_MARK}${path}\0`);
  const layout = findLayout(image, source, table, text.length);
  if (layout === undefined) return undefined;
  const { move, grown, pathAt, inPlaceIsSafe } = layout;
  const edits: Edit[] = [
    ...(move === undefined ? [] : relocation(image, source, move)),
    ...(grown === undefined ? [] : headerEdits(image, source, grown)),
    { offset: pathAt, bytes: text, step: STEP.mapped, why: "the audit module's path" },
    ...sizeEdits(image, table, table.size + text.length, STEP.mapped),
    // Last of all: whoever starts the program before it finds no audit module, whoever comes later finds all of it.
    slotEdit(image, slot, table.size + AUDIT_MARK.length, path),
  ];
  const size = Math.max(image.size, grown?.end ?? 0);
  return { kind: 'audit-in', path, edits: edits.sort((a, b) => a.step - b.step), size, inPlaceIsSafe };
}

function refusal(image: ElfImage, why: string): ElfnoteError {
  return new ElfnoteError('unsupported', `cannot have an audit module: ${why}`, { path: image.path });
}

/**
 * The file offset of a `DT_NULL` behind which another one ends the table; that one has to stay. GNU ld leaves some with
 * a value.
 */
function spareEntry(image: ElfImage, source: ByteSource): number {
  const audit = readAudit(image, source);
  if (audit !== undefined) {
    throw refusal(image, `its DT_AUDIT names another audit module (${displayBytes(audit.path ?? '')})`);
  }
  const segment = image.programHeaders.find(p => p.p_type === PT_DYNAMIC);
  const section = image.sectionHeaders.find(s => s.sh_type === SHT_DYNAMIC);
  const start = segment?.p_offset ?? 0;
  const end = Math.min(
    start + (segment?.p_filesz ?? 0),
    section === undefined ? 0 : section.sh_offset + section.sh_size,
  );
  const entrySize = DYN.size(image.encoding);
  const slot = start + (image.dynamic?.entries.length ?? 0) * entrySize;
  if (slot + 2 * entrySize > end || !isZero(source, slot, entrySize + DYN.at(image.encoding, 'd_val'))) {
    throw refusal(image, 'its dynamic section has no spare entry');
  }
  return slot;
}

/** The string table, where it is one that every tool will find: the headers and the dynamic section agree on it. */
function plainStrings(image: ElfImage, source: ByteSource): StringTable {
  const table = dynamicStrings(image);
  const entries = image.dynamic?.entries ?? [];
  const once = (tag: number) => entries.filter(({ d_tag }) => d_tag === tag).length === 1;
  if (table === undefined || table.size === 0 || !once(DT_STRTAB) || !once(DT_STRSZ)) {
    throw refusal(image, 'no single segment holds its dynamic string table');
  }
  const section = image.sectionHeaders[stringSection(image, table)];
  if (section?.sh_offset !== table.offset || section.sh_size !== table.size) {
    throw refusal(image, 'no section header describes its dynamic string table');
  }
  if (source.read(table.offset + table.size - 1, 1)[0] !== 0) {
    throw refusal(image, 'its dynamic string table does not end with a NUL');
  }
  return table;
}

/** Index of the section header of the table, or -1. */
export function stringSection(image: ElfImage, table: StringTable): number {
  return image.sectionHeaders.findIndex(
    s => s.sh_type === SHT_STRTAB && (s.sh_flags & SHF_ALLOC) !== 0 && s.sh_addr === table.address,
  );
}

/** Moves as little as it takes: nothing, what stands behind the string table, that table itself. */
function findLayout(
  image: ElfImage,
  source: ByteSource,
  table: StringTable,
  added: number,
): Layout | undefined {
  const occupied = occupiedRanges(image);
  const mayGrow = !appendedData(image, occupied, source);
  const slacks = [...findSlack(image, occupied, mayGrow), ...(mayGrow ? endOf(image) : [])];
  const isFree = ({ offset, size }: Slack, wanted: number) =>
    wanted <= size && isZero(source, offset, Math.max(0, Math.min(wanted, image.size - offset)));
  const pathAt = table.offset + table.size;
  const stays = { pathAt, move: undefined, grown: undefined, inPlaceIsSafe: true };

  const holder = image.programHeaders.find(p => p.p_type === PT_LOAD && holds(p, table.offset, table.size));
  const inside = holder !== undefined && holds(holder, pathAt, added);
  const described = occupied.filter(({ kind }) => kind !== 'load');
  if (inside && fileGap(pathAt, described) >= added && isZero(source, pathAt, added)) return stays;
  const behind = slacks.find(slack => slack.offset === pathAt && isFree(slack, added));
  if (behind !== undefined) return { ...stays, grown: { load: behind.load, end: pathAt + added } };

  const ground = new Ground(image, source, occupied);
  const fit = (block: Block | undefined, more: number) => {
    if (block === undefined) return undefined;
    for (const slack of slacks) {
      const address = congruentUp(slack.address, block.address, block.align);
      const offset = slack.offset + address - slack.address;
      const end = offset + block.size + more;
      if (!isFree(slack, end - slack.offset)) continue;
      return { move: { block, offset, address }, grown: { load: slack.load, end } };
    }
    return undefined;
  };
  const followers = inside ? fit(tablesIn(ground, pathAt, added), 0) : undefined;
  if (followers !== undefined) return { ...followers, pathAt, inPlaceIsSafe: false };
  // patchelf rewrites the start of an ET_EXEC up to .dynstr, and breaks the file where that stands further on.
  if (image.header.e_type !== ET_DYN) return undefined;
  const itself = fit(tablesIn(ground, table.offset, table.size), added);
  return itself && { ...itself, pathAt: itself.move.offset + table.size, inPlaceIsSafe: true };
}

/** patchelf's own segment is writable, and the last in the file and in memory; it may grow over the file's end. */
function endOf(image: ElfImage): Slack[] {
  const top = largest(image.programHeaders.map(p => p.p_vaddr + p.p_memsz));
  const load = image.programHeaders.findIndex(
    p => p.p_type === PT_LOAD && p.p_offset + p.p_filesz === image.size && p.p_vaddr + p.p_memsz === top,
  );
  const p = image.programHeaders[load];
  if (p === undefined || (p.p_flags & PF_W) === 0 || p.p_filesz !== p.p_memsz) return [];
  const toTop = image.encoding.is64 ? Number.POSITIVE_INFINITY : 2 ** 32 - top;
  return [{ load, offset: image.size, address: top, size: toTop }];
}

function holds(p: ProgramHeader, offset: number, size: number): boolean {
  return p.p_offset <= offset && offset + size <= p.p_offset + p.p_filesz;
}

/** The copy of a block, and every pointer to it; what it is copied over may only be pointed at once it is mapped. */
function relocation(image: ElfImage, source: ByteSource, move: NonNullable<Layout['move']>): Edit[] {
  const { edits, places } = moveEdits(image, source, move.block, move);
  return [...edits, ...movedSectionEdits(image, image.header.e_shoff, places)].map(edit =>
    edit.step === STEP.payload ? edit : { ...edit, step: STEP.mapped },
  );
}

/** The program header table with a segment that ends at `end`. */
function headerEdits(
  image: ElfImage,
  source: ByteSource,
  { load, end }: NonNullable<Layout['grown']>,
): readonly Edit[] {
  const programHeaders = image.programHeaders.map((p, i) =>
    i === load ? { ...p, p_filesz: end - p.p_offset, p_memsz: end - p.p_offset } : p,
  );
  const { e_shoff, e_shnum } = image.header;
  return headerPlan(image, source, { programHeaders, e_shoff, e_shnum }).edits;
}

/** `DT_STRSZ`, and `sh_size` of the section. */
export function sizeEdits(image: ElfImage, table: StringTable, size: number, step: number): Edit[] {
  const { encoding, header } = image;
  const bytes = encoding.wordBytes(size);
  const entry = image.dynamic?.entries.find(({ d_tag }) => d_tag === DT_STRSZ);
  const section = header.e_shoff + stringSection(image, table) * sectionHeaderSize(encoding);
  return [
    { offset: (entry?.offset ?? 0) + DYN.at(encoding, 'd_val'), bytes, step, why: 'DT_STRSZ' },
    {
      offset: section + SHDR.at(encoding, 'sh_size'),
      bytes,
      step,
      why: 'section header of .dynstr: its size',
    },
  ];
}

function slotEdit(image: ElfImage, offset: number, d_val: number, path: ByteString): Edit {
  const { encoding } = image;
  const bytes = Buffer.alloc(DYN.size(encoding));
  DYN.put(encoding, bytes, 0, { d_tag: DT_AUDIT, d_val });
  return { offset, bytes, step: STEP.mapped, why: `DT_AUDIT: ${displayBytes(path)}` };
}
