import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, test } from 'node:test';

const SRC = join(import.meta.dirname, '..', 'src');

/**
 * Who may import whom: folder to what it may import besides itself. `type X` allows types only, `folder/file` one
 * file; Node's modules are allowed to all, but for those of FENCED. The rows that go beyond the design say why.
 */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  errors: [],
  elf: ['errors', 'elfy'],
  // Whether a note still agrees is asked of the run path as resolution reads it.
  note: ['errors', 'elf', 'resolve'],
  // The step and entry types of a note, and how long an element may be; the probe reads ELF headers.
  resolve: ['errors', 'elf', 'note/cache'],
  loader: ['errors', 'elf', 'resolve', 'note', 'files/source'],
  sha256: ['js-sha256/build/sha256.js'],
  layout: ['errors', 'elf', 'note', 'sha256'],
  // Verifying reads the edited view anew and asks for the note's bytes.
  write: ['errors', 'elf', 'note', 'layout', 'files'],
  files: ['errors', 'elf', 'sha256'],
  outcome: ['errors', 'type elf/bytes', 'type layout/model/plan', 'type resolve/resolve'],
  // Whether the undo record still counts.
  'note-report': ['errors', 'elf', 'note', 'resolve', 'files/source', 'layout/undo/undo'],
  // Whether a program still starts with a module is asked of its whole closure.
  'audit-module': ['errors', 'elf', 'loader', 'resolve/candidate', 'type resolve/probe'],
  // What a file is, before anything is looked up for it.
  kinds: ['type errors', 'elf', 'files/source', 'type layout/model/plan', 'resolve/resolve'],
  // What --strict refuses, of a resolution and of a plan.
  strict: [
    'errors',
    'elf/bytes',
    'type layout/model/plan',
    'type resolve/gain',
    'type resolve/resolve',
    'picomatch',
  ],
  // What is looked up for a file, beside its own run path.
  lookup: ['errors', 'elf', 'note', 'resolve', 'loader'],
  // What becomes of a file once it is planned.
  'carry-out': ['errors', 'elf', 'files', 'layout/model/plan', 'outcome', 'write'],
  pipeline: [
    'errors',
    'carry-out',
    'lookup',
    'kinds',
    'strict',
    'outcome',
    'audit-module',
    'elf',
    'note',
    'resolve',
    'layout',
    'write',
    'files',
    'loader',
  ],
  // What a note says, beside what the pipeline would write.
  'verify-note': [
    'kinds',
    'errors',
    'lookup',
    'elf',
    'type outcome',
    'note/cache',
    'note-report',
    'pipeline',
    'resolve',
    'files/source',
  ],
  // What the pipeline is to one file, this is to many.
  batch: [
    'errors',
    'kinds',
    'outcome',
    'pipeline',
    'verify-note',
    'files',
    'resolve/fs-probe',
    'loader/file-probe',
    // What is passed over is copied whole too.
    'write/commit',
    // Which files are programs, when those come last.
    'elf/dt-audit',
    'elf/read',
    'fast-glob',
    'picomatch',
  ],
  cli: [
    'errors',
    'lookup',
    'outcome',
    'pipeline',
    'note-report',
    'audit-module',
    'batch',
    'files',
    'loader',
    'commander',
    'cli-progress',
    'pino',
    'pino-pretty',
    'picocolors',
    '@dagrejs/dagre',
    // How to show bytes and elements.
    'elf/dt-audit',
    'elf/bytes',
    'elf/constants',
    'note/cache',
    // What a file declares to dlopen, to be shown.
    'type note/dlopen',
    'type layout/model/plan',
    'type resolve/probe',
    'type resolve/resolve',
    'resolve/fs-probe',
    'type verify-note',
  ],
  // One schema for each type that a public function takes, so it knows them all; the command line does not load it.
  arguments: [
    'errors',
    'elf/bytes',
    'resolve/fs-probe',
    'note/cache',
    'type resolve/probe',
    'type loader/probe',
    'type lookup',
    'type pipeline',
    'type note-report',
    'type verify-note',
    'type batch',
    'type loader/api',
    'type files',
    'zod/mini',
    'fastest-levenshtein',
  ],
  index: [
    'errors',
    'lookup',
    'arguments',
    'elf',
    'note',
    'resolve',
    'layout',
    'outcome',
    'pipeline',
    'note-report',
    'verify-note',
    'batch',
    'loader',
    'type write',
    'type files',
  ],
};

/** Modules that only some files may import. */
const FENCED: Readonly<Record<string, readonly string[]>> = {
  'node:fs': [
    'resolve/fs-probe.ts',
    'resolve/candidate-file.ts',
    // The probe that opens what the simulated loader would.
    'loader/file-probe.ts',
    'files/',
    'batch/',
    'write/',
    // `realpathSync`: whether the output is the input.
    'carry-out.ts',
    // Its version, and writing to file descriptor 1.
    'cli/',
  ],
  'node:fs/promises': ['write/', 'files/', 'batch/'],
  'node:child_process': ['files/attributes.ts', 'loader/own-loader.ts', 'cli/run-program.ts'],
  elfy: ['elf/read.ts'],
};

interface Import {
  /** Relative to src/ without an ending, or the name of a package. */
  readonly target: string;
  readonly typeOnly: boolean;
}

/** Comments go; what stands in strings may stay, since only whole statements are looked for. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/(^|[^:'"`])\/\/[^\n]*/g, '$1');
}

function importsOf(file: string, text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  const add = (specifier: string, typeOnly: boolean) => {
    const isOwn = specifier.startsWith('.');
    const target = isOwn ? posix.join(posix.dirname(file), specifier).replace(/\.[jt]s$/, '') : specifier;
    found.push({ target, typeOnly });
  };
  for (const [, keyword = '', clause = '', specifier = ''] of code.matchAll(
    /(?:^|[\n;])\s*(import|export)\s+([^;'"]*?)\s*from\s*['"]([^'"]+)['"]/g,
  )) {
    const names = clause
      .match(/\{([\s\S]*)\}/)?.[1]
      ?.split(',')
      .map(name => name.trim())
      .filter(Boolean);
    const allTypes = names !== undefined && names.length > 0 && names.every(name => name.startsWith('type '));
    const onlyBraces = clause.trim().startsWith('{');
    add(specifier, keyword !== '' && (clause.startsWith('type ') || (onlyBraces && allTypes)));
  }
  for (const [, specifier = ''] of code.matchAll(/(?:^|[\n;])\s*import\s*['"]([^'"]+)['"]/g))
    add(specifier, false);
  for (const [, specifier = ''] of code.matchAll(/\b(?:import|require)\s*\(\s*['"]([^'"]+)['"]/g)) {
    add(specifier, false);
  }
  return found;
}

const folderOf = (path: string) => path.split('/')[0]?.replace(/\.ts$/, '') ?? '';
const isWithin = (file: string, place: string) =>
  place.endsWith('/') ? file.startsWith(place) : file === place;

/** One line for each import of `file` (relative to src/) that the tables do not allow. */
function importBreaches(file: string, text: string): string[] {
  const folder = folderOf(file);
  const allowed = ALLOWED[folder];
  if (allowed === undefined) return [`${file}: no rule says what ${folder} may import`];
  return importsOf(file, text).flatMap(({ target, typeOnly }) => {
    const fence = FENCED[target];
    if (fence !== undefined && !fence.some(place => isWithin(file, place)))
      return [`${file} imports ${target}`];
    if (target.startsWith('node:')) return [];
    if (folderOf(target) === folder && file.includes('/')) return [];
    const names = [target, folderOf(target)];
    const ok = names.some(name => allowed.includes(name) || (typeOnly && allowed.includes(`type ${name}`)));
    return ok ? [] : [`${file} imports ${typeOnly ? 'type ' : ''}${target}`];
  });
}

/** What only `cli/` does: arguments, printing, the exit status. */
const SPEAKING = [
  /\bprocess\s*\.\s*(?:argv|exit|exitCode|abort|stdin|stdout|stderr|on|emitWarning)\b/,
  /\bconsole\s*\./,
  /\bfrom\s*['"]node:(?:process|console|readline|util\/parseArgs)['"]/,
];

function speakingBreaches(file: string, text: string): string[] {
  if (file.startsWith('cli/')) return [];
  const code = withoutComments(text);
  return SPEAKING.flatMap(pattern => {
    const [what] = code.match(pattern) ?? [];
    return what === undefined ? [] : [`${file}: ${what}`];
  });
}

/** Every function of node:fs, synchronous or not, that changes something. */
const CHANGING =
  /\b(?:write|writev|writeFile|appendFile|truncate|ftruncate|rename|unlink|rm|rmdir|mkdir|mkdtemp|copyFile|cp|link|symlink|chmod|fchmod|lchmod|chown|fchown|lchown|utimes|futimes|lutimes|fsync|fdatasync)Sync\b|\bcreateWriteStream\b|\bO_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND)\b/g;

const MAY_CHANGE: Readonly<Record<string, readonly string[]>> = {
  // Standard output, by its file descriptor.
  'cli/output.ts': ['writeSync'],
};

/** An open file is only read. */
const CHANGES_FILES = /^(?:write|batch|files(?!\/source\.ts))\//;

function changingBreaches(file: string, text: string): string[] {
  if (CHANGES_FILES.test(file)) return [];
  const found = new Set(withoutComments(text).match(CHANGING) ?? []);
  return [...found].filter(name => !MAY_CHANGE[file]?.includes(name)).map(name => `${file}: ${name}`);
}

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
  .map(entry => posix.join(entry.parentPath.slice(SRC.length + 1), entry.name))
  .sort()
  .map(file => ({ file, text: readFileSync(join(SRC, file), 'utf8') }));

describe('the source keeps to the design', () => {
  test('the walk sees the whole source', () => {
    const names = files.map(({ file }) => file);
    for (const file of [
      'errors.ts',
      'pipeline.ts',
      'index.ts',
      'elf/read.ts',
      'cli/main.ts',
      'write/commit.ts',
    ]) {
      assert.ok(names.includes(file), file);
    }
    const count = files.reduce((sum, { file, text }) => sum + importsOf(file, text).length, 0);
    assert.ok(count >= 150, `${count} imports`);
  });

  test('every import statement is understood', () => {
    for (const { file, text } of files) {
      const statements =
        withoutComments(text).match(/^(?:.*[ }]from |import )'[^'\n]+';$|\bimport\('/gm) ?? [];
      assert.equal(importsOf(file, text).length, statements.length, file);
    }
  });

  test('no folder imports what the table does not allow', () => {
    assert.deepEqual(
      files.flatMap(({ file, text }) => importBreaches(file, text)),
      [],
    );
  });

  test('only cli reads arguments, prints, or sets the exit status', () => {
    assert.deepEqual(
      files.flatMap(({ file, text }) => speakingBreaches(file, text)),
      [],
    );
  });

  test('only write, files and batch change the file system', () => {
    assert.deepEqual(
      files.flatMap(({ file, text }) => changingBreaches(file, text)),
      [],
    );
  });

  test('no file has more than 300 lines', () => {
    const long = files.filter(({ text }) => text.split('\n').length > 301).map(({ file }) => file);
    assert.deepEqual(long, []);
  });

  test('what the table allows by name is really used, so the table does not rot', () => {
    const rules = Object.entries(ALLOWED).flatMap(([folder, list]) =>
      list.filter(rule => rule.includes('/')).map(rule => ({ folder, rule })),
    );
    for (const { folder, rule } of rules) {
      const target = rule.replace(/^type /, '');
      const users = files.filter(
        ({ file, text }) => folderOf(file) === folder && importsOf(file, text).some(i => i.target === target),
      );
      assert.ok(users.length > 0, `${folder} no longer imports ${target}`);
    }
  });
});

describe('a breach is noticed', () => {
  const imports: [rule: string, file: string, text: string, breaches: string[]][] = [
    [
      'elf may not know resolve',
      'elf/read.ts',
      "import { x } from '../resolve/probe.js';",
      ['elf/read.ts imports resolve/probe'],
    ],
    [
      'errors may know nothing',
      'errors.ts',
      "import { a } from './elf/bytes.js';",
      ['errors.ts imports elf/bytes'],
    ],
    [
      'layout may not know write, not even a type',
      'layout/model/plan.ts',
      "import type { Change } from '../../write/commit.js';",
      ['layout/model/plan.ts imports type write/commit'],
    ],
    [
      'an import over several lines counts',
      'note/cache.ts',
      "import {\n  a,\n  type B,\n} from '../layout/model/plan.js';",
      ['note/cache.ts imports layout/model/plan'],
    ],
    [
      'a re-export counts',
      'elf/bytes.ts',
      "export { a } from '../note/cache.js';\nexport * from '../write/commit.js';",
      ['elf/bytes.ts imports note/cache', 'elf/bytes.ts imports write/commit'],
    ],
    [
      'an import for its effects counts',
      'elf/bytes.ts',
      "import '../cli/main.js';",
      ['elf/bytes.ts imports cli/main'],
    ],
    [
      'a dynamic import counts',
      'resolve/resolve.ts',
      "const a = await import('../pipeline.js');",
      ['resolve/resolve.ts imports pipeline'],
    ],
    [
      'a package counts',
      'layout/model/plan.ts',
      "import pino from 'pino';",
      ['layout/model/plan.ts imports pino'],
    ],
    ['elfy is fenced in one file', 'elf/notes.ts', "import elfy from 'elfy';", ['elf/notes.ts imports elfy']],
    [
      'the file system is fenced',
      'resolve/resolve.ts',
      "import { readFileSync } from 'node:fs';",
      ['resolve/resolve.ts imports node:fs'],
    ],
    [
      'a value where only types are allowed',
      'cli/dump.ts',
      "import { STEP, type Edit } from '../layout/model/plan.js';",
      ['cli/dump.ts imports layout/model/plan'],
    ],
    ['a folder without a rule', 'new/file.ts', '', ['new/file.ts: no rule says what new may import']],
  ];
  for (const [rule, file, text, breaches] of imports) {
    test(rule, () => assert.deepEqual(importBreaches(file, text), breaches));
  }

  test('what is allowed is no breach', () => {
    const text = [
      "import { readFileSync } from 'node:fs';",
      "import { type Edit, type Plan } from '../layout/model/plan.js';",
      "import type { Rung } from '../layout/model/plan.js';",
      "// import { x } from '../layout/rungs/room.js';",
      "/* import { x } from '../layout/rungs/room.js'; */",
      "import { local } from './output.js';",
    ].join('\n');
    assert.deepEqual(importBreaches('cli/dump.ts', text), []);
  });

  const others: [rule: string, breaches: string[], expected: string[]][] = [
    [
      'reading arguments outside cli',
      speakingBreaches('pipeline.ts', 'const a = process.argv[2];'),
      ['pipeline.ts: process.argv'],
    ],
    [
      'printing outside cli',
      speakingBreaches('elf/read.ts', "console.log('x');\nprocess.stdout.write('y');"),
      ['elf/read.ts: process.stdout', 'elf/read.ts: console.'],
    ],
    [
      'setting the exit status outside cli',
      speakingBreaches('batch/walk.ts', 'process.exitCode = 1;'),
      ['batch/walk.ts: process.exitCode'],
    ],
    ['printing in cli is no breach', speakingBreaches('cli/output.ts', "process.stdout.write('y');"), []],
    [
      'changing the file system outside write',
      changingBreaches('resolve/fs-probe.ts', 'rmSync(path); fs.writeFileSync(path, x);'),
      ['resolve/fs-probe.ts: rmSync', 'resolve/fs-probe.ts: writeFileSync'],
    ],
    [
      'opening for writing outside write',
      changingBreaches('files/source.ts', 'openSync(path, constants.O_RDWR)'),
      ['files/source.ts: O_RDWR'],
    ],
    [
      'more than its one exception in cli',
      changingBreaches('cli/output.ts', 'writeSync(1, bytes); unlinkSync(path);'),
      ['cli/output.ts: unlinkSync'],
    ],
    [
      'changing the file system in write is no breach',
      changingBreaches('write/commit.ts', 'renameSync(a, b)'),
      [],
    ],
    ['a comment is no breach', changingBreaches('elf/read.ts', '// never writeFileSync\n/* rmSync */'), []],
  ];
  for (const [rule, breaches, expected] of others) {
    test(rule, () => assert.deepEqual(breaches, expected));
  }
});
