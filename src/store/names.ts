import { isUtf8 } from 'node:buffer';

/** A file name or path as text. One that is not UTF-8 is shown with its other bytes as `\xNN`. */
export function nameOf(bytes: Buffer): { text: string; isUtf8: boolean } {
  if (isUtf8(bytes)) return { text: bytes.toString(), isUtf8: true };
  const text = [...bytes]
    .map(byte => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`))
    .join('');
  return { text, isUtf8: false };
}
