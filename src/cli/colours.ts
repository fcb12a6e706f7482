import picocolors from 'picocolors';
import { OUT_IS_TERMINAL } from './output.js';

export type ColorWhen = 'auto' | 'always' | 'never';
export type Colours = ReturnType<typeof picocolors.createColors>;

/** What to colour standard output with. `--color` comes before NO_COLOR (no-color.org), and that before FORCE_COLOR. */
export function coloursOf(when: ColorWhen = 'auto'): Colours {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  const wanted = NO_COLOR ? false : FORCE_COLOR ? FORCE_COLOR !== '0' : OUT_IS_TERMINAL && TERM !== 'dumb';
  return picocolors.createColors(when === 'auto' ? wanted : when === 'always');
}
