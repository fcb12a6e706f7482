import { Graph, layout, type Point } from '@dagrejs/dagre';
import { displayBytes } from '../../elf/bytes.js';
import { countByRequester } from '../../loader/count.js';
import type { Trace } from '../../loader/trace.js';
import { counted, headline, nameOf, PLACE_WORDS, pathOf, total } from './trace-words.js';

/** One box of the picture. */
interface Box {
  readonly id: string;
  readonly label: string;
  readonly title: string;
  readonly kind: string;
  readonly width: number;
  readonly height: number;
  readonly fontSize: number;
}

const MARGIN = 24;
const HEADER = 64;
const SMALLEST_FONT = 10;
const CHARACTER = 0.62;
/** How far a curve swings out of its column. */
const BOW = 110;

/** A colour for each way in which an object is found. */
const FILLS: Readonly<Record<string, string>> = {
  program: '#dfe7f5',
  note: '#cdebd0',
  runpath: '#fbe3b8',
  rpath: '#f5d0c0',
  'library path': '#ead7f2',
  'ld.so.cache': '#e8e8e8',
  default: '#e8e8e8',
  path: '#dff0f5',
  loader: '#ffffff',
  missing: '#f7b5b5',
};

/**
 * The graph of a trace as one picture that needs nothing else. It is laid out from left to right by who loaded whom; the
 * other requests are faint curves behind, since routed they would drive a large graph apart. An object is as large as
 * what its requests cost.
 */
export function svgText(trace: Trace, best: Trace): string {
  const boxes = boxesOf(trace);
  const graph = new Graph({ multigraph: false });
  graph.setGraph({ rankdir: 'LR', ranker: 'tight-tree', nodesep: 8, ranksep: 60 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { id, width, height } of boxes) graph.setNode(id, { width, height });
  const edges = edgesOf(trace);
  for (const { from, to, isLoading } of edges) if (isLoading) graph.setEdge(from, to);
  setUnloadedBehind(graph, edges);
  layout(graph);
  return render([headlineOf(trace, best), boxes, edges, graph]);
}

/** Nobody loads the loader itself: it comes behind the first that asks for it, not beside the program. */
function setUnloadedBehind(graph: Graph, edges: readonly Edge[]): void {
  const hasPlace = new Set(edges.filter(({ isLoading }) => isLoading).map(({ to }) => to)).add(idOf(0));
  for (const { from, to } of edges) {
    if (hasPlace.has(to)) continue;
    graph.setEdge(from, to);
    hasPlace.add(to);
  }
}

function boxesOf(trace: Trace): Box[] {
  const costs = countByRequester(trace);
  const used = new Set(edgesOf(trace).flatMap(({ from, to }) => [from, to]));
  const objects = trace.objects
    .filter(({ index }) => index === 0 || used.has(idOf(index)))
    .map(({ index, name, path, place, kind }) => {
      const counts = costs.get(index);
      const cost = counts === undefined ? 0 : total(counts);
      const label = displayBytes(kind === 'library' && index > 0 ? name : nameOf(path));
      const how = place === undefined ? kind : PLACE_WORDS[place.how];
      const failing = cost === 0 ? '' : `\n${counted(cost, 'failing lookup')} for what it asks for`;
      return box(idOf(index), label, `${pathOf(trace, index)} [${how}]${failing}`, how, cost);
    });
  const missing = [...new Set(missingNames(trace))].map(name =>
    box(missingId(name), displayBytes(name), 'not found', 'missing', 0),
  );
  return [...objects, ...missing];
}

function box(id: string, label: string, title: string, kind: string, cost: number): Box {
  const fontSize = SMALLEST_FONT + 4 * Math.log10(1 + cost);
  return {
    id,
    label,
    title,
    kind,
    fontSize,
    width: label.length * fontSize * CHARACTER + 12,
    height: fontSize * 1.8,
  };
}

function missingNames({ lookups }: Trace): string[] {
  return lookups.filter(({ result }) => result === undefined).map(({ name }) => name);
}

const idOf = (index: number) => `n${index}`;
const missingId = (name: string) => `missing ${name}`;

/** One request, or several of the same pair. */
interface Edge {
  readonly from: string;
  readonly to: string;
  /** Whether it made the loader load the object, or found it missing. */
  readonly isLoading: boolean;
}

/** A library that needs itself is no edge. */
function edgesOf({ lookups }: Trace): Edge[] {
  const edges = new Map<string, Edge>();
  for (const { requester, result, name, outcome } of lookups) {
    const [from, to] = [idOf(requester), result === undefined ? missingId(name) : idOf(result)];
    const key = `${from} ${to}`;
    const isLoading = outcome === 'loaded' || result === undefined || edges.get(key)?.isLoading === true;
    if (from !== to) edges.set(key, { from, to, isLoading });
  }
  return [...edges.values()];
}

function headlineOf(trace: Trace, best: Trace): string {
  return `${nameOf(pathOf(trace, 0))}: ${headline(trace, best)}`;
}

type Picture = readonly [title: string, boxes: readonly Box[], edges: readonly Edge[], graph: Graph];

function render([title, boxes, edges, graph]: Picture): string {
  const { width = 0, height = 0 } = graph.graph();
  const size = [Math.max(width, title.length * 9) + 2 * MARGIN, height + HEADER + MARGIN].map(Math.ceil);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.join(' ')}" width="${size[0]}" height="${size[1]}" font-family="sans-serif">`,
    `<title>${escaped(title)}</title>`,
    '<rect width="100%" height="100%" fill="#ffffff"/>',
    `<text x="${MARGIN}" y="26" font-size="16" font-weight="bold">${escaped(title)}</text>`,
    ...legend(boxes),
    `<g transform="translate(${MARGIN} ${HEADER})">`,
    ...edges.filter(({ isLoading }) => !isLoading).map(edge => faintPath(edge, graph)),
    ...edges.filter(({ isLoading }) => isLoading).map(edge => loadingPath(edge, graph)),
    ...boxes.map(one => boxText(one, graph.node(one.id))),
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

function legend(boxes: readonly Box[]): string[] {
  const kinds = Object.keys(FILLS).filter(kind => boxes.some(one => one.kind === kind));
  let x = MARGIN;
  return kinds.map(kind => {
    const at = x;
    x += 30 + kind.length * 7;
    return `<g><rect x="${at}" y="38" width="12" height="12" fill="${FILLS[kind]}" stroke="#888"/><text x="${at + 17}" y="48" font-size="11">${kind}</text></g>`;
  });
}

function loadingPath({ from, to }: Edge, graph: Graph): string {
  const points = graph.edge(from, to).points ?? [];
  const [first, ...rest] = points.map(({ x, y }) => `${x.toFixed(1)} ${y.toFixed(1)}`);
  const line = `M${first ?? '0 0'}${rest.map(point => `L${point}`).join('')}`;
  return `<path class="edge" d="${line}" fill="none" stroke="#555" stroke-width="1.2"/>`;
}

function faintPath({ from, to }: Edge, graph: Graph): string {
  const [start, end] = [graph.node(from), graph.node(to)].map(({ x, y }) => ({
    x: Math.round(x),
    y: Math.round(y),
  }));
  if (start === undefined || end === undefined) return '';
  // In one column the straight line would run through all the boxes between.
  const middle = Math.round((start.x + end.x) / 2) + (start.x === end.x ? BOW : 0);
  const curve = `M${start.x} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`;
  return `<path class="edge known" d="${curve}" fill="none" stroke="#99a" stroke-width="0.6" stroke-opacity="0.25"/>`;
}

function boxText({ label, title, kind, width, height, fontSize }: Box, { x, y }: Point): string {
  const at = { x: (x - width / 2).toFixed(1), y: (y - height / 2).toFixed(1) };
  const size = `width="${width.toFixed(1)}" height="${height.toFixed(1)}"`;
  const fill = FILLS[kind] ?? '#ffffff';
  const text = `<text x="${x.toFixed(1)}" y="${(y + fontSize * 0.35).toFixed(1)}" font-size="${fontSize.toFixed(1)}" text-anchor="middle">${escaped(label)}</text>`;
  return `<g class="object"><title>${escaped(title)}</title><rect x="${at.x}" y="${at.y}" ${size} rx="3" fill="${fill}" stroke="#666" stroke-width="0.8"/>${text}</g>`;
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
