import { isUtf8 } from 'node:buffer';

/** A file name or path as text. One that is not UTF-8 is shown with its other bytes as `\xNN`. */
export function nameOf(bytes: Buffer): { text: string; isUtf8: boolean } {
  if (isUtf8(bytes)) return { text: bytes.toString(), isUtf8: true };
  const text = [...bytes]
    .map(byte => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`))
    .join('');
  return { text, isUtf8: false };
}

/** A line end, or what stands for one: Unicode keeps U+FDD0 for a program's own use. */
const CODED = '\n\r\u2028\u2029\ufdd0';

/**
 * A glob becomes a regular expression whose `.` matches no line end, so a name with one would be passed over.
 * Coded names have none, and different names have different codes.
 */
export function codeLineEnds(name: string): string {
  return name.replace(/[\n\r\u2028\u2029\ufdd0]/g, end => `\ufdd0${CODED.indexOf(end)}`);
}

export function decodeLineEnds(coded: string): string {
  return coded.replace(/\ufdd0([0-4])/g, (_, index: string) => CODED.charAt(Number(index)));
}
