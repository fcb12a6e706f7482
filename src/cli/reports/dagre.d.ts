/**
 * What is used of dagre. Its own declarations import each other without file endings, which TypeScript does not resolve
 * for modules of Node, so that everything would be `any`.
 */
declare module '@dagrejs/dagre' {
  export interface Point {
    readonly x: number;
    readonly y: number;
  }

  export class Graph {
    constructor(options: { readonly multigraph: boolean });
    setGraph(label: { rankdir: 'LR' | 'TB'; ranker: string; nodesep: number; ranksep: number }): this;
    /** After `layout`, with the size of the picture. */
    graph(): { readonly width?: number; readonly height?: number };
    setDefaultEdgeLabel(label: () => object): this;
    setNode(name: string, label: { width: number; height: number }): this;
    setEdge(from: string, to: string): this;
    /** After `layout`, with its centre. */
    node(name: string): Point;
    edge(from: string, to: string): { readonly points?: readonly Point[] };
    edges(): { readonly v: string; readonly w: string }[];
  }

  export function layout(graph: Graph): Graph;
}
