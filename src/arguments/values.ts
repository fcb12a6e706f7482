import * as z from 'zod/mini';
import { type CacheEntry, type CacheStep, ELEMENT_LIMIT } from '../note/cache.js';
import type { NoteReport } from '../note-report.js';
import type { Schema } from './check.js';

export const byteString: Schema<string> = z
  .string('must be a text of bytes')
  .check(z.refine(text => !/[^\0-\xff]/.test(text), 'must be a text whose characters are bytes (0 to 255)'));

const noNul = z.refine<string>(text => !text.includes('\0'), 'must have no NUL');
const soname = z
  .string('must be a text of bytes')
  .check(z.minLength(1, 'must not be empty'), noNul, z.regex(/^[\0-\xff]*$/, 'must have bytes alone'));
const elementPart = z.string('must be a text of bytes').check(
  noNul,
  z.regex(/^[\0-\xff]*$/, 'must have bytes alone'),
  z.refine(text => !text.includes(':'), 'must have no ":", which ends an element'),
  z.maxLength(ELEMENT_LIMIT - 2, `must have fewer than ${ELEMENT_LIMIT - 1} bytes`),
);

const step: Schema<CacheStep> = z.discriminatedUnion(
  'kind',
  [
    z.strictObject({
      kind: z.literal('path'),
      path: elementPart.check(z.startsWith('/', 'must be an absolute path')),
    }),
    z.strictObject({ kind: z.literal('hint'), dir: elementPart }),
  ],
  'must be { kind: "path", path } or { kind: "hint", dir }',
);

/** As `resolveFile` gives them too, with the attempts that led to them. */
export const entries: Schema<readonly CacheEntry[]> = z
  .array(
    z.strictObject(
      {
        soname,
        steps: z.array(step, 'must be a list').check(z.minLength(1, 'must not be empty')),
        attempts: z.optional(z.unknown()),
      },
      'must be an entry, { soname, steps }',
    ),
    'must be a list of entries',
  )
  .check(
    z.refine(
      list => new Set(list.map(entry => entry.soname)).size === list.length,
      'must have each soname once',
    ),
  );

export const encoding: Schema<{ is64: boolean; littleEndian: boolean }> = z.object(
  { is64: z.boolean('must be true or false'), littleEndian: z.boolean('must be true or false') },
  'must be an Encoding',
);

export const boolean: Schema<boolean> = z.boolean('must be true or false');
export const bytes: Schema<Buffer> = z.custom<Buffer>(value => Buffer.isBuffer(value), 'must be a Buffer');
export const offset: Schema<number> = z
  .int('must be a whole number')
  .check(z.minimum(0, 'must not be below zero'));
export const count: Schema<number> = z.int('must be a whole number').check(z.minimum(1, 'must be 1 or more'));
export const value: Schema<number> = z.number('must be a number');

/** What `readNote` gives, as far as it says for whom a library would be. */
export const note: Schema<Pick<NoteReport, 'image'>> = z.custom<Pick<NoteReport, 'image'>>(
  value =>
    isObject(value) &&
    isObject(value.image) &&
    isObject(value.image.header) &&
    isObject(value.image.encoding),
  'must be a note as readNote gives it',
);

export const absolutePath: Schema<string> = z
  .string('must be a text of bytes')
  .check(noNul, z.regex(/^\/[\0-\xff]*$/, 'must be an absolute path of bytes'));

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
