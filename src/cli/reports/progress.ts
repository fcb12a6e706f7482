import type { SingleBar } from 'cli-progress';
import { escapeControls } from '../../elf/bytes.js';
import { isTerminal } from '../output.js';

const DELAY_SECONDS = 0.5;

/** A progress bar on standard error, for walks that take longer than half a second. */
export class Progress {
  readonly #total: number;
  readonly #wanted: boolean;
  // Node loads much for `performance`.
  readonly #start = process.uptime();
  #bar: SingleBar | undefined;
  #cleared = false;
  #done = 0;

  constructor(total: number, wanted: boolean) {
    this.#total = total;
    this.#wanted = wanted && isTerminal(2);
  }

  /** @returns undefined where nothing is drawn. */
  step(path: string): Promise<void> | undefined {
    this.#done++;
    if (!this.#wanted) return undefined;
    const seconds = process.uptime() - this.#start;
    return seconds < DELAY_SECONDS ? undefined : this.#draw(path, seconds);
  }

  async #draw(path: string, seconds: number): Promise<void> {
    this.#bar ??= await createBar(this.#total);
    this.#bar.update(this.#done, {
      rate: Math.round(this.#done / seconds),
      path: fitting(path, this.#total),
    });
    if (this.#cleared) this.#bar.render();
    this.#cleared = false;
  }

  /** Makes room for a line of text; the bar comes again with the next step. */
  clear(): void {
    if (this.#bar === undefined) return;
    process.stderr.write('\r\x1b[K');
    this.#cleared = true;
  }

  stop(): void {
    if (this.#bar === undefined) return;
    // cli-progress goes back to where the cursor was when it began. Lines have come since, so that is saved anew.
    process.stderr.write('\x1b7');
    this.#bar.stop();
  }
}

/** Without colours, so there is nothing for NO_COLOR to take away. */
async function createBar(total: number): Promise<SingleBar> {
  const { default: cliProgress } = await import('cli-progress');
  const bar = new cliProgress.SingleBar({
    format: '{bar} {value}/{total} files, {rate}/s, {eta_formatted} left  {path}',
    stream: process.stderr,
    clearOnComplete: true,
    // The bar is cut instead: a terminal that does not wrap lines would cut those of the text too.
    linewrap: true,
    forceRedraw: true,
    gracefulExit: false,
    barsize: 20,
  });
  bar.start(total, 0, { rate: 0, path: '' });
  return bar;
}

/** The bar and all words, a rate of five digits, a time of seven characters, and a column that stays free. */
const ROOM_FOR_REST = 53;

/** The end of a path tells more than its start. */
function fitting(path: string, total: number): string {
  const room = (process.stderr.columns ?? 80) - ROOM_FOR_REST - 2 * `${total}`.length;
  const text = escapeControls(path);
  if (text.length <= room) return text;
  return room < 2 ? '' : `…${text.slice(1 - room)}`;
}
