import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { elfnote } from './measure.js';

const FIXTURE = fileURLToPath(new URL('../../fixtures/kinds/nosections', import.meta.url));
const FILES_A_DIRECTORY = 1000;

/** Peak memory and time over many small files, and over a tenth of them: the time must grow no faster than they. */
export function measureMemory(work: string, files: number): void {
  console.log('\nSmall files:');
  const costs = [Math.round(files / 10), files].map(count => {
    const directory = join(work, 'small');
    for (let i = 0; i < count; i++) {
      const sub = join(directory, String(Math.floor(i / FILES_A_DIRECTORY)));
      if (i % FILES_A_DIRECTORY === 0) mkdirSync(sub, { recursive: true });
      copyFileSync(FIXTURE, join(sub, String(i)));
    }
    const cost = elfnote('build-cache', '--quiet', directory);
    rmSync(directory, { recursive: true });
    const each = ((cost.seconds / count) * 1e6).toFixed(0);
    const memory = Math.round(cost.memory / 2 ** 20);
    console.log(`  ${count} files: ${cost.seconds.toFixed(2)} s, ${each} µs a file, at most ${memory} MiB`);
    return { count, ...cost };
  });
  const [few, many] = costs;
  if (few === undefined || many === undefined) return;
  const ratio = many.seconds / few.seconds;
  console.log(`  ${(many.count / few.count).toFixed(0)} times the files: ${ratio.toFixed(2)} times the time`);
}
