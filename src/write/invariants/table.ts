import { addressOfOffset, type ElfImage } from '../../elf/image.js';
import { type Occupied, rangesOn, tableEnd } from '../../layout/model/occupied.js';
import { hex, type Invariant, type Report, type Side, type Step, tell } from './invariant.js';

/** Where the program header table is, for the kernel, ld.so, qemu-user and strip. */
export const TABLE: readonly Invariant[] = [
  { name: 'the table stays where it is', check: placeFaults },
  { name: 'the table is loaded, and PT_PHDR says where', check: phdrFaults },
  { name: 'old kernels find the table', check: oldKernelFaults },
  { name: 'the table has its bytes for itself', check: overlapFaults },
];

function placeFaults({ before, after, plan }: Step, report: Report): void {
  const was = before.image.header.e_phoff;
  const is = after.image.header.e_phoff;
  if (was !== is && plan.rung.table !== 'move-table')
    report(`the program header table moved: from ${was} to ${is}`);
}

function tableAddress({ image, loads }: Side): number | undefined {
  return addressOfOffset(loads, image.header.e_phoff, tableSize(image));
}

function tableSize({ header, programHeaders }: ElfImage): number {
  return programHeaders.length * header.e_phentsize;
}

function phdrFaults({ before, after }: Step, report: Report): void {
  const { e_phoff } = after.image.header;
  const size = tableSize(after.image);
  const address = tableAddress(after);
  if (address === undefined)
    report(`the program header table is not loaded: ${size} bytes at offset ${e_phoff}`);
  const { phdr } = after;
  if (phdr === undefined) {
    if (before.phdr !== undefined && after.interp !== undefined) report('the PT_PHDR of a program is gone');
    return;
  }
  if (phdr.p_offset !== e_phoff || phdr.p_vaddr !== address || phdr.p_filesz !== size)
    report(
      `PT_PHDR does not say where the table is: ${tell(phdr)}, not ${size} bytes at offset ${e_phoff}, address ${hex(address)}`,
    );
}

/** Kernels before 5.18 and qemu-user compute `AT_PHDR` from the first `PT_LOAD`; only a program is told. */
function oldKernelFaults({ before, after }: Step, report: Report): void {
  if (after.interp === undefined || !hasOldAddress(before) || hasOldAddress(after)) return;
  report(`old kernels would compute a wrong AT_PHDR: the table is at ${hex(tableAddress(after))}`);
}

function hasOldAddress(side: Side): boolean {
  const [first] = side.loads;
  const address = tableAddress(side);
  if (first === undefined || address === undefined) return true;
  return first.p_vaddr - first.p_offset === address - side.image.header.e_phoff;
}

function overlapFaults({ before, after }: Step, report: Report): void {
  for (const range of onTable(after.image)) {
    const { kind, index, start } = range;
    if (isTable(range) || onTable(before.image).some(was => was.kind === kind && was.index === index))
      continue;
    report(
      `the table runs into a ${kind}: number ${index} starts at ${start}, the table ends at ${tableEnd(after.image)}`,
    );
  }
}

/** What claims bytes of the program header table. patchelf grows it over `PT_GNU_PROPERTY` and leaves that behind. */
function onTable(image: ElfImage): Occupied[] {
  return rangesOn(image, image.header.e_phoff, tableEnd(image));
}

/** The table itself, and what it is loaded by. */
function isTable({ kind }: Occupied): boolean {
  return kind === 'load' || kind === 'program-headers';
}
