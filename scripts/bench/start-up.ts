import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ELFNOTE, median, time } from './measure.js';

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));
const FILE = join(FIXTURES, 'kinds/pie-bfd');
const ROOT = join(FIXTURES, 'root');

/** The commands take turns, so that whatever else the machine does meets all of them. @param work a directory to write to. */
export function measureStartUp(rounds: number, work: string): void {
  const noted = join(work, 'noted');
  copyFileSync(FILE, noted);
  time(process.execPath, [ELFNOTE, 'build-cache', '--root', ROOT, noted]);
  const commands = [
    { name: 'node -e 0', args: ['-e', '0'] },
    { name: 'elfnote --version', args: [ELFNOTE, '--version'] },
    { name: 'elfnote dump FILE', args: [ELFNOTE, 'dump', FILE] },
    { name: 'elfnote dump FILE, which has a note', args: [ELFNOTE, 'dump', '--root', ROOT, noted] },
    { name: 'elfnote build-cache FILE', args: [ELFNOTE, 'build-cache', '--dry-run', FILE] },
  ];
  const taken = Array.from({ length: rounds }, () =>
    commands.map(({ args }) => time(process.execPath, args)),
  );
  const medians = commands.map((_, i) => median(taken.map(round => round[i] ?? Number.NaN)));
  const base = medians[0] ?? Number.NaN;
  console.log(`Start-up, median of ${rounds}:`);
  for (const [i, { name }] of commands.entries()) {
    const one = medians[i] ?? Number.NaN;
    console.log(`  ${name}: ${(one * 1000).toFixed(1)} ms, ${(one / base).toFixed(2)} times node -e 0`);
  }
}
