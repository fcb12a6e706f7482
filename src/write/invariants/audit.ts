import { isZero, largest } from '../../elf/bytes.js';
import { DT_AUDIT, DT_STRSZ, PF_W, PT_DYNAMIC, PT_LOAD } from '../../elf/constants.js';
import { dynamicStrings, ownAuditModule, readAudit } from '../../elf/dt-audit.js';
import { type ElfImage, offsetOfAddress, type ProgramHeader } from '../../elf/image.js';
import { DYN } from '../../elf/structs.js';
import { hex, type Invariant, type Report, type Step, tell } from './invariant.js';
import { newAddress, saidFaults, TABLE_TAGS } from './program.js';

/** `DT_AUDIT` names what was planned. */
export const PLANNED_AUDIT: Invariant = {
  name: 'DT_AUDIT names what was planned',
  check({ after, plan }, report) {
    const audit = readAudit(after.image, after.source);
    if (!audit?.own || audit.path !== plan.auditModule)
      report(`DT_AUDIT does not say what was planned: ${audit?.path}, not ${plan.auditModule}`);
  },
};

export const RELEASED_AUDIT: Invariant = {
  name: 'DT_AUDIT is gone',
  check({ after }, report) {
    const auditModule = ownAuditModule(after.image, after.source);
    if (auditModule !== undefined) report(`the old audit module is still there: ${auditModule}`);
  },
};

/** The one file is the other with an audit module, and with nothing else that the kernel or ld.so could notice. */
export const AUDIT: readonly Invariant[] = [
  { name: 'DT_AUDIT comes behind the other entries', check: entryFaults },
  { name: 'sections move with their contents', check: sectionFaults },
  { name: 'one segment may end later', check: segmentFaults },
  { name: 'the cache note stays', check: noteFaults },
];

/** One more entry behind the others, and `DT_NULL` behind that; the others follow what moved. */
function entryFaults({ before, after }: Step, report: Report): void {
  const [old, now] = [before.image.dynamic, after.image.dynamic];
  if (old === undefined || now === undefined) {
    report('there is no dynamic section');
    return;
  }
  for (const [i, { d_tag, d_val, offset }] of old.entries.entries()) {
    const is = now.entries[i];
    const due = TABLE_TAGS.has(d_tag) ? newAddress(before.image, after.image, d_val) : d_val;
    const isRight = d_tag === DT_STRSZ || is?.d_val === due;
    if (is?.d_tag !== d_tag || is.offset !== offset || !isRight)
      report(
        `the dynamic section has other entries: number ${i} is ${hex(is?.d_tag)} ${hex(is?.d_val)}, not ${hex(d_tag)} ${hex(due)}`,
      );
  }
  const [added, ...more] = now.entries.slice(old.entries.length);
  if (added?.d_tag !== DT_AUDIT || more.length > 0)
    report(`the dynamic section has other entries: ${more.length} behind ${hex(added?.d_tag)}`);
  saidFaults(before.image, after.image, 'the dynamic section says something else', report);
  const segment = after.image.programHeaders.find(p => p.p_type === PT_DYNAMIC);
  const size = DYN.size(after.image.encoding);
  const end = (added?.offset ?? 0) + size;
  const limit = (segment?.p_offset ?? 0) + (segment?.p_filesz ?? 0);
  if (end + size > limit || !isZero(after.source, end, DYN.at(after.image.encoding, 'd_val')))
    report(`no DT_NULL ends the dynamic section: at ${end} of ${limit}`);
}

function sectionFaults({ before, after }: Step, report: Report): void {
  const [old, now] = [before.image, after.image];
  if (now.sectionError !== undefined)
    report(`the section headers cannot be read: ${now.sectionError.message}`);
  if (JSON.stringify(old.header) !== JSON.stringify(now.header)) report('the ELF header changed');
  const [was, is] = [old.sectionHeaders.length, now.sectionHeaders.length];
  if (was !== is) report(`a section appeared or went: ${was} are ${is}`);
  const strings = dynamicStrings(old);
  for (const [i, section] of now.sectionHeaders.entries()) {
    const was = old.sectionHeaders[i];
    if (was === undefined || JSON.stringify(was) === JSON.stringify(section)) continue;
    const isTable = was.sh_offset === strings?.offset && was.sh_size === strings.size;
    const { sh_addr, sh_offset, sh_size, name } = section;
    const due = { ...was, sh_addr, sh_offset, sh_size: isTable ? dynamicStrings(now)?.size : was.sh_size };
    if (JSON.stringify(section) !== JSON.stringify(due)) {
      report(`section ${name} changed: size ${was.sh_size} is ${sh_size}`);
      continue;
    }
    const loadedAt = offsetOfAddress(now.programHeaders, sh_addr, sh_size);
    if (loadedAt !== sh_offset)
      report(
        `section ${name} is not loaded: address ${hex(sh_addr)} is offset ${loadedAt}, not ${sh_offset}`,
      );
    // What the string table says is checked string by string.
    if (isTable) continue;
    const bytes = before.source.read(was.sh_offset, sh_size);
    if (!after.source.read(sh_offset, sh_size).equals(bytes))
      report(`section ${name} has other contents in its new place: offset ${was.sh_offset} is ${sh_offset}`);
  }
}

function segmentFaults({ before, after }: Step, report: Report): void {
  const [old, now] = [before.image.programHeaders, after.image.programHeaders];
  if (old.length !== now.length) report(`a program header appeared or went: ${old.length} are ${now.length}`);
  const grown = [...now.entries()].filter(([i, p]) => tell(p) !== tell(old[i]));
  if (grown.length > 1) report(`more than one program header changed: ${grown.map(([i]) => i).join()}`);
  for (const [i, p] of grown) growthFaults(old[i], p, after.image, report);
}

/** Read-only, or the last in the file and in memory, where nothing but the heap comes after it. */
function growthFaults(
  was: ProgramHeader | undefined,
  p: ProgramHeader,
  image: ElfImage,
  report: Report,
): void {
  const { p_filesz, p_memsz } = p;
  const change = `${tell(was)} is ${tell(p)}`;
  if (was === undefined || tell({ ...was, p_filesz, p_memsz }) !== tell(p)) {
    report(`a program header changed: ${change}`);
    return;
  }
  const isFull = was.p_filesz === was.p_memsz && p_filesz === p_memsz;
  if (p.p_type !== PT_LOAD || !isFull || p_memsz <= was.p_memsz)
    report(`what grew is no full PT_LOAD: ${change}`);
  const top = largest(image.programHeaders.map(other => other.p_vaddr + other.p_memsz));
  const isLast = p.p_vaddr + p_memsz === top && p.p_offset + p_filesz === image.size;
  if ((p.p_flags & PF_W) !== 0 && !isLast) report(`a segment grew that is not read-only data: ${change}`);
}

function noteFaults({ before, after }: Step, report: Report): void {
  const notes = ({ cacheNotes }: ElfImage) => JSON.stringify(cacheNotes);
  if (notes(before.image) !== notes(after.image)) report('the cache note changed');
}
