import { writeSync } from 'node:fs';
import { systemCode } from '../errors.js';

/** Writes all of it before returning; a reader that went away (`| head`) ends the program quietly. */
export function printOut(text: string | Buffer): void {
  let bytes = typeof text === 'string' ? Buffer.from(text) : text;
  while (bytes.length > 0) {
    try {
      bytes = bytes.subarray(writeSync(1, bytes));
    } catch (error) {
      if (systemCode(error) === 'EPIPE') process.exit(process.exitCode ?? 0);
      if (systemCode(error) !== 'EAGAIN') throw error;
    }
  }
}

export function printError(line: string): void {
  process.stderr.write(`elfnote: ${line}\n`);
}
