import type { Cost } from './cost.js';
import { DELAYS } from './delays.js';
import type { Held } from './promises.js';

/** What `npm run approaches` has found; docs/approaches.json keeps the last. */
export interface Results {
  readonly date: string;
  readonly machine: string;
  readonly programs: readonly {
    readonly name: string;
    readonly libraries: number;
    readonly rows: readonly (Cost & {
      readonly approach: string;
      readonly addedBytes: number;
      readonly addedInodes: number;
    })[];
  }[];
  readonly promises: Readonly<Record<string, Readonly<Record<string, Held | null>>>>;
}

const number = (value: number | undefined | null, digits = 0) =>
  value === undefined || value === null
    ? '-'
    : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** The tables of docs/approaches.md. The same results give the same text. */
export function tables({ date, machine, programs, promises }: Results): string {
  const lines = [`Measured on ${date}, ${machine}.`, ''];
  for (const { name, libraries, rows } of programs) {
    const delays = DELAYS.map(delay => `with ${delay / 1000} ms a look-up`);
    lines.push(`### ${name}, ${libraries} libraries`, '');
    lines.push(
      `| approach | failing opens | failing stats | system calls | start, ms | ${delays.join(' | ')} | bytes added | inodes added |`,
    );
    lines.push(`|${' --- |'.repeat(6 + delays.length + 1)}`);
    for (const row of rows) {
      const cells = [
        number(row.failingOpens),
        number(row.failingStats),
        number(row.calls),
        number(row.warm, 1),
        ...DELAYS.map(delay => number(row.delayed[delay], 1)),
        number(row.addedBytes),
        number(row.addedInodes),
      ];
      lines.push(`| ${row.approach} | ${cells.join(' | ')} |`);
    }
    lines.push('');
  }
  lines.push('### What still holds', '');
  const approaches = Object.keys(promises);
  const names = Object.keys(promises[approaches[0] ?? ''] ?? {});
  lines.push(`| approach | ${names.join(' | ')} |`, `|${' --- |'.repeat(names.length + 1)}`);
  for (const approach of approaches) {
    const cells = names.map(name => word(promises[approach]?.[name]));
    lines.push(`| ${approach} | ${cells.join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}

function word(held: Held | null): string {
  if (held === undefined || held === null) return 'not tried';
  return held ? 'yes' : '**no**';
}

const [START, END] = ['<!-- measured: npm run approaches -->\n', '<!-- end of what is measured -->\n'];

/** A document with its measured part replaced. @throws Error where it has none. */
export function withTables(document: string, results: Results): string {
  const [from, to] = [document.indexOf(START), document.indexOf(END)];
  if (from < 0 || to < from) throw new Error('docs/approaches.md has no part for what is measured');
  return `${document.slice(0, from + START.length)}\n${tables(results)}\n${document.slice(to)}`;
}
