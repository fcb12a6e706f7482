import { AUDIT_MARK, dynamicStrings, readAudit } from '../../elf/dt-audit.js';
import { DYN } from '../../elf/structs.js';
import type { ElfView } from '../../elf/view.js';
import { ElfnoteError } from '../../errors.js';
import { type Commit, type Edit, STEP } from '../model/plan.js';
import { sizeEdits, stringSection } from './edit.js';

/**
 * Takes elfnote's reader out of a file that has no record of how it came there, or where other tools have changed it
 * since: its entry and its strings go, the string table stays where it is.
 *
 * @returns undefined where there is no audit module of elfnote's.
 * @throws ElfnoteError `unsupported` where dynamic entries were added behind it.
 */
export function releaseAudit({ image, source }: ElfView): Commit | undefined {
  const audit = readAudit(image, source);
  const table = dynamicStrings(image);
  if (audit?.path === undefined || !audit.own || table === undefined) return undefined;
  if (image.dynamic?.entries.at(-1)?.offset !== audit.entry.offset) {
    throw new ElfnoteError('unsupported', 'has dynamic entries behind the DT_AUDIT that elfnote wrote', {
      path: image.path,
      offset: audit.entry.offset,
    });
  }
  // DT_AUDIT goes first, then the string that it named.
  const entry = Buffer.alloc(DYN.size(image.encoding));
  const oldSize = audit.entry.d_val - AUDIT_MARK.length;
  const start = table.offset + oldSize;
  const size = AUDIT_MARK.length + audit.path.length;
  const edits: Edit[] = [
    { offset: audit.entry.offset, bytes: entry, step: 0, why: 'DT_AUDIT is taken out' },
    { offset: start, bytes: Buffer.alloc(size), step: 0, why: 'bytes of the audit module' },
  ];
  // Where mark and path end the table, and its section header has it too, nothing was added since.
  const section = image.sectionHeaders[stringSection(image, table)];
  const isLast = oldSize + size + 1 === table.size && section?.sh_size === table.size;
  if (isLast) edits.push(...sizeEdits(image, table, oldSize, STEP.pointers));
  // As of a note that is released, the next run could not finish what one that was stopped has begun.
  return { kind: 'audit-out', edits, size: source.size, inPlaceIsSafe: false };
}
