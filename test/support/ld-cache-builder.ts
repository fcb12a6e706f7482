/** An entry of ld.so.cache. `level` is a name of `glibc-hwcaps`, `hwcap` the field of the older kind. */
export interface CacheLine {
  readonly name: string;
  readonly path: string;
  /** Default: a library for x86-64. */
  readonly flags?: number;
  readonly level?: string;
  readonly hwcap?: bigint;
}

const HEADER = 48;
const ENTRY = 24;

/** ld.so.cache in the new format, little-endian, as `ldconfig -c new` writes it (sysdeps/generic/dl-cache.h). */
export function buildLdCache(lines: readonly CacheLine[]): Buffer {
  const levels = [...new Set(lines.flatMap(({ level }) => (level === undefined ? [] : [level])))];
  const stringsAt = HEADER + lines.length * ENTRY;
  const strings: Buffer[] = [];
  let end = stringsAt;
  const add = (text: string) => {
    const bytes = Buffer.from(`${text}\0`, 'latin1');
    strings.push(bytes);
    end += bytes.length;
    return end - bytes.length;
  };
  const entries = lines.map(({ name, path, flags = 0x303, level, hwcap = 0n }) => {
    const entry = Buffer.alloc(ENTRY);
    entry.writeUInt32LE(flags, 0);
    entry.writeUInt32LE(add(name), 4);
    entry.writeUInt32LE(add(path), 8);
    const own = level === undefined ? hwcap : (1n << 62n) | BigInt(levels.indexOf(level));
    entry.writeBigUInt64LE(own, 16);
    return entry;
  });
  const names = levels.map(add);
  const extensionAt = Math.ceil(end / 4) * 4;
  const padding = Buffer.alloc(extensionAt - end);
  const header = Buffer.alloc(HEADER);
  header.write('glibc-ld.so.cache1.1');
  header.writeUInt32LE(lines.length, 20);
  header.writeUInt32LE(end - stringsAt, 24);
  header.writeUInt8(2, 28);
  header.writeUInt32LE(levels.length === 0 ? 0 : extensionAt, 32);
  const directory = Buffer.alloc(24);
  directory.writeUInt32LE(0xeaa42174, 0);
  directory.writeUInt32LE(1, 4);
  directory.writeUInt32LE(1, 8);
  directory.writeUInt32LE(extensionAt + 24, 16);
  directory.writeUInt32LE(4 * levels.length, 20);
  const indexes = Buffer.alloc(4 * levels.length);
  for (const [i, at] of names.entries()) indexes.writeUInt32LE(at, 4 * i);
  const extension = levels.length === 0 ? [] : [directory, indexes];
  return Buffer.concat([header, ...entries, ...strings, padding, ...extension]);
}
