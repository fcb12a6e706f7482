import type picocolors from 'picocolors';
import { OUT_IS_TERMINAL } from './output.js';

export type ColorWhen = 'auto' | 'always' | 'never';
export type Colours = ReturnType<typeof picocolors.createColors>;

/** What to colour standard output with. `--color` comes before NO_COLOR (no-color.org), and that before FORCE_COLOR. */
export async function coloursOf(when: ColorWhen = 'auto'): Promise<Colours> {
  // It opens standard output as a stream, for which Node loads its network code.
  const { default: picocolors } = await import('picocolors');
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  const wanted = NO_COLOR ? false : FORCE_COLOR ? FORCE_COLOR !== '0' : OUT_IS_TERMINAL && TERM !== 'dumb';
  return picocolors.createColors(when === 'auto' ? wanted : when === 'always');
}
