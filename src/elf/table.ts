import { checkFits, type Encoding } from './bytes.js';

/** Integers of a table to write, by its encoding; offsets are into the table. As `Words`, cheaper than `Encoding`. */
export class Table {
  readonly view: DataView;
  readonly littleEndian: boolean;
  readonly is64: boolean;

  constructor({ is64, littleEndian }: Encoding, bytes: Buffer) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.littleEndian = littleEndian;
    this.is64 = is64;
  }

  /** The put functions throw ElfnoteError `unsupported` for a value that does not fit. */
  putU16(at: number, value: number): void {
    checkFits(value, 2 ** 16);
    this.view.setUint16(at, value, this.littleEndian);
  }

  putU32(at: number, value: number): void {
    checkFits(value, 2 ** 32);
    this.view.setUint32(at, value, this.littleEndian);
  }

  putWord(at: number, value: number): void {
    if (!this.is64) {
      this.putU32(at, value);
      return;
    }
    checkFits(value, 2 ** 53);
    const low = this.littleEndian ? at : at + 4;
    const high = this.littleEndian ? at + 4 : at;
    // It takes the lower 32 bits of what it is given.
    this.view.setUint32(low, value, this.littleEndian);
    this.view.setUint32(high, value < 2 ** 32 ? 0 : value / 2 ** 32, this.littleEndian);
  }
}
