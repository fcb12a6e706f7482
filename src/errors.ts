import { getSystemErrorMap } from 'node:util';

/**
 * What went wrong, as a closed set. `not-elf`, `malformed`, `malformed-note` and `unreadable` concern the
 * input; `unsupported` is valid input that elfnote refuses to touch; `refused` needs `--force`, `unresolved` is a
 * finding of `--strict`, and so is `no-note`, of a file that has no room for the note that would help it;
 * `unwritable` and `changed` happen while writing; `verify` is a bug of elfnote's own caught before a write, and `internal`
 * any other.
 */
export type ErrorCode =
  | 'not-elf'
  | 'malformed'
  | 'malformed-note'
  | 'unreadable'
  | 'unsupported'
  | 'refused'
  | 'unresolved'
  | 'no-note'
  | 'unwritable'
  | 'changed'
  | 'verify'
  | 'internal'
  | 'usage';

export interface ErrorDetails {
  readonly path?: string | undefined;
  /** File offset in bytes at which the problem is. */
  readonly offset?: number | undefined;
  readonly cause?: unknown;
}

/** The only error class elfnote throws on purpose; its message is one line without the path. */
export class ElfnoteError extends Error {
  override readonly name = 'ElfnoteError';
  readonly code: ErrorCode;
  readonly path: string | undefined;
  readonly offset: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.path = details.path;
    this.offset = details.offset;
  }

  /** `PATH: what is wrong (at offset N)`, the form every message to a person takes. */
  get line(): string {
    return `${this.path === undefined ? '' : `${this.path}: `}${this.message}${whereText(this.offset)}`;
  }
}

/** Where the problem is, as it ends a line. What a damaged header says may be too large to be told exactly: then nothing. */
export function whereText(offset: number | undefined): string {
  return Number.isSafeInteger(offset) ? ` (at offset ${offset})` : '';
}

export const EXIT = { ok: 0, findings: 1, failure: 2 } as const;

const INPUT_CODES: ReadonlySet<ErrorCode> = new Set([
  'not-elf',
  'malformed',
  'malformed-note',
  'unreadable',
  'usage',
]);

/** 2 when the input could not be worked on at all, 1 when the work on it failed. */
export function exitStatusOf(code: ErrorCode): 1 | 2 {
  return INPUT_CODES.has(code) ? EXIT.failure : EXIT.findings;
}

const PLAIN_WORDS: Readonly<Record<string, string>> = {
  E2BIG: 'the argument list is too long',
  EACCES: 'permission denied',
  EBUSY: 'the file is in use by the system',
  EDQUOT: 'disk quota exceeded',
  EFBIG: 'the file would become too large',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ELOOP: 'too many levels of symbolic links',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
  ENFILE: 'too many open files on this machine',
  ENOENT: 'no such file or directory',
  ENOMEM: 'out of memory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'a part of the path is not a directory',
  EPERM: 'operation not permitted',
  EROFS: 'read-only file system',
  ETXTBSY: 'the file is being executed',
};

/** The `code` of a Node system error (`ENOENT` ...), or undefined. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Of Node's `EDQUOT: disc quota exceeded, write`, what the system's own list says. */
function systemWords(error: unknown, system: string): string {
  const known = PLAIN_WORDS[system];
  if (known !== undefined) return known;
  const [, said] = (error instanceof Error ? error.message : '').match(/^[A-Z0-9]+: ([^,]+),/) ?? [];
  const words = said ?? listedWords(error);
  return words === undefined ? system : `${words} (${system})`;
}

/** What a code of the system means, where that is all that is known. */
export function codeWords(code: string): string {
  const known = PLAIN_WORDS[code];
  if (known !== undefined) return known;
  const listed = [...getSystemErrorMap().values()].find(([name]) => name === code);
  return listed === undefined ? code : `${listed[1]} (${code})`;
}

/** What cannot be started has a number, and no words. */
function listedWords(error: unknown): string | undefined {
  if (!(error instanceof Error && 'errno' in error && typeof error.errno === 'number')) return undefined;
  return getSystemErrorMap().get(error.errno)?.[1];
}

/** Wraps a file system error; one that is already an ElfnoteError is returned as it is. */
export function fromSystemError(
  code: ErrorCode,
  doing: string,
  path: string | undefined,
  error: unknown,
): ElfnoteError {
  if (error instanceof ElfnoteError) return error;
  const system = systemCode(error);
  const plain = error instanceof Error ? error.message : String(error);
  const why = system === undefined ? plain : systemWords(error, system);
  return new ElfnoteError(code, `${doing}: ${why}`, { path, cause: error });
}

/**
 * Asks something of the system. Every call that touches a file goes through here, or through `fromSystemError`, so
 * that a failure names what was being done. @throws ElfnoteError with the system's error as its cause.
 */
export function during<T>(code: ErrorCode, doing: string, path: string | undefined, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw fromSystemError(code, doing, path, error);
  }
}

/** The system's error code behind an error, its own or that of its cause. */
export function systemCodeBehind(error: unknown): string | undefined {
  return systemCode(error instanceof ElfnoteError ? error.cause : error);
}

/**
 * An error of the system that nobody has told of: still no fault of elfnote's own. Undefined for any other.
 *
 * @param path of the file that is worked on; where that is another, what was asked for is named too.
 */
export function unforeseenSystemError(error: unknown, path?: string): ElfnoteError | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || systemCode(error) === undefined) return undefined;
  if (error.syscall === 'uv_cwd')
    return fromSystemError('unreadable', 'cannot tell the working directory', path, error);
  const asked = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  const of = path === undefined || asked === undefined || asked === path ? '' : ` of ${asked}`;
  return fromSystemError(
    'unreadable',
    `the system refused ${String(error.syscall)}${of}`,
    path ?? asked,
    error,
  );
}
