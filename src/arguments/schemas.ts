import * as z from 'zod/mini';
import type { AnnotateOptions, CleanOptions } from '../batch/annotate.js';
import type { VerifyTreeOptions } from '../batch/verify.js';
import type { PathList } from '../batch/walk.js';
import type { AttributeCheck } from '../files/attributes.js';
import type { ClosureOptions, TraceOptions } from '../loader/api.js';
import type { LoaderProbe } from '../loader/probe.js';
import type { LookupOptions } from '../lookup.js';
import type { BuildOptions, RemoveOptions } from '../pipeline.js';
import type { LibraryProbe } from '../resolve/probe.js';
import type { VerifyOptions } from '../verify-note.js';
import type { Schema } from './check.js';

/** A schema for every key, so that an option that nobody checks is a type error here. */
type Shape<T> = { readonly [K in keyof T]-?: Schema<T[K]> };

const flag = z.optional(z.boolean('must be true or false'));

/** Half of a surrogate pair: Node would write U+FFFD in its place, and name another file. */
const HALF_CHARACTER = /\p{Surrogate}/u;

/** The kernel takes no path with NUL, and an empty one names nothing: Node's functions read it as the working directory. */
export const path: Schema<string> = z.string('must be a path').check(
  z.minLength(1, 'must be a path'),
  z.refine(text => !text.includes('\0'), 'must be a path, which has no NUL'),
  z.refine(text => !HALF_CHARACTER.test(text), 'must be a path of whole characters'),
);

export const paths: Schema<readonly string[]> = z.array(path, 'must be a list of paths');

const pattern = z.string('must be a pattern').check(z.minLength(1, 'must be a pattern'));
const patterns = z.optional(z.array(pattern, 'must be a list of patterns'));

function hasMethods(value: unknown, names: readonly string[]): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    names.every(name => typeof Reflect.get(value, name) === 'function')
  );
}

const PROBE_METHODS = [
  'directory',
  'names',
  'candidate',
  'realPath',
] as const satisfies (keyof LibraryProbe)[];

export const probe = z.custom<LibraryProbe>(
  value => hasMethods(value, PROBE_METHODS),
  `must be a probe, with the functions ${PROBE_METHODS.join(', ')}`,
);

const OBJECT_METHODS = [
  'open',
  'isDirectory',
  'access',
  'readFile',
  'realPath',
] as const satisfies (keyof LoaderProbe)[];

const objects = z.custom<LoaderProbe>(
  value => hasMethods(value, OBJECT_METHODS),
  `must be a probe of objects, with the functions ${OBJECT_METHODS.join(', ')}`,
);

const signal = z.custom<AbortSignal>(
  value =>
    hasMethods(value, ['addEventListener', 'removeEventListener']) &&
    typeof Reflect.get(Object(value), 'aborted') === 'boolean',
  'must be an AbortSignal',
);

const attributes: Schema<AttributeCheck> = z.strictObject(
  {
    found: z.union(
      [z.undefined(), z.map(z.string(), z.array(z.string()))],
      'must be a Map of paths and names of attributes',
    ),
    knowsAll: z.boolean('must be true or false'),
    asked: z.optional(z.number('must be a time in milliseconds')),
  },
  'must be what was read of attributes',
);

const listed: Schema<PathList> = z.strictObject(
  {
    paths: z.array(path, 'must be a list of paths'),
    failures: z.array(
      z.strictObject({
        path: z.string('must be a path'),
        explicit: z.boolean('must be true or false'),
        unreadable: z.string('must be a text'),
      }),
      'must be a list',
    ),
  },
  'must be a list of paths as it was read',
);

const lookup = {
  root: z.optional(path),
  storeDirs: z.optional(z.array(path, 'must be a list of directories')),
  probe: z.optional(probe),
  likePatchelf: flag,
  systemLibraries: flag,
  dlopen: flag,
  objects: z.optional(objects),
} satisfies Shape<LookupOptions>;

const writing = {
  dryRun: flag,
  force: flag,
  preserveDates: flag,
  fast: flag,
};

const oneFile = {
  output: z.optional(path),
  unshare: flag,
  attributes: z.optional(attributes),
};

const building = {
  strict: flag,
  allowMissing: patterns,
  placement: z.optional(z.enum(['auto', 'slack', 'tail'], 'must be "auto", "slack" or "tail"')),
  moveTable: flag,
  reader: z.optional(path),
  closure: flag,
  trustStore: flag,
};

const places = {
  include: patterns,
  exclude: patterns,
  crossFileSystems: flag,
  preserveRoot: flag,
  listed: z.optional(listed),
};

const walking = {
  ...places,
  failFast: flag,
  signal: z.optional(signal),
};

const { probe: _, objects: __, ...lookupOfMany } = lookup;
const build = { ...lookup, ...writing, ...oneFile, ...building } satisfies Shape<BuildOptions>;
const remove = { ...writing, ...oneFile } satisfies Shape<RemoveOptions>;
const annotate = { ...lookupOfMany, ...writing, ...building, ...walking } satisfies Shape<AnnotateOptions>;
const clean = { ...writing, ...walking } satisfies Shape<CleanOptions>;

const verify = {
  ...lookup,
  with: z.optional(z.enum(['patched', 'audit'], 'must be "patched" or "audit"')),
} satisfies Shape<VerifyOptions>;
const verifyTree = { ...verify, ...places } satisfies Shape<VerifyTreeOptions>;

const text = z.string('must be a text').check(z.refine(value => !value.includes('\0'), 'must have no NUL'));
const trace = {
  libraryPath: z.optional(text),
  preload: z.optional(text),
  with: z.optional(
    z.enum(['none', 'patched', 'audit', 'cache'], 'must be "none", "patched", "audit" or "cache"'),
  ),
  loader: z.optional(
    z.string('must be like "glibc-2.36"').check(z.regex(/^glibc-2\.\d{1,3}$/, 'must be like "glibc-2.36"')),
  ),
  hwcaps: z.optional(text),
  root: z.optional(path),
  ldCache: z.optional(path),
  dlopen: flag,
} satisfies Shape<TraceOptions>;
const closure = { ...trace, storeDirs: lookup.storeDirs } satisfies Shape<ClosureOptions>;

/** The options of a function, and how they are called. */
export interface OptionsSchema<T> {
  readonly schema: Schema<T>;
  readonly keys: readonly string[];
}

const OPTIONS = 'must be an object with options';

export const lookupOptions: OptionsSchema<LookupOptions> = {
  schema: z.strictObject(lookup, OPTIONS),
  keys: Object.keys(lookup),
};
export const buildOptions: OptionsSchema<BuildOptions> = {
  schema: z.strictObject(build, OPTIONS),
  keys: Object.keys(build),
};
export const removeOptions: OptionsSchema<RemoveOptions> = {
  schema: z.strictObject(remove, OPTIONS),
  keys: Object.keys(remove),
};
export const annotateOptions: OptionsSchema<AnnotateOptions> = {
  schema: z.strictObject(annotate, OPTIONS),
  keys: Object.keys(annotate),
};
export const cleanOptions: OptionsSchema<CleanOptions> = {
  schema: z.strictObject(clean, OPTIONS),
  keys: Object.keys(clean),
};
export const verifyOptions: OptionsSchema<VerifyOptions> = {
  schema: z.strictObject(verify, OPTIONS),
  keys: Object.keys(verify),
};
export const verifyTreeOptions: OptionsSchema<VerifyTreeOptions> = {
  schema: z.strictObject(verifyTree, OPTIONS),
  keys: Object.keys(verifyTree),
};

export const traceOptions: OptionsSchema<TraceOptions> = {
  schema: z.strictObject(trace, OPTIONS),
  keys: Object.keys(trace),
};
export const closureOptions: OptionsSchema<ClosureOptions> = {
  schema: z.strictObject(closure, OPTIONS),
  keys: Object.keys(closure),
};

export * from './values.js';
