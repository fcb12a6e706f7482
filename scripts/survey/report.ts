import type { Rung } from '../../src/index.js';
import type { Found } from './objects.js';

/** What became of one object. */
export interface Result extends Found {
  /** Of a file that got its note. */
  readonly written?: { readonly rung: Rung; readonly addedLoads: number; readonly bytesAdded: number };
  /** Why it got none. */
  readonly skipped?: string;
}

/** Prints README's table, and what stands below it. */
export function report(title: string, results: readonly Result[], wrong: readonly string[]): void {
  const megabytes = (results.reduce((sum, { size }) => sum + size, 0) / 1e6).toFixed(0);
  console.log(`\n${title}: ${grouped(results.length)} objects, ${grouped(Number(megabytes))} MB\n`);
  console.log('| linked by | objects | no new segment | in a new segment | skipped |');
  console.log('| --- | --- | --- | --- | --- |');
  const linkers = tally(results.map(({ linker }) => linker)).map(([linker]) => linker);
  for (const linker of linkers) {
    const own = results.filter(result => result.linker === linker);
    const kept = own.filter(({ written }) => written?.addedLoads === 0).length;
    const added = own.filter(({ written }) => written !== undefined && written.addedLoads > 0).length;
    const cells = [own.length, `${grouped(kept)} (${percent(kept, own.length)})`, added];
    console.log(`| ${[linker, ...cells, own.length - kept - added].join(' | ')} |`);
  }
  const written = results.flatMap(result => result.written ?? []);
  const sizes = written.map(({ bytesAdded }) => bytesAdded).sort((a, b) => a - b);
  const mean = sizes.reduce((a, b) => a + b, 0) / sizes.length;
  const segments = written.filter(({ addedLoads }) => addedLoads > 0).length;
  console.log(
    `\nbytes added: mean ${mean.toFixed(0)}, median ${sizes[sizes.length >> 1]}, max ${sizes.at(-1)}`,
  );
  console.log(`with a new segment: ${percent(segments, written.length)}`);
  const moved = written.filter(({ rung }) => rung.table === 'move-table').length;
  console.log(`program header tables moved: ${moved}`);
  print('rungs', tally(written.map(({ rung }) => `${rung.note}, table ${rung.table}`)));
  print('skipped', tally(results.flatMap(({ skipped }) => skipped ?? [])));
  console.log(`wrong: ${wrong.length}`);
  for (const line of wrong) console.log(`  ${line}`);
}

function print(title: string, counts: readonly (readonly [string, number])[]): void {
  if (counts.length > 0) console.log(`${title}:`);
  for (const [name, n] of counts) console.log(`${String(n).padStart(7)}  ${name}`);
}

const percent = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
const grouped = (n: number): string => n.toLocaleString('en');

function tally(names: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]);
}
