import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fastGlob from 'fast-glob';
import type { ElfImage } from '../../src/elf/image.js';
import { readImage } from '../../src/elf/read.js';
import { ElfnoteError } from '../../src/errors.js';
import { FileSource } from '../../src/files/source.js';

const LARGEST = 512 << 20;

/** A dynamic object of this machine that needs libraries. */
export interface Found {
  readonly path: string;
  readonly size: number;
  readonly linker: string;
  /** Without those that have a `/`, which nobody searches for; each once. */
  readonly sonames: readonly string[];
}

/** Every file below directories, each inode once; what cannot be read as it should goes to `complain`. */
export function* findObjects(
  directories: readonly string[],
  sample: number,
  complain: (line: string) => void,
): Generator<Found> {
  const machine = hostMachine();
  const seen = new Set<string>();
  const pattern = directories.map(directory => `${fastGlob.escapePath(directory)}/**`);
  const files = fastGlob.sync(pattern, {
    followSymbolicLinks: false,
    ignore: ['**/.build-id/**', '**/debug/**'],
    stats: true,
  });
  let number = 0;
  for (const { path, stats } of files) {
    if (stats === undefined || stats.size > LARGEST || stats.size < 64) continue;
    const inode = `${stats.dev}:${stats.ino}`;
    if (seen.has(inode)) continue;
    seen.add(inode);
    const found = readObject(path, machine, complain);
    if (found !== undefined && number++ % sample === 0) yield found;
  }
}

function readObject(path: string, machine: number, complain: (line: string) => void): Found | undefined {
  let source: FileSource | undefined;
  try {
    source = FileSource.open(path);
    const image = readImage(source);
    const sonames = [...new Set(image.dynamic?.needed ?? [])].filter(soname => !soname.includes('/'));
    if (sonames.length === 0 || image.debugOnly || image.header.e_machine !== machine) return undefined;
    return { path, size: source.size, linker: linkerOf(image, source), sonames };
  } catch (error) {
    if (!(error instanceof ElfnoteError)) throw error;
    if (error.code !== 'not-elf' && error.code !== 'unreadable') complain(error.line);
    return undefined;
  } finally {
    source?.close();
  }
}

function hostMachine(): number {
  const source = FileSource.open(process.execPath);
  try {
    return readImage(source).header.e_machine;
  } finally {
    source.close();
  }
}

function linkerOf(image: ElfImage, source: FileSource): string {
  const comment = image.sectionHeaders.find(s => s.name === '.comment');
  if (image.sectionHeaders.some(s => s.name === '.relro_padding')) return 'lld, mold';
  if (comment !== undefined) {
    const text = source.read(comment.sh_offset, Math.min(comment.sh_size, 4096)).toString('latin1');
    if (text.includes('Linker: LLD') || text.includes('mold')) return 'lld, mold';
  }
  if (image.sectionHeaders.some(s => s.name === '.note.gnu.gold-version')) return 'gold';
  if (image.sectionHeaders.some(s => s.name === '.note.go.buildid')) return 'Go';
  return 'GNU ld';
}

/** As long as a store path makes it. */
export function storeDirectory(soname: string): string {
  const hash = createHash('sha256').update(soname).digest('hex').slice(0, 32);
  return `${hash}-${soname.replace(/\.so.*/, '')}-1.2.3/lib`;
}

/** What the loader would load, without addresses; and where it finds each soname. */
export function loads(path: string): { text: string; found: Map<string, string> } {
  const { status, stdout } = spawnSync('ldd', [path], { encoding: 'utf8' });
  const text = `${status}\n${stdout}`.replace(/ \(0x[0-9a-f]+\)/g, '').replaceAll(path, 'PATH');
  const found = [...stdout.matchAll(/^\s+(\S+) => (\/\S+) /gm)];
  return { text, found: new Map(found.map(([, soname = '', place = '']) => [soname, place])) };
}
