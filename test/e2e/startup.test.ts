import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { numberIn, run, runOk } from '../support/cli.js';
import { EXTENT } from '../support/extent.js';
import { elfnoteAll, entriesDue } from '../support/later-tools.js';
import { X86_64 } from '../support/matrix.js';
import { shortDir, suiteScope, tempDir } from '../support/temp.js';
import { needs, type Skip } from '../support/tools.js';
import { LINKERS, type Linker } from '../support/workshop.js';

const COUNT = EXTENT.startedLibraries;
const NUMBERS = Array.from({ length: COUNT }, (_, i) => i + 1);

/**
 * Prints, of itself and of every library, whether the loader's program headers hold a whole cache note, and
 * whether PT_PHDR, AT_PHDR and the headers that ld.so hands out are the same ones.
 */
const MAIN_C = `#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
${NUMBERS.map(n => `int part${n}(void);`).join(' ')}
static int show(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  const char *name = strrchr(info->dlpi_name, '/');
  int notes = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    if (p->p_type == PT_PHDR && info->dlpi_addr + p->p_vaddr != (ElfW(Addr))info->dlpi_phdr) puts("wrong PT_PHDR");
    if (p->p_type != PT_NOTE || p->p_align != 4) continue;
    const char *at = (const char *)(info->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
      const char *owner = at + sizeof *note, *desc = owner + ((note->n_namesz + 3) & ~3u);
      const char *last = desc + note->n_descsz;
      if (note->n_namesz == 6 && !strcmp(owner, "NixOS") && note->n_type == 0x63a86cb6 && last <= end &&
          note->n_descsz >= 2 && !last[-1] && !last[-2]) notes++;
      at = desc + ((note->n_descsz + 3) & ~3u);
    }
  }
  printf("%s: %d\\n", *(int *)data == 0 ? "main" : name ? name + 1 : info->dlpi_name, notes);
  if (*(int *)data == 0 && (unsigned long)info->dlpi_phdr != getauxval(AT_PHDR)) puts("wrong AT_PHDR");
  if (*(int *)data == 0 && info->dlpi_phnum != getauxval(AT_PHNUM)) puts("wrong AT_PHNUM");
  ++*(int *)data;
  return 0;
}
int main(void) {
  int count = 0;
  dl_iterate_phdr(show, &count);
  printf("sum %d\\n", ${NUMBERS.map(n => `part${n}()`).join(' + ')});
  return 0;
}
`;

interface Application {
  readonly program: string;
  readonly libraries: readonly string[];
}

/** Libraries in as many directories; each but the last needs the next one. */
function build(dir: string, linker: Linker, objects: readonly string[]): Application {
  const nameOf = (n: number) => `libpart${n}.so.1`;
  const dirOf = (n: number) => join(dir, `lib-${n}`);
  const [main = '', ...parts] = objects;
  for (const n of NUMBERS.toReversed()) {
    mkdirSync(dirOf(n));
    const needed = n < COUNT ? [join(dirOf(n + 1), nameOf(n + 1)), `-Wl,-rpath,${dirOf(n + 1)}`] : [];
    const library = join(dirOf(n), nameOf(n));
    link(linker, ['-shared', parts[n - 1] ?? '', '-o', library, `-Wl,-soname,${nameOf(n)}`, ...needed]);
  }
  const libraries = NUMBERS.map(n => join(dirOf(n), nameOf(n)));
  const program = join(dir, 'main');
  link(linker, [main, '-o', program, ...libraries, `-Wl,-rpath,${NUMBERS.map(dirOf).join(':')}`]);
  return { program, libraries };
}

/** Of the program and of its libraries, the same for every linker. */
function compile(dir: string): string[] {
  const sources = NUMBERS.map(n => {
    const next = n < COUNT ? `part${n + 1}() - ${n + 1}` : '0';
    return [`part${n}`, `int part${n + 1}(void);\nint part${n}(void) { return ${n} + (${next}) * 0; }\n`];
  });
  const names = [['main', MAIN_C], ...sources].map(([name = '', text = '']) => {
    writeFileSync(join(dir, `${name}.c`), text);
    return name;
  });
  runOk(X86_64.cc, ['-c', '-fPIC', '-O0', ...names.map(name => `${name}.c`)], { cwd: dir });
  return names.map(name => join(dir, `${name}.o`));
}

function link(linker: Linker, args: readonly string[]): void {
  runOk(X86_64.cc, [`-fuse-ld=${linker}`, ...args, '-Wl,--no-as-needed,--enable-new-dtags']);
}

/** How often a program makes each system call until its end, by strace. */
function systemCalls(dir: string, program: string): ReadonlyMap<string, number> {
  const log = join(dir, 'strace.log');
  runOk('strace', ['-f', '-o', log, program]);
  const counts = new Map<string, number>();
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const name = /^\d+\s+([a-z_0-9]+)\(/.exec(line)?.[1];
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

/** Where strace may not trace, as in some containers, there is nothing to count. */
function needsTracing(): Skip {
  const missing = needs('strace', 'gcc');
  if (missing !== false) return missing;
  const { status, stderr } = run('strace', ['-o', '/dev/null', 'true']);
  return status === 0 ? false : `strace cannot trace here: ${stderr.split('\n')[0]}`;
}

/** Calls with which a loader maps and reads files; none may be added. */
const COSTLY = ['mmap', 'pread64', 'openat', 'read', 'fstat', 'newfstatat', 'mprotect', 'close'];

function compare(t: TestContext, dir: string, { program, libraries }: Application, allowed: number): void {
  const before = systemCalls(dir, program);
  const plain = runOk(program).stdout;
  const files = [program, ...libraries];
  const outcomes = elfnoteAll('build-cache', files);
  // The last library needs nothing that has a run path.
  const written = outcomes.filter(({ action }) => action === 'written');
  assert.equal(written.length, COUNT);
  // Only lld and mold, which leave no gap behind a read-only segment, cost one.
  const added = written.reduce((sum, outcome) => sum + numberIn(outcome, 'addedSegments'), 0);
  assert.ok(added <= allowed, `${added} segments were added`);
  assert.equal(entriesDue(program).length, COUNT);

  const after = systemCalls(dir, program);
  assert.ok((before.get('openat') ?? 0) > COUNT && (before.get('mmap') ?? 0) > COUNT);
  for (const call of COSTLY) {
    const [old = 0, now = 0] = [before.get(call), after.get(call)];
    assert.ok(now <= old + (call === 'mmap' ? added : 0), `${call}: ${old} without notes, ${now} with them`);
  }
  assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());

  const said = runOk(program).stdout;
  const lines = said.split('\n');
  assert.equal(lines.filter(line => line.endsWith(': 1')).length, COUNT, said);
  assert.ok(lines.includes('main: 1'), said);
  for (const n of NUMBERS) {
    assert.ok(lines.includes(`libpart${n}.so.1: ${n < COUNT ? 1 : 0}`), said);
  }
  assert.equal(said.replaceAll(': 1\n', ': 0\n'), plain, 'nothing but the notes differs');
  assert.doesNotMatch(said, /wrong/);
  const total = (calls: ReadonlyMap<string, number>) => [...calls.values()].reduce((a, b) => a + b, 0);
  t.diagnostic(`${total(before)} system calls without notes, ${total(after)} with them`);
}

describe(`start-up of a program with ${COUNT} libraries`, { skip: needsTracing() }, () => {
  const scope = suiteScope();
  let objects: readonly string[];
  before(() => {
    objects = compile(tempDir(scope));
  });
  for (const linker of LINKERS) {
    const tool = linker === 'mold' ? 'mold' : `ld.${linker}`;
    const leavesGaps = linker === 'bfd' || linker === 'gold';
    const what = leavesGaps ? 'no system call is added' : 'no call but one mmap for each added segment';
    test(`${linker}: ${what}, and the notes are found where ld.so says`, {
      skip: needs(tool),
    }, t => {
      // Of 32 paths that are longer the note would not fit in the gap that bfd leaves.
      const dir = shortDir(scope);
      compare(t, dir, build(dir, linker, objects), leavesGaps ? 0 : COUNT);
    });
  }
});
