import { fstatSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { escapeControls, jsonText } from '../elf/bytes.js';
import { fromSystemError, systemCode } from '../errors.js';

const FULL = 16_384;
export const OUT_IS_TERMINAL = isTerminal(1);

/** Asks node:tty, which loads Node's network code, only of what may be one. */
export function isTerminal(fd: number): boolean {
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (!stats.isCharacterDevice()) return false;
    return isTerminalDevice(stats.rdev) ?? isatty(fd);
  } catch {
    return false;
  }
}

/** By Linux's list of devices (admin-guide/devices.txt), where that tells: the null device, and terminal windows. */
function isTerminalDevice(rdev: bigint): boolean | undefined {
  if (process.platform !== 'linux') return undefined;
  const major = (rdev >> 8n) & 0xfffn;
  if (major === 1n) return false;
  return major >= 136n && major <= 143n ? true : undefined;
}

let lost = false;
let pending: Buffer[] = [];
let size = 0;

/** Whether some of the output could not be written: the reader went away (`| head`), or the disk is full. */
export function outputLost(): boolean {
  return lost;
}

/** Writes to standard output, a terminal at once, anything else in larger pieces: see `flushOut`. */
export function printOut(text: string | Buffer): void {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  pending.push(bytes);
  size += bytes.length;
  if (OUT_IS_TERMINAL || size >= FULL) flushOut();
}

/** Writes all of it before returning. What cannot be written is dropped, and the work goes on. */
export function flushOut(): void {
  const [first = Buffer.alloc(0)] = pending;
  let bytes = pending.length > 1 ? Buffer.concat(pending) : first;
  pending = [];
  size = 0;
  while (bytes.length > 0 && !lost) {
    try {
      bytes = bytes.subarray(writeSync(1, bytes));
    } catch (error) {
      lost = systemCode(error) !== 'EAGAIN';
      if (lost) sayLost(error);
    }
  }
}

/** A reader that went away has seen what it wanted, as that of any other tool in a pipe. */
function sayLost(error: unknown): void {
  if (systemCode(error) === 'EPIPE') return;
  const { line } = fromSystemError('unwritable', 'cannot write to standard output', undefined, error);
  writeError(`elfnote: ${line}\n`);
}

/** One line, whatever is in the text: names from files and arguments reach a terminal through here. */
export function printLine(text: string): void {
  printOut(`${escapeControls(text)}\n`);
}

export function printJson(value: unknown): void {
  printOut(`${jsonText(value)}\n`);
}

export function printError(line: string): void {
  flushOut();
  writeError(`elfnote: ${escapeControls(line)}\n`);
}

/** Of a mistake of elfnote's own, with the stack that a report of it needs. */
export function printInternalError(text: string): void {
  const [first = '', ...stack] = text.split('\n');
  printError(`internal error, please report it: ${first}`);
  for (const line of stack) writeError(`${escapeControls(line)}\n`);
}

/** What cannot be written, because nobody reads it or the disk is full, is dropped: there is nobody to tell. */
export function writeError(text: string): void {
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(2, bytes));
    } catch (error) {
      if (systemCode(error) !== 'EAGAIN') return;
    }
  }
}
