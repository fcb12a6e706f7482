import { displayBytes } from '../../elf/bytes.js';
import { countByRequester } from '../../loader/count.js';
import type { Trace } from '../../loader/trace.js';
import { nameOf, pathOf, total } from './trace-words.js';

/** The graph of a trace for Graphviz: who asks for whom, and what it costs. */
export function dotLines(trace: Trace): string[] {
  const costs = countByRequester(trace);
  const nodes = trace.objects.map(({ index, name, path, kind }) => {
    const counts = costs.get(index);
    const cost = counts === undefined ? 0 : total(counts);
    const label = index === 0 ? nameOf(path) : name;
    const text = cost === 0 ? displayBytes(label) : `${displayBytes(label)}\n${cost} failing`;
    const size = (9 + 3 * Math.log10(1 + cost)).toFixed(1);
    const shape = kind === 'library' ? 'box' : 'ellipse';
    return `  n${index} [label=${quoted(text)}, tooltip=${quoted(pathOf(trace, index))}, shape=${shape}, fontsize=${size}];`;
  });
  const missing = new Map<string, string>();
  const edges = trace.lookups.map(({ requester, result, name, tag, outcome }) => {
    const style = outcome === 'loaded' ? 'solid' : 'dashed';
    const label = tag === 'needed' ? '' : `, label=${quoted(tag)}`;
    if (result !== undefined) return `  n${requester} -> n${result} [style=${style}${label}];`;
    const known = missing.get(name) ?? `m${missing.size}`;
    missing.set(name, known);
    return `  n${requester} -> ${known} [color=red${label}];`;
  });
  const lost = [...missing].map(
    ([name, id]) => `  ${id} [label=${quoted(displayBytes(name))}, shape=box, color=red];`,
  );
  return [
    'digraph trace {',
    '  rankdir=LR;',
    '  node [fontname="sans-serif"];',
    ...nodes,
    ...lost,
    ...edges,
    '}',
  ];
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&').replaceAll('\n', '\\n')}"`;
}
