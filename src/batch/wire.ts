import { ElfnoteError, type ErrorCode } from '../errors.js';
import type { FailedOutcome, FileOutcome, WorkedOutcome } from '../outcome.js';

interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly path: string | undefined;
  readonly offset: number | undefined;
}

/** An outcome as it passes between threads: the copy that is made on the way knows no classes. */
export type WireOutcome = WorkedOutcome | (Omit<FailedOutcome, 'error'> & { readonly error: WireError });

export function toWire(outcome: FileOutcome): WireOutcome {
  if (outcome.action !== 'failed') return outcome;
  const { code, message, path, offset } = outcome.error;
  return { ...outcome, error: { code, message, path, offset } };
}

export function fromWire(outcome: WireOutcome): FileOutcome {
  if (outcome.action === 'failed') {
    const { code, message, path, offset } = outcome.error;
    return { ...outcome, error: new ElfnoteError(code, message, { path, offset }) };
  }
  if (outcome.action !== 'planned') return outcome;
  return { ...outcome, edits: outcome.edits.map(edit => ({ ...edit, bytes: Buffer.from(edit.bytes) })) };
}
