import { Help } from 'commander';
import type { Colours } from '../colours.js';
import { counted } from './effect.js';
import { type Summary, summaryParts } from './summary.js';

export interface BlockOptions {
  readonly colours: Colours;
  /** Of the terminal, in columns; undefined where nothing is to be wrapped. */
  readonly width: number | undefined;
}

/** What a walk ends with: what became of the files, then a line for each thing that there is to say, aligned. */
export function summaryBlock(summary: Summary, { colours, width }: BlockOptions): string[] {
  const { files, outcomes, skips, libraries, cost } = summaryParts(summary);
  const paint = { failed: colours.red, written: colours.green };
  const painted = outcomes.map(({ kind, text }) => (kind === undefined ? text : paint[kind](text)));
  const head = [files, ...(painted.length > 0 ? [painted.join(', ')] : [])].join('; ');
  const rows: Row[] = [
    ['skipped', skips.join(', ')],
    ['libraries', libraries.join(', ')],
    ['size', cost.join(', ')],
    ...problemRows(summary),
  ];
  const stopped = summary.stopped === null ? [] : [colours.yellow(`stopped by ${summary.stopped}`)];
  return [...stopped, head, ...aligned(rows, { colours, width })];
}

type Row = readonly [label: string, text: string];

/** What failed, or got a note that helps little: how many, why, and what to do. The paths were named before. */
function problemRows(summary: Summary): Row[] {
  const failed = Object.entries(summary.failedBy).map(([code, count]) => {
    const [what, advice] = FAILURES[code] ?? [code, 'see above'];
    return `${counted(count, 'file')} ${what}: ${advice}`;
  });
  const rows = Object.entries(HINTS).flatMap(([reason, [what, advice]]) => {
    const count = summary.skipped[reason] ?? 0;
    return count === 0 ? [] : [`${counted(count, 'file')} ${what}: ${advice}`];
  });
  return [...failed, ...rows].map((text, i) => [i === 0 ? 'to do' : '', text]);
}

/** By error code. */
const FAILURES: Readonly<Record<string, readonly [what: string, advice: string]>> = {
  'not-elf': ['of another format', 'name ELF files, or directories'],
  malformed: ['damaged', 'install the package anew'],
  'malformed-note': ['with a note that is damaged', '`elfnote remove-cache` takes it out'],
  unreadable: ['not readable', 'look at the path, and at the permissions'],
  unsupported: ['that elfnote does not change', 'the reason is above'],
  refused: ['refused', 'the reason is above, and `--force` writes all the same'],
  unresolved: ['with libraries that nothing finds', 'mend the run path, or name them with `--allow-missing`'],
  unwritable: ['not writable', 'look at the permissions, and at the space on the disk'],
  changed: ['that others are writing', 'run again when they are done'],
  verify: ['that elfnote refused to break', 'a fault of elfnote: please report it'],
  internal: ['that elfnote failed on', 'a fault of elfnote: please report it'],
};

/** By the reason of a skip that one can do something about. */
const HINTS: Readonly<Record<string, readonly [what: string, advice: string]>> = {
  'no-room': ['without room', '`--move-table` makes some, in files that nobody strips any more'],
  truncated: ['cut short', 'install the package anew'],
  'other-file-system': ['on another file system', '`--cross-file-systems` enters it'],
};

/** As the help of a command is: labels in a column, text wrapped beside it. */
function aligned(rows: readonly Row[], { colours, width }: BlockOptions): string[] {
  const help = new Help();
  help.prepareContext({ helpWidth: width ?? Number.MAX_SAFE_INTEGER });
  const there = rows.filter(([, text]) => text !== '');
  const column = Math.max(...there.map(([label]) => label.length));
  return there.flatMap(([label, text]) => {
    const [first = '', ...rest] = help.formatItem(label, column, text, help).split('\n');
    return [first.replace(label, colours.bold(label)), ...rest];
  });
}
