import {
  EM_386,
  EM_AARCH64,
  EM_ARM,
  EM_PPC64,
  EM_RISCV,
  EM_S390,
  EM_X86_64,
  PT_INTERP,
} from '../elf/constants.js';
import { readImage } from '../elf/read.js';
import { ElfnoteError } from '../errors.js';
import { type FileSource, withFile } from '../files/source.js';
import { LARGEST } from './file-probe.js';
import { TUNABLE } from './static-tls.js';

/** What decides whether a program's loader can use an auditing module, and which one. */
export interface Program {
  /** As compilers name it (`aarch64`); undefined for one that the audit module is not written for. */
  readonly architecture: string | undefined;
  /** Undefined for a static program. */
  readonly interpreter: Interpreter | undefined;
}

export interface Interpreter {
  readonly path: string;
  /** Whether it knows rtld-audit(7), as glibc does and musl does not. */
  readonly hasAudit: boolean;
  /** glibc before 2.35 takes every call through the PLT to any auditor, whether or not it asked for them. */
  readonly slowsCalls: boolean;
  /** glibc before 2.32 has no tunable for the surplus of static TLS. */
  readonly hasTlsTunable: boolean;
}

/** Class, byte order and `e_machine`. */
const ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  [`64 little ${EM_X86_64}`, 'x86_64'],
  [`32 little ${EM_386}`, 'i386'],
  [`64 little ${EM_AARCH64}`, 'aarch64'],
  [`32 little ${EM_ARM}`, 'arm'],
  [`64 little ${EM_RISCV}`, 'riscv64'],
  [`64 little ${EM_PPC64}`, 'powerpc64le'],
  [`64 big ${EM_S390}`, 's390x'],
]);

/**
 * Reads a program and the interpreter that it names.
 * @throws ElfnoteError `not-elf` for a script, `unreadable`, or `malformed` with the offset.
 */
export function readProgram(path: string): Program {
  return withFile(path, source => {
    const { encoding, header, programHeaders } = readImage(source);
    const interp = programHeaders.find(({ p_type }) => p_type === PT_INTERP);
    const name = interp && source.read(interp.p_offset, interp.p_filesz).toString().replace(/\0.*/s, '');
    return {
      architecture: ARCHITECTURES.get(
        `${encoding.is64 ? 64 : 32} ${encoding.littleEndian ? 'little' : 'big'} ${header.e_machine}`,
      ),
      interpreter: name === undefined ? undefined : inspectInterpreter(name),
    };
  });
}

/** One that is not on this machine, as for a program of another architecture, gives no reason to warn. */
function inspectInterpreter(path: string): Interpreter {
  try {
    return withFile(path, readInterpreter);
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    return { path, hasAudit: true, slowsCalls: false, hasTlsTunable: true };
  }
}

function readInterpreter(source: FileSource): Interpreter {
  const bytes = source.read(0, Math.min(source.size, LARGEST));
  return {
    path: source.path,
    // The loader looks the functions of a module up by their names.
    hasAudit: bytes.includes('la_objsearch\0'),
    // In 2.35 the loader itself got functions to export (`_dl_find_object`), and with them a version to define.
    slowsCalls: !bytes.includes('GLIBC_2.35\0'),
    hasTlsTunable: bytes.includes(`${TUNABLE}\0`),
  };
}
