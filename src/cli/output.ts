import { writeSync } from 'node:fs';
import { systemCode } from '../errors.js';

let lost = false;

/** Whether some of the output could not be written: the reader went away (`| head`), or the disk is full. */
export function outputLost(): boolean {
  return lost;
}

/** Writes all of it before returning. What cannot be written is dropped, and the work goes on. */
export function printOut(text: string | Buffer): void {
  let bytes = typeof text === 'string' ? Buffer.from(text) : text;
  while (bytes.length > 0 && !lost) {
    try {
      bytes = bytes.subarray(writeSync(1, bytes));
    } catch (error) {
      lost = systemCode(error) !== 'EAGAIN';
    }
  }
}

export function printError(line: string): void {
  process.stderr.write(`elfnote: ${line}\n`);
}
