import { describe } from 'node:test';
import { RUN } from './extent.js';
import type { Skip } from './tools.js';

/** What `npm test` has whole, so that a run of the rest leaves it out. */
export function describeInQuick(name: string, options: { readonly skip?: Skip }, tests: () => void): void {
  if (RUN !== 'rest') describe(name, options, tests);
}
