import { type ByteSource, type ByteString, byteStringOf, displayBytes, escapeControls } from './elf/bytes.js';
import { PT_INTERP } from './elf/constants.js';
import { badModulePath, isProgram } from './elf/dt-audit.js';
import type { ElfImage } from './elf/image.js';
import { ElfnoteError } from './errors.js';
import { staticTlsOf, tooLargeFor } from './loader/static-tls.js';
import { traceFile } from './loader/trace.js';
import { judgeCandidate } from './resolve/candidate.js';
import type { LibraryProbe } from './resolve/probe.js';

/** The path of an audit module as bytes. @throws ElfnoteError `usage` for one that ld.so would not load. */
export function checkedModule(path: string | undefined): ByteString | undefined {
  if (path === undefined) return undefined;
  const bytes = byteStringOf(Buffer.from(path));
  const bad = badModulePath(bytes);
  if (bad !== undefined)
    throw new ElfnoteError('usage', `the audit module's path ${bad}: ${escapeControls(path)}`);
  return bytes;
}

/**
 * ld.so complains about an audit module that it cannot load at every start of the program, and with one it may not have the
 * static thread-local storage that the program's libraries want.
 *
 * @throws ElfnoteError `unsupported` under musl, `refused` for a module of another kind, or for a library by name.
 */
export function refuseModule(
  image: ElfImage,
  source: ByteSource,
  auditModule: ByteString | undefined,
  probe: LibraryProbe,
  options: { readonly force?: boolean | undefined; readonly root?: string | undefined },
): void {
  if (auditModule === undefined || !isProgram(image)) return;
  const { path } = source;
  const interpreter = image.programHeaders.find(p => p.p_type === PT_INTERP);
  const loader = source.read(interpreter?.p_offset ?? 0, interpreter?.p_filesz ?? 0).toString('latin1');
  if (/\/ld-musl-[^/]*$/.test(loader)) {
    throw new ElfnoteError('unsupported', 'cannot have an audit module: musl has no audit interface', {
      path,
    });
  }
  if (options.force) return;
  const refuse = (what: string) =>
    new ElfnoteError('refused', `${what}; --force writes it all the same`, { path });
  const verdict = judgeCandidate(probe.candidate(auditModule), image);
  if (verdict.kind !== 'accepted') {
    throw refuse(`the loader would not take the audit module ${displayBytes(auditModule)}: ${verdict.why}`);
  }
  const large = largeStaticTls(path, options.root);
  if (large === undefined) return;
  const size = `${large.size} bytes of static thread-local storage`;
  throw refuse(`the program would not start with an audit module: ${displayBytes(large.path)} has ${size}`);
}

/** The library that leaves no room, where a program asks for one audit module and no tunable is set. */
function largeStaticTls(path: string, root: string | undefined): ReturnType<typeof tooLargeFor> {
  try {
    return tooLargeFor(staticTlsOf(traceFile(path, { root, hwcaps: 'none', with: 'audit' })), 1);
  } catch (error) {
    if (error instanceof ElfnoteError) return undefined;
    throw error;
  }
}
