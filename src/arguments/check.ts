import { distance } from 'fastest-levenshtein';
import type { ZodMiniType } from 'zod/mini';
import { escapeControls } from '../elf/bytes.js';
import { ElfnoteError } from '../errors.js';

/** What an argument has to be. A schema's messages say it as `must be ...`, without what it is instead. */
export type Schema<T> = ZodMiniType<T, unknown>;

/**
 * An argument as its schema reads it: a copy, so that what the caller does to his own later changes nothing.
 *
 * @param called the public function, for messages.
 * @param argument the name of what is checked; of options, only their keys are named.
 * @throws ElfnoteError `usage`, which names the first key at fault, and the one that may be meant.
 */
export function check<T>(
  called: string,
  argument: string,
  schema: Schema<T>,
  value: unknown,
  known: readonly string[] = [],
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue === undefined) throw usage(called, `${argument} is not understood`);
  const place = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    const [key = ''] = issue.keys;
    throw usage(called, `there is no option ${quoted([...place, key].join('.'))}${suggestion(key, known)}`);
  }
  const isOption = known.length > 0 && place.length > 0;
  const name = (isOption ? place : [argument, ...place]).join('.');
  throw usage(called, `${name} ${issue.message}, not ${described(at(value, issue.path))}`);
}

function usage(called: string, message: string): ElfnoteError {
  return new ElfnoteError('usage', `${called}: ${message}`);
}

function at(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  );
}

const LONGEST_SHOWN = 40;

function described(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return quoted(value);
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    case 'object':
      return 'an object';
    default:
      return `a ${typeof value}`;
  }
}

function quoted(text: string): string {
  return `"${escapeControls(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}...` : text)}"`;
}

/** The known key that differs by case, by a separator, or by few letters. */
function suggestion(key: string, known: readonly string[]): string {
  const bare = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '');
  const ranked = known
    .map(name => ({ name, off: distance(bare(name), bare(key)) }))
    .sort((a, b) => a.off - b.off);
  const [near] = ranked;
  const isNear = near !== undefined && near.off <= Math.max(1, Math.floor(near.name.length / 3));
  return isNear ? `; ${quoted(near.name)} is meant?` : '';
}
