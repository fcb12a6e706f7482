import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PROJECT, run } from '../../test/support/cli.js';

/** Takes something away that a part of the harness guards. */
export interface Break {
  readonly what: string;
  readonly file: string;
  /** Is there once. */
  readonly text: string;
  readonly instead: string;
  readonly part: string;
  /** A short run that comes upon it. */
  readonly env: Readonly<Record<string, string>>;
  /** What the harness says of it. */
  readonly finds: RegExp;
}

const IN_PLACE = { ELFNOTE_KINDS: 'hard-linked' };
const BY_COPY = { ELFNOTE_KINDS: 'pie-bfd' };
const SOME = { ELFNOTE_STRIDE: '97' };

export const BREAKS: readonly Break[] = [
  {
    what: 'the order of writes in place',
    file: 'src/write/in-place.ts',
    text: 'of joined(edits)) steps.write(edit);',
    instead: 'of joined(edits).toReversed()) steps.write(edit);',
    part: 'faults',
    env: IN_PLACE,
    finds: /the next run does not finish it|does not run/,
  },
  {
    what: 'the clean-up of what dead runs leave',
    file: 'src/files/temporary.ts',
    text: 'if (isOurs(name)) removeIfLeft(',
    instead: 'if (false) removeIfLeft(',
    part: 'faults',
    env: { ...BY_COPY, ELFNOTE_STRIDE: '7' },
    finds: /the next run leaves \.file\.elfnote-/,
  },
  {
    what: 'the lock',
    file: 'src/files/lock.ts',
    text: 'const isLocked = acquire(path, lock);',
    instead: 'const isLocked = true;',
    part: 'races',
    env: BY_COPY,
    finds: /another elfnote before call \d+ \(renameSync\): both report success/,
  },
  {
    what: 'the last look before the rename',
    file: 'src/write/copy.ts',
    text: 'if (options.replaces) checkSameFile(target, source);',
    instead: 'if (options.replaces) void 0;',
    part: 'races',
    env: BY_COPY,
    finds: /both report success/,
  },
  {
    what: 'the looks while a file is written in place',
    file: 'src/write/in-place.ts',
    text: 'if (isAlone) return;',
    instead: 'return;',
    part: 'races',
    env: IN_PLACE,
    finds: /both report success/,
  },
  {
    what: 'waiting for the disk',
    file: 'src/files/open-file.ts',
    text: 'now: () => fsyncSync(this.fd)',
    instead: 'now: () => {}',
    part: 'power',
    env: BY_COPY,
    finds: /does not run|the next run fails/,
  },
  {
    what: 'that copies of what is passed over are whole',
    file: 'src/batch/output-dir.ts',
    text: 'copyWhole(from, to, stats);',
    instead: "process.getBuiltinModule('fs').copyFileSync(from, to);",
    part: 'output-dir',
    env: {},
    finds: /kill-midway at call \d+ \(copyFileSync [^)]*\): tree\/text is not whole/,
  },
  {
    what: 'that a tree which cannot be looked at is told of',
    file: 'src/batch/output-dir.ts',
    text: "if (SAID.has(systemCode(error) ?? '')) return undefined;",
    instead: 'return undefined;',
    part: 'output-dir',
    env: {},
    finds: /EIO at call \d+ \(statSync [^)]*\): nobody says so/,
  },
  {
    what: 'the bound of every read',
    file: 'src/elf/bytes.ts',
    text: 'offset + length <= source.size;',
    instead: 'offset + length <= source.size + 64;',
    part: 'fuzz',
    env: { ELFNOTE_FUZZ_SECONDS: '60' },
    finds: /1 inputs broke something crash-/,
  },
  {
    what: 'that the verifier comes before the first write',
    file: 'src/carry-out.ts',
    text: '  verifyPlan(view, plan);',
    instead:
      '  try {\n    verifyPlan(view, plan);\n  } catch (error) {\n    yield* commit(source, plan, options);\n    throw error;\n  }',
    part: 'pokes',
    env: SOME,
    finds: /the outcome is (?:verify|changed), and the file has changed/,
  },
  {
    what: 'the bound on time',
    file: 'src/elf/read.ts',
    text: 'export function readImage(source: ByteSource, options: ReadOptions = {}): ElfImage {',
    instead:
      'export function readImage(source: ByteSource, options: ReadOptions = {}): ElfImage {\n  if (source.size === 3970) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2100);',
    part: 'cuts',
    env: { ELFNOTE_STRIDE: '3970' },
    finds: /it took \d{4,} ms/,
  },
  {
    what: 'the bound on memory',
    file: 'src/elf/read.ts',
    text: 'export function readImage(source: ByteSource, options: ReadOptions = {}): ElfImage {',
    instead:
      'export function readImage(source: ByteSource, options: ReadOptions = {}): ElfImage {\n  if (source.size === 3970) Buffer.alloc(1 << 28, 1);',
    part: 'cuts',
    env: { ELFNOTE_STRIDE: '3970' },
    finds: /it took \d+ MiB/,
  },
  {
    what: 'that readelf reads a file as before',
    file: 'src/elf/sections.ts',
    text: 'if (sh_offset >= SMALLEST_HEADER ||',
    instead: 'if (true ||',
    part: 'pokes',
    env: { ...SOME, ELFNOTE_JUDGED_EVERY: '1' },
    finds: /readelf reads it otherwise/,
  },
];

/** The sources with the break in them; what is not broken is linked. */
function brokenCopy(dir: string, { file, text, instead }: Break): string {
  mkdirSync(dir);
  for (const name of ['src', 'scripts', 'test'])
    cpSync(join(PROJECT, name), join(dir, name), { recursive: true });
  for (const name of ['package.json', 'tsconfig.json']) cpSync(join(PROJECT, name), join(dir, name));
  for (const name of ['node_modules', 'fixtures', 'audit']) symlinkSync(join(PROJECT, name), join(dir, name));
  const source = readFileSync(join(dir, file), 'utf8');
  if (source.split(text).length !== 2) throw new Error(`${file} has not exactly one "${text}"`);
  writeFileSync(
    join(dir, file),
    source.replace(text, () => instead),
  );
  return dir;
}

/** @returns the line by which the harness has found the break; undefined where it has not. */
export function proofOf(one: Break, dir: string): string | undefined {
  const cwd = brokenCopy(dir, one);
  const args = ['--import', 'tsx', 'scripts/hardening/main.ts', one.part];
  const { status, stdout } = run(process.execPath, args, { cwd, env: one.env });
  if (status === 0) return undefined;
  return stdout
    .split('\n')
    .find(line => one.finds.test(line))
    ?.trim();
}
