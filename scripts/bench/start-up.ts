import { fileURLToPath } from 'node:url';
import { ELFNOTE, median, time } from './measure.js';

const FIXTURE = fileURLToPath(new URL('../../fixtures/kinds/pie-bfd', import.meta.url));

const COMMANDS = [
  { name: 'node -e 0', args: ['-e', '0'] },
  { name: 'elfnote --version', args: [ELFNOTE, '--version'] },
  { name: 'elfnote dump FILE', args: [ELFNOTE, 'dump', FIXTURE] },
  { name: 'elfnote build-cache FILE', args: [ELFNOTE, 'build-cache', '--dry-run', FIXTURE] },
];

/** The commands take turns, so that whatever else the machine does meets all of them. */
export function measureStartUp(rounds: number): void {
  const taken = Array.from({ length: rounds }, () =>
    COMMANDS.map(({ args }) => time(process.execPath, args)),
  );
  const medians = COMMANDS.map((_, i) => median(taken.map(round => round[i] ?? Number.NaN)));
  const base = medians[0] ?? Number.NaN;
  console.log(`Start-up, median of ${rounds}:`);
  for (const [i, { name }] of COMMANDS.entries()) {
    const one = medians[i] ?? Number.NaN;
    console.log(`  ${name}: ${(one * 1000).toFixed(1)} ms, ${(one / base).toFixed(2)} times node -e 0`);
  }
}
