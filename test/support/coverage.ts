/** Prints which pairs a run of this extent leaves out, as JSON. */
import { EXTENT, share } from './extent.js';
import { LATER_TOOLS, TOOL_PAIRS } from './later-tools.js';
import { isForeign, matrix, pairCells } from './matrix.js';
import { toolsFor } from './matrix-round.js';

/** What fewer cells have in common is met by fewer tools. */
const FEWEST = 4;

/** A word of the cells' names and a tool that this run does not bring together. */
function unmetTools(): string[] {
  const cellsOf = new Map<string, number>();
  const met = new Set<string>();
  for (const group of matrix()) {
    for (const cell of group.cells) {
      const [machine = '', ...words] = cell.name.split(' ');
      for (const word of [machine, ...words.map(word => (isForeign(group) ? `foreign ${word}` : word))]) {
        cellsOf.set(word, (cellsOf.get(word) ?? 0) + 1);
        for (const tool of toolsFor(cell)) met.add(`${word}, ${tool.name}`);
      }
    }
  }
  const words = [...cellsOf].flatMap(([word, cells]) => (cells >= FEWEST ? [word] : []));
  const pairs = words.flatMap(word => LATER_TOOLS.map(tool => `${word}, ${tool.name}`));
  return pairs.filter(pair => !met.has(pair));
}

/** Ordered pairs of tools that this run tries after no file. */
function unmetPairs(): string[] {
  const met = new Set(pairCells().flatMap((_, i) => share(TOOL_PAIRS, EXTENT.pairs, i)));
  return TOOL_PAIRS.flatMap(pair => (met.has(pair) ? [] : pair.map(({ name }) => name).join(', then ')));
}

process.stdout.write(JSON.stringify([...unmetTools(), ...unmetPairs()]));
