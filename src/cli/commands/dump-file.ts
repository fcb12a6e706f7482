import { displayBytes, escapeControls } from '../../elf/bytes.js';
import { PT_LOAD } from '../../elf/constants.js';
import { ElfnoteError, EXIT, exitStatusOf } from '../../errors.js';
import type { CacheStep } from '../../note/cache.js';
import type { DlopenRequest } from '../../note/dlopen.js';
import { judgePath, type NoteReport, readNoteAndDeclared } from '../../note-report.js';
import { FileSystemProbe } from '../../resolve/fs-probe.js';
import type { LibraryProbe } from '../../resolve/probe.js';
import { printError, printJson, printOut } from '../output.js';
import { JSON_SCHEMA } from '../reports/json.js';
import type { DumpFlags } from './dump.js';

/** @returns the exit status. */
export function dumpFiles(files: readonly string[], flags: DumpFlags): number {
  const probe = new FileSystemProbe(flags.root);
  return Math.max(...files.map(file => dumpFile(file, flags, probe)));
}

function dumpFile(file: string, flags: DumpFlags, probe: LibraryProbe): number {
  try {
    const { report, declared } = readNoteAndDeclared(file);
    if (report === undefined) return sayNoNote(file, flags, declared);
    if (flags.raw) {
      printOut(report.descriptor);
      return EXIT.ok;
    }
    if (flags.json) printJson(noteJson(report, probe));
    else printOut(`${noteText(report, probe).join('\n')}\n`);
    return isRight(report, probe) ? EXIT.ok : EXIT.findings;
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    printError(escapeControls(error.line));
    if (flags.json) {
      const { code, message, offset } = error;
      printJson({ ...base(file), note: null, error: { code, message, offset: offset ?? null } });
    }
    return exitStatusOf(error.code);
  }
}

/** As far as the note alone tells; `elfnote verify` resolves anew. */
function isRight(report: NoteReport, probe: LibraryProbe): boolean {
  const isThere = (step: CacheStep) =>
    step.kind === 'hint' || judgePath(report, step.path, probe).kind === 'accepted';
  return report.agreesWithRunPath && report.entries.every(({ steps }) => steps.every(isThere));
}

function sayNoNote(file: string, flags: DumpFlags, requests: readonly DlopenRequest[]): number {
  const what = `${escapeControls(file)}: has no cache note`;
  if (flags.raw) {
    printError(what);
    return EXIT.findings;
  }
  const declared = declaredOf(requests, []);
  if (flags.json) printJson({ ...base(file), note: null, dlopen: declared });
  else printOut(`${[what, ...declaredLines(declared)].join('\n')}\n`);
  return EXIT.findings;
}

function base(path: string): { schema: string; type: string; path: string } {
  return { schema: JSON_SCHEMA, type: 'note', path };
}

interface DumpedElement {
  readonly element: string;
  readonly meaning: string;
  readonly state: 'accepted' | 'passed-over' | 'fatal' | 'searched';
  readonly why: string;
}

function elements(report: NoteReport, probe: LibraryProbe): { soname: string; elements: DumpedElement[] }[] {
  return report.entries.map(({ soname, steps }) => ({
    soname: displayBytes(soname),
    elements: steps.map((step): DumpedElement => {
      if (step.kind === 'hint') {
        const element = `?${displayBytes(step.dir)}`;
        return { element, meaning: 'the loader searches this directory', state: 'searched', why: '' };
      }
      const verdict = judgePath(report, step.path, probe);
      return {
        element: `=${displayBytes(step.path)}`,
        meaning: 'the loader opens this path',
        state: verdict.kind,
        why: verdict.kind === 'accepted' ? '' : verdict.why,
      };
    }),
  }));
}

/** What a file declares to dlopen, and of which its note says something. */
function declaredOf(declared: readonly DlopenRequest[], recorded: readonly string[]) {
  return declared.flatMap(({ sonames, feature, priority }) =>
    sonames.map(soname => ({
      soname: displayBytes(soname),
      feature: feature ?? null,
      priority,
      recorded: recorded.includes(soname),
    })),
  );
}

function declaredLines(declared: ReturnType<typeof declaredOf>): string[] {
  return declared.map(({ soname, feature, priority, recorded }) => {
    const what = [...(feature === null ? [] : [escapeControls(feature)]), escapeControls(priority)].join(
      ', ',
    );
    return `  dlopen ${soname} (${what}): ${recorded ? 'recorded' : 'not recorded'}`;
  });
}

function reportedOf({ declared, entries }: NoteReport) {
  return declaredOf(
    declared,
    entries.map(({ soname }) => soname),
  );
}

function place(report: NoteReport) {
  const { location, image } = report;
  const section = location.section === undefined ? undefined : image.sectionHeaders[location.section];
  const load = image.programHeaders.findIndex(
    p => p.p_type === PT_LOAD && p.p_offset <= location.offset && location.end <= p.p_offset + p.p_filesz,
  );
  return {
    offset: location.offset,
    address: location.address,
    size: location.end - location.offset,
    descriptorSize: location.n_descsz,
    segment: location.segment ?? null,
    loadSegment: load,
    section:
      section === undefined ? null : { index: location.section ?? null, name: displayBytes(section.name) },
  };
}

function noteJson(report: NoteReport, probe: LibraryProbe): object {
  const { agreesWithRunPath, removalIsExact } = report;
  return {
    ...base(report.path),
    note: { ...place(report), agreesWithRunPath, removalIsExact, entries: elements(report, probe) },
    reader: readerOf(report, probe) ?? null,
    dlopen: reportedOf(report),
  };
}

interface DumpedReader {
  readonly path: string;
  /** False for an audit module that somebody else has put into `DT_AUDIT`. */
  readonly own: boolean;
  readonly state: ReturnType<typeof judgePath>['kind'];
  readonly why: string;
}

function readerOf(report: NoteReport, probe: LibraryProbe): DumpedReader | undefined {
  const { path, own } = report.audit ?? {};
  if (path === undefined || own === undefined) return undefined;
  const verdict = judgePath(report, path, probe);
  const why = verdict.kind === 'accepted' ? '' : verdict.why;
  return { path: displayBytes(path), own, state: verdict.kind, why };
}

const STATE_WORDS = {
  accepted: 'there, and acceptable',
  'passed-over': 'the loader passes over it',
  fatal: 'the loader fails on it',
  searched: 'searched at run time',
} as const;

function stateText(state: keyof typeof STATE_WORDS, why: string): string {
  return `(${STATE_WORDS[state]}${why === '' ? '' : `: ${why}`})`;
}

function noteText(report: NoteReport, probe: LibraryProbe): string[] {
  const at = place(report);
  const reader = readerOf(report, probe);
  const section = at.section === null ? 'no section' : `section [${at.section.index}] ${at.section.name}`;
  return [
    `${escapeControls(report.path)}: cache note of ${at.size} bytes at offset ${at.offset}, address 0x${at.address.toString(16)}`,
    `  PT_NOTE is program header ${at.segment}, inside PT_LOAD ${at.loadSegment}; ${section}`,
    ...(report.agreesWithRunPath
      ? []
      : ['  stale: the run path or DT_NEEDED has changed since; run build-cache again']),
    ...(report.removalIsExact ? [] : ['  remove-cache will not give every old byte back']),
    ...(reader === undefined
      ? []
      : [
          `  DT_AUDIT${reader.own ? '' : ', not written by elfnote'}: ${reader.path}  ${stateText(reader.state, reader.why)}`,
        ]),
    ...elements(report, probe).flatMap(({ soname, elements: list }) => [
      `  ${soname}`,
      ...list.map(({ element, state, why }) => {
        return `    ${element.slice(0, 1)} ${element.slice(1)}  ${stateText(state, why)}`;
      }),
    ]),
    ...declaredLines(reportedOf(report)),
  ];
}
