import type { ByteSource } from './elf/bytes.js';
import { ET_CORE, ET_DYN, ET_EXEC, ET_REL } from './elf/constants.js';
import type { ElfImage } from './elf/image.js';
import { readElfHeader, readImage } from './elf/read.js';
import { type NotWhole, whyNotWhole } from './elf/whole.js';
import type { ElfnoteError } from './errors.js';
import { withFile } from './files/source.js';
import type { SkipPlan } from './layout/model/plan.js';
import { runPathOf } from './resolve/resolve.js';

function skip(reason: SkipPlan['reason'], detail: string): SkipPlan {
  return { kind: 'skip', reason, detail };
}

/**
 * What a file is, or that it is none to have a note. Its header alone tells core files and object files: a core file
 * is often cut short, and nothing else of it is read.
 *
 * @throws ElfnoteError
 */
export function readLinked(source: ByteSource): ElfImage | SkipPlan {
  const head = readElfHeader(source);
  return unlinked(head.header.e_type) ?? readImage(source, { head });
}

function unlinked(e_type: number): SkipPlan | undefined {
  if (e_type === ET_REL) return skip('relocatable', 'is an object file (ET_REL)');
  if (e_type === ET_CORE) return skip('core', 'is a core file (ET_CORE)');
  return undefined;
}

/** Why an image gets no note, whatever is found for it. @throws ElfnoteError for section headers that are wrong. */
export function reasonToSkip(image: ElfImage): SkipPlan | undefined {
  const { e_type } = image.header;
  const other = unlinked(e_type);
  if (other !== undefined) return other;
  if (e_type !== ET_EXEC && e_type !== ET_DYN) return skip('unsupported-layout', `has e_type ${e_type}`);
  if (image.debugOnly)
    return skip('debug-only', 'is a separate debug file: its dynamic section has no content');
  if (image.dynamic === undefined) return skip('static', 'is statically linked: it has no dynamic section');
  if (image.cacheNotes.length === 0) {
    if (image.dynamic.needed.length === 0) return skip('no-needed', 'needs no library (no DT_NEEDED)');
    if (runPathOf(image).components.length === 0) return skip('no-run-path', 'has no run path');
  }
  if (image.sectionError !== undefined) throw image.sectionError;
  return undefined;
}

/**
 * Why a walk passes over a file on which the work failed: it is not ELF, ends before what its headers describe, or lies
 * above 2^53 (kernels). Undefined for a failure that has to be told.
 */
export function reasonToPassOver(path: string, { code, message }: ElfnoteError): SkipPlan | undefined {
  if (code === 'not-elf') return skip('not-elf', message);
  if (code !== 'malformed' && code !== 'unsupported') return undefined;
  try {
    const why = withFile(path, whyNotWhole);
    return why && skip(why, NOT_WHOLE[why]);
  } catch {
    return undefined;
  }
}

const NOT_WHOLE: Readonly<Record<NotWhole, string>> = {
  truncated: 'is cut short: it ends before what its headers describe',
  'high-addresses': 'has addresses above 2^53, as kernels have',
};
