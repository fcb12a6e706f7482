import { PT_INTERP, PT_LOAD, PT_PHDR } from '../../elf/constants.js';
import { addressOfOffset, type ElfImage } from '../../elf/image.js';
import { type Occupied, occupiedRanges, tableEnd } from '../../layout/model/occupied.js';
import { hex, type Invariant, type Report, type Step, tell } from './invariant.js';

/** Where the program header table is, for the kernel, ld.so, qemu-user and strip. */
export const TABLE: readonly Invariant[] = [
  { name: 'the table stays where it is', check: placeFaults },
  { name: 'the table is loaded, and PT_PHDR says where', check: phdrFaults },
  { name: 'old kernels find the table', check: oldKernelFaults },
  { name: 'the table has its bytes for itself', check: overlapFaults },
];

function placeFaults({ before, after, plan }: Step, report: Report): void {
  const [was, is] = [before.image.header.e_phoff, after.image.header.e_phoff];
  if (was !== is && plan.rung.table !== 'move-table')
    report(`the program header table moved: from ${was} to ${is}`);
}

function tableAddress({ header, programHeaders }: ElfImage): number | undefined {
  return addressOfOffset(programHeaders, header.e_phoff, programHeaders.length * header.e_phentsize);
}

function isProgram({ programHeaders }: ElfImage): boolean {
  return programHeaders.some(p => p.p_type === PT_INTERP);
}

function phdrFaults({ before, after }: Step, report: Report): void {
  const { header, programHeaders } = after.image;
  const size = programHeaders.length * header.e_phentsize;
  const address = tableAddress(after.image);
  if (address === undefined)
    report(`the program header table is not loaded: ${size} bytes at offset ${header.e_phoff}`);
  const phdr = programHeaders.find(p => p.p_type === PT_PHDR);
  if (phdr === undefined) {
    const hadOne = before.image.programHeaders.some(p => p.p_type === PT_PHDR);
    if (hadOne && isProgram(after.image)) report('the PT_PHDR of a program is gone');
    return;
  }
  if (phdr.p_offset !== header.e_phoff || phdr.p_vaddr !== address || phdr.p_filesz !== size)
    report(
      `PT_PHDR does not say where the table is: ${tell(phdr)}, not ${size} bytes at offset ${header.e_phoff}, address ${hex(address)}`,
    );
}

/** Kernels before 5.18 and qemu-user compute `AT_PHDR` from the first `PT_LOAD`; only a program is told. */
function oldKernelFaults({ before, after }: Step, report: Report): void {
  if (!isProgram(after.image) || !hasOldAddress(before.image) || hasOldAddress(after.image)) return;
  report(`old kernels would compute a wrong AT_PHDR: the table is at ${hex(tableAddress(after.image))}`);
}

function hasOldAddress(image: ElfImage): boolean {
  const first = image.programHeaders.find(p => p.p_type === PT_LOAD);
  const address = tableAddress(image);
  if (first === undefined || address === undefined) return true;
  return first.p_vaddr - first.p_offset === address - image.header.e_phoff;
}

function overlapFaults({ before, after }: Step, report: Report): void {
  const stale = onTable(before.image);
  for (const { kind, index, start } of onTable(after.image)) {
    if (!stale.some(was => was.kind === kind && was.index === index))
      report(
        `the table runs into a ${kind}: number ${index} starts at ${start}, the table ends at ${tableEnd(after.image)}`,
      );
  }
}

/** What claims bytes of the program header table. patchelf grows it over `PT_GNU_PROPERTY` and leaves that behind. */
function onTable(image: ElfImage): Occupied[] {
  const [start, end] = [image.header.e_phoff, tableEnd(image)];
  return occupiedRanges(image).filter(
    range =>
      range.start < end && range.end > start && range.kind !== 'load' && range.kind !== 'program-headers',
  );
}
