import { posix } from 'node:path';
import { type ByteString, byteStringOf } from '../elf/bytes.js';
import { codeWords, ElfnoteError } from '../errors.js';
import { withFile } from '../files/source.js';
import { type Architecture, architectureOf, isOwn, runsHere } from './architectures.js';
import type { Closure } from './closure.js';
import { type Counts, countLookups } from './count.js';
import { FileLoaderProbe } from './file-probe.js';
import { type Processor, processorNamed, processorOf, processorSaid, subdirectoriesOf } from './hwcaps.js';
import { type LoaderFacts, readLoader } from './interpreter.js';
import type { Notes, Reader } from './note-answer.js';
import { type ObjectFacts, readFacts } from './object.js';
import { askOwnLoader } from './own-loader.js';
import type { LoaderProbe } from './probe.js';
import { type Machine, simulate } from './simulate.js';

export interface TraceOptions {
  /** As `LD_LIBRARY_PATH`: separated by `:` or `;`, an empty part is the current directory. */
  readonly libraryPath?: string | undefined;
  /** As `LD_PRELOAD`: separated by spaces or `:`. */
  readonly preload?: string | undefined;
  /** Who reads notes. Default: the audit module where the program asks for it, else nobody. */
  readonly with?: Reader | undefined;
  /** `glibc-2.36`: what the program's loader is taken for. Default: what its file says. */
  readonly loader?: string | undefined;
  /** Processor capabilities, separated by commas; `none`. Default: this machine's, for programs that run on it. */
  readonly hwcaps?: string | undefined;
  /** Each object opens what it declares to dlopen (`.note.dlopen`), when all is loaded. Default: none does. */
  readonly dlopen?: boolean | undefined;
  /** A directory that holds the file system in which everything is looked up. */
  readonly root?: string | undefined;
  /** A file in the place of ld.so.cache, on this machine. */
  readonly ldCache?: string | undefined;
  /** `ExpectedNotes`: every object has the note that build-cache would give it. Default: those that are there. */
  readonly notes?: Notes | undefined;
  /** Shared between traces, so that each object is read once. Overrides `root`. */
  readonly probe?: LoaderProbe | undefined;
}

/** All that ld.so would do for a program until its own code runs. */
export interface Trace extends Closure, Machine {
  /** As it was given. */
  readonly file: string;
  readonly with: Reader;
  /** What the loader tries in each directory, in order. */
  readonly subdirectories: readonly ByteString[];
  readonly counts: Counts;
}

/**
 * Simulates ld.so over the whole closure of a program or library. Nothing of it is run: only the loader that has started
 * Node is, to ask for the processor.
 *
 * @throws ElfnoteError `usage` for an option that does not fit; of the file itself `unreadable`, `not-elf`,
 * `malformed`, or `unsupported` for a static program, one whose loader is no glibc, or one that asks for a million
 * look-ups.
 */
export function traceFile(file: string, options: TraceOptions = {}): Trace {
  const facts = withFile(file, readFacts);
  if (facts.image.dynamic === undefined) {
    throw new ElfnoteError('unsupported', 'is statically linked: no loader searches for it', { path: file });
  }
  const probe = options.probe ?? new FileLoaderProbe(options.root);
  const reader = options.with ?? (facts.ownAuditModule === undefined ? 'none' : 'audit');
  const machine = machineFor(facts, file, probe, options);
  const closure = simulate(facts, pathInside(file, facts, options.root), probe, machine, {
    libraryPath: bytes(options.libraryPath ?? ''),
    preload: [...namesIn(bytes(options.preload ?? ''), /[ :]/), ...preloadedByFile(probe)],
    dlopen: options.dlopen,
    with: reader,
    notes: options.notes,
    workingDirectory: bytes(process.cwd()),
    cacheFile: cacheReader(options.ldCache),
  });
  const subdirectories = subdirectoriesOf(machine.processor, machine.loader.glibc);
  const counts = countLookups(closure.lookups);
  return { file, with: reader, subdirectories, counts, ...closure, ...machine };
}

function machineFor(facts: ObjectFacts, file: string, probe: LoaderProbe, options: TraceOptions): Machine {
  const architecture = architectureOf(facts.image);
  const loader = chosenLoader(readLoader(facts.interpreter, probe, architecture), options.loader, file);
  return { architecture, loader, processor: chosenProcessor(options.hwcaps, architecture) };
}

function namesIn(text: ByteString, separators: RegExp): ByteString[] {
  return text.split(separators).filter(name => name !== '');
}

/** What the machine preloads into every program: names between white space or colons, comments behind `#`. */
function preloadedByFile(probe: LoaderProbe): ByteString[] {
  const content = probe.readFile('/etc/ld.so.preload');
  if (!Buffer.isBuffer(content)) return [];
  return namesIn(byteStringOf(content).replace(/#[^\n]*/g, ''), /[\s:]+/);
}

/** @throws ElfnoteError `usage` */
function chosenLoader(found: LoaderFacts, wanted: string | undefined, path: string): LoaderFacts {
  if (wanted === undefined) return found;
  const minor = /^glibc-2\.(\d{1,3})$/.exec(wanted)?.[1];
  if (minor === undefined) {
    throw new ElfnoteError('usage', `the loader is named like glibc-2.36, not ${wanted}`, { path });
  }
  return { ...found, glibc: Number(minor), versionFrom: 'option' };
}

function chosenProcessor(wanted: string | undefined, architecture: Architecture): Processor {
  if (wanted !== undefined) return processorNamed(wanted, architecture);
  if (!runsHere(architecture, process.arch)) return processorNamed('none', architecture);
  const cpuinfo = new FileLoaderProbe().readFile('/proc/cpuinfo');
  const described = processorOf(Buffer.isBuffer(cpuinfo) ? cpuinfo.toString('latin1') : '', architecture);
  const help = isOwn(architecture, process.arch) ? askOwnLoader() : undefined;
  return help === undefined ? described : processorSaid(help, described, architecture);
}

/** A program is known by its real path (`/proc/self/exe`), a library by the one that it is opened by. */
function pathInside(file: string, facts: ObjectFacts, root: string | undefined): ByteString {
  const host = new FileLoaderProbe();
  const given = bytes(posix.resolve(file));
  const path = facts.interpreter === undefined ? given : (host.realPath(given) ?? given);
  const top = root === undefined ? undefined : host.realPath(bytes(posix.resolve(root)));
  const outside = top === undefined || top === '/' || !path.startsWith(`${top}/`);
  return outside ? path : path.slice(top.length);
}

/** @throws ElfnoteError `unreadable` for a file that was named and cannot be read. */
function cacheReader(file: string | undefined): (() => Buffer) | undefined {
  if (file === undefined) return undefined;
  const content = new FileLoaderProbe().readFile(bytes(file));
  if (!Buffer.isBuffer(content)) {
    const why = codeWords(content.code);
    throw new ElfnoteError('unreadable', `cannot read this ld.so.cache: ${why}`, { path: file });
  }
  return () => content;
}

function bytes(text: string): ByteString {
  return byteStringOf(Buffer.from(text));
}
