import { isZero } from '../../elf/bytes.js';
import { addressOfOffset } from '../../elf/image.js';
import { decodeDescriptor, encodeDescriptor } from '../../note/cache.js';
import { hex, type Invariant, type Report, type Step } from './invariant.js';

/** There is the note that was planned, where every reader finds it. */
export const NOTE: readonly Invariant[] = [
  { name: 'there is one cache note', check: countFaults },
  { name: 'the note says what was planned', check: wordFaults },
  { name: 'the note is where readers look', check: placeFaults },
];

/** The note that was to go is gone. */
export const RELEASED: readonly Invariant[] = [
  {
    name: 'a note is gone',
    check({ before, after }, report) {
      const [was, is] = [before.image.cacheNotes.length, after.image.cacheNotes.length];
      if (is >= was) report(`the old note is still there: ${was} are ${is}`);
    },
  },
];

function countFaults({ after }: Step, report: Report): void {
  const { length } = after.image.cacheNotes;
  if (length !== 1) report(`there is not exactly one cache note: ${length}`);
}

function wordFaults({ after, plan }: Step, report: Report): void {
  const note = after.image.cacheNotes[0];
  if (note === undefined) return;
  const { entries } = plan.wanted;
  const desc = after.source.read(note.descOffset, note.n_descsz);
  if (!desc.equals(encodeDescriptor(entries)))
    report(`the note does not say what was planned: ${desc.length} bytes at ${note.descOffset}`);
  const decoded = decodeDescriptor(desc, note.descOffset).length;
  if (decoded !== entries.length)
    report(`the note does not decode: ${decoded} entries, not ${entries.length}`);
  const end = note.descOffset + note.n_descsz;
  if (!isZero(after.source, end, note.end - end)) report(`the padding is not zero: ${end} to ${note.end}`);
}

function placeFaults({ after, plan }: Step, report: Report): void {
  const { image } = after;
  const note = image.cacheNotes[0];
  if (note === undefined) return;
  const segment = note.segment === undefined ? undefined : image.programHeaders[note.segment];
  if (segment?.p_align !== 4 || note.address % 4 !== 0)
    report(`the note has no 4-aligned PT_NOTE: ${hex(note.address)}, aligned to ${segment?.p_align}`);
  const address = addressOfOffset(image.programHeaders, note.offset, note.end - note.offset);
  if (address !== note.address)
    report(`the note is not loaded: it says ${hex(note.address)}, its bytes are at ${hex(address)}`);
  const section = note.section === undefined ? undefined : image.sectionHeaders[note.section];
  if (plan.hasSection && image.sectionHeaders.length > 0 && section?.sh_addr !== note.address)
    report(`the note has no section: ${hex(section?.sh_addr)}, not ${hex(note.address)}`);
}
