import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Encoding } from '../../src/elf/bytes.js';
import { ElfnoteError } from '../../src/errors.js';
import { type Edit, editsOf, type PlanOptions, type WritePlan } from '../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../src/layout/plan-file.js';
import { findRecord } from '../../src/layout/undo/find.js';
import { hashOfWritten } from '../../src/layout/undo/hash.js';
import type { CacheEntry } from '../../src/note/cache.js';
import { encodeUndo, type UndoRecord } from '../../src/note/undo.js';
import { refuseFaults, Side } from '../../src/write/invariants/invariant.js';
import { unprovedFaults } from '../../src/write/invariants/record.js';
import { SEGMENTS } from '../../src/write/invariants/segments.js';
import { TABLE } from '../../src/write/invariants/table.js';
import { verifyPlan } from '../../src/write/verify-plan.js';
import { Elf } from '../support/elf-reader.js';
import { buildLayout, type LayoutSpec, RW, RX } from '../support/layout-builder.js';
import { applied, isFault, viewOf } from '../support/plans.js';

const ENTRIES: readonly CacheEntry[] = [
  { soname: 'libone.so', steps: [{ kind: 'path', path: '/store/libone.so' }] },
];

const LOAD = 1;
const DYNAMIC = 2;
const INTERP = 3;
const NOTE = 4;
const PHDR = 6;
const STACK = 0x6474e551;
const PROPERTY = 0x6474e553;

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../../fixtures/kinds/${name}`, import.meta.url));

/** The plan with other edits in the commit that it starts with. */
function withEdits(plan: WritePlan, change: (edits: readonly Edit[]) => readonly Edit[]): WritePlan {
  const [first, ...others] = plan.commits;
  assert.ok(first !== undefined);
  return { ...plan, commits: [{ ...first, edits: change(first.edits) }, ...others] };
}

/** A good plan and the file that it makes, to be broken by more edits. */
class Subject {
  readonly bytes: Buffer;
  readonly plan: WritePlan;
  readonly result: Elf;
  readonly e: Encoding;

  constructor(bytes: Buffer, options: PlanOptions = {}, entries = ENTRIES) {
    const plan = planFile(viewOf(bytes), { entries }, options);
    if (plan.kind !== 'write') assert.fail(`the file got no plan but ${plan.kind}`);
    this.bytes = bytes;
    this.plan = plan;
    this.result = new Elf(applied(bytes, plan));
    this.e = new Encoding(this.result.is64, this.result.little);
  }

  verify(plan: WritePlan = this.plan): void {
    verifyPlan(viewOf(this.bytes), plan);
  }

  /** The plan with more edits behind its own. */
  with(...more: readonly { readonly offset: number; readonly bytes: Buffer }[]): WritePlan {
    const edits = more.map((edit): Edit => ({ ...edit, step: 3, why: 'sabotage' }));
    return withEdits(this.plan, own => [...own, ...edits]);
  }

  refuses(name: string | RegExp, plan: WritePlan): void {
    this.verify();
    assert.throws(
      () => this.verify(plan),
      (error: unknown) => {
        assert.ok(error instanceof ElfnoteError && error.code === 'verify', String(error));
        if (typeof name === 'string')
          assert.ok(isFault(error.message, name), `${error.message}\nis not: ${name}`);
        else assert.match(error.message, name);
        return true;
      },
    );
  }

  half(offset: number, value: number) {
    const bytes = Buffer.alloc(2);
    this.e.putU16(bytes, 0, value);
    return { offset, bytes };
  }

  word32(offset: number, value: number) {
    const bytes = Buffer.alloc(4);
    this.e.putU32(bytes, 0, value);
    return { offset, bytes };
  }

  word(offset: number, value: number) {
    return { offset, bytes: this.e.wordBytes(value) };
  }

  /** Index of the n-th program header of a type; of the last for -1. */
  phdr(type: number, n = 0): number {
    const all = this.result.phdrs.flatMap((p, i) => (p.type === type ? [i] : []));
    const found = all.at(n);
    assert.ok(found !== undefined, `no program header of type ${type}`);
    return found;
  }

  at(index: number) {
    const p = this.result.phdrs[index];
    assert.ok(p);
    return p;
  }

  /** An edit of one field of a 64-bit program header. */
  field(index: number, name: 'flags' | 'offset' | 'vaddr' | 'filesz' | 'memsz' | 'align', value: number) {
    const at = this.result.phoff + index * 56;
    const places = { flags: 4, offset: 8, vaddr: 16, filesz: 32, memsz: 40, align: 48 };
    return name === 'flags' ? this.word32(at + 4, value) : this.word(at + places[name], value);
  }

  entry(index: number): Buffer {
    return this.result.slice(this.result.phoff + index * 56, 56);
  }

  putEntry(index: number, bytes: Buffer) {
    return { offset: this.result.phoff + index * 56, bytes };
  }

  /** Offset of the header of a section. */
  shdr(name: string): number {
    const index = this.result.shdrs.findIndex(s => s.name === name);
    assert.ok(index > 0, `no section ${name}`);
    return this.result.shoff + index * 64;
  }

  section(name: string) {
    const found = this.result.shdrs.find(s => s.name === name);
    assert.ok(found, `no section ${name}`);
    return found;
  }

  note() {
    const found = this.result.notes().find(({ cache }) => cache);
    assert.ok(found);
    return found;
  }

  dynamic(tag: number): number {
    const found = this.result.dynamic().find(entry => entry.tag === tag);
    assert.ok(found, `no dynamic entry ${tag}`);
    return found.at;
  }
}

const bfd = new Subject(fixture('pie-bfd'));
const lld = new Subject(fixture('pie-lld'));
const library = new Subject(fixture('libuse-nobuildid.so'));
const tail = new Subject(fixture('pie-bfd'), { placement: 'tail' });

const tight: LayoutSpec = {
  is64: true,
  littleEndian: true,
  machine: 183,
  align: 0x10000,
  rela: true,
  phdr: true,
  items: [{ kind: 'interp', size: 83 }, { kind: 'dynsym', gap: 40 }, { kind: 'dynstr' }],
  segments: [
    { flags: RX, size: 200, gap: 600 },
    { flags: RW, size: 320, dynamic: true, bss: 100 },
  ],
};
const moving = new Subject(buildLayout(tight).bytes);
const onlyTables: LayoutSpec['items'] = [{ kind: 'dynsym' }, { kind: 'dynstr' }];
const tables = new Subject(buildLayout({ ...tight, phdr: false, items: onlyTables }).bytes);

it('a good plan passes, whatever the linker and the rung', () => {
  for (const subject of [bfd, lld, library, tail, moving, tables])
    assert.doesNotThrow(() => subject.verify());
  assert.deepEqual(tail.plan.rung.note, 'tail');
  assert.deepEqual(moving.plan.rung, { note: 'slack', table: 'move-notes' });
  assert.deepEqual(tables.plan.rung, { note: 'slack', table: 'move-tables' });
});

it('a good plan passes where the table moves, which only the plan that says so may', () => {
  const items = [{ kind: 'rodata', size: 200 }, { kind: 'dynsym' }, { kind: 'dynstr' }] as const;
  const full: LayoutSpec = { ...tight, items, phdr: false };
  const subject = new Subject(buildLayout(full).bytes, { moveTable: true });
  assert.equal(subject.plan.rung.table, 'move-table');
  assert.doesNotThrow(() => subject.verify());
});

it('a good plan passes where a library loses its PT_PHDR', () => {
  const items = [{ kind: 'rodata', size: 200 }, { kind: 'dynsym' }, { kind: 'dynstr' }] as const;
  const subject = new Subject(buildLayout({ ...tight, items }).bytes);
  assert.equal(subject.plan.rung.table, 'phdr');
  assert.doesNotThrow(() => subject.verify());
});

it('a good plan passes where a long note takes the place of zeros', () => {
  const segments = tight.segments.map(segment => ({ ...segment, gap: 9000 }));
  const path = `/${'p'.repeat(3000)}`;
  const entries = ['libone.so', 'libtwo.so'].map(
    (soname): CacheEntry => ({ soname, steps: [{ kind: 'path', path }] }),
  );
  const subject = new Subject(buildLayout({ ...tight, segments }).bytes, {}, entries);
  assert.equal(subject.plan.rung.note, 'slack');
  assert.doesNotThrow(() => subject.verify());
});

it('a good plan passes where a PT_NOTE was not loaded to begin with', () => {
  const bytes = Buffer.from(fixture('pie-bfd'));
  const elf = new Elf(bytes);
  const last = elf.phdrs.findLastIndex(p => p.type === NOTE);
  bytes.writeBigUInt64LE(0x1000_0000n, elf.phoff + last * 56 + 16);
  assert.ok(elf.phdrs.filter(p => p.type === NOTE).length > 1);
  const subject = new Subject(bytes);
  assert.doesNotThrow(() => subject.verify());
  const first = subject.phdr(NOTE);
  subject.refuses('a PT_NOTE is not loaded', subject.with(subject.field(first, 'vaddr', 0x1000)));
});

it('a good plan passes where a segment was on the table to begin with', () => {
  const bytes = Buffer.from(fixture('pie-bfd'));
  const { phoff, phdrs } = new Elf(bytes);
  const at = phoff + 56 * phdrs.findIndex(p => p.type === PROPERTY);
  for (const field of [8, 16, 24]) bytes.writeBigUInt64LE(BigInt(phoff + 56), at + field);
  const subject = new Subject(bytes);
  assert.doesNotThrow(() => subject.verify());
});

it('a good plan passes where an empty segment has the address of the next', () => {
  const whole = fixture('pie-bfd');
  const { phoff, phdrs } = new Elf(whole);
  const stack = phdrs.findIndex(p => p.type === STACK);
  const entry = (i: number) => whole.subarray(phoff + 56 * i, phoff + 56 * (i + 1));
  const loads = phdrs.flatMap((p, i) => (p.type === LOAD ? [i] : []));
  assert.ok(loads.length > 2);
  for (const load of loads) {
    const empty = Buffer.from(entry(load)).fill(0, 32, 48);
    const table = phdrs.flatMap((_, i) => (i === stack ? [] : i === load ? [empty, entry(i)] : [entry(i)]));
    const bytes = Buffer.from(whole);
    Buffer.concat(table).copy(bytes, phoff);
    for (const options of [{}, { placement: 'tail' }] as const) {
      const subject = new Subject(bytes, options);
      assert.doesNotThrow(() => subject.verify());
      const made = applied(bytes, subject.plan);
      // Another tool has changed a program header since, so the record does not count.
      const changed = Buffer.from(made);
      const { offset, bytes: flags } = subject.field(subject.phdr(NOTE), 'flags', 6);
      flags.copy(changed, offset);
      for (const [from, exact] of [
        [made, true],
        [changed, false],
      ] as const) {
        const removal = planRemoval(viewOf(from));
        assert.ok(removal.kind === 'write' && removal.exact === exact);
        assert.doesNotThrow(() => verifyPlan(viewOf(from), removal));
      }
    }
  }
});

it('what is undone is undone first', () => {
  const bytes = bfd.result.bytes;
  const entries: CacheEntry[] = [{ soname: 'libtwo.so', steps: [{ kind: 'hint', dir: '/run/lib' }] }];
  const update = planFile(viewOf(bytes), { entries });
  assert.ok(update.kind === 'write');
  assert.deepEqual(
    update.commits.map(({ kind }) => kind),
    ['undo', 'undo', 'note'],
  );
  assert.doesNotThrow(() => verifyPlan(viewOf(bytes), update));
  assert.throws(() => verifyPlan(viewOf(bytes), { ...update, commits: update.commits.toReversed() }), {
    code: 'verify',
    message: 'refusing to write: what is undone is not undone first',
  });
});

describe('the same program', () => {
  it('has the same type, machine and flags', () => {
    bfd.refuses('the ELF header changed', bfd.with(bfd.half(16, 2)));
    bfd.refuses('the ELF header changed', bfd.with(bfd.half(18, 63)));
    bfd.refuses('the ELF header changed', bfd.with(bfd.word32(48, 1)));
  });

  it('has readable section headers', () => {
    bfd.refuses('the section headers cannot be read', bfd.with(bfd.half(58, 40)));
    bfd.refuses('the section headers cannot be read', bfd.with(bfd.word(40, bfd.plan.size)));
  });

  it('says the same in its dynamic section', () => {
    const needed = bfd.dynamic(1);
    const value = bfd.result.uword(needed + 8);
    bfd.refuses('the dynamic section says something else', bfd.with(bfd.word(needed + 8, value + 1)));
    const all = [0, 16, 32].map(behind => needed + behind);
    assert.deepEqual(
      all.map(at => bfd.result.uword(at)),
      [1, 1, 1],
    );
    const others = all.map(at => bfd.word(at + 8, bfd.result.uword(at + 8) + 1));
    bfd.refuses('the dynamic section says something else', bfd.with(...others));
    const runpath = bfd.dynamic(29);
    bfd.refuses('the dynamic section says something else', bfd.with(bfd.word(runpath, 15)));
    const path = bfd.result.uword(runpath + 8);
    bfd.refuses('the dynamic section says something else', bfd.with(bfd.word(runpath + 8, path + 1)));
    const more = [
      ['libuse-bfd.so', 14, /: DT_SONAME libuse-bfd\.so is ibuse-bfd\.so$/],
      ['rpath', 15, /: DT_RPATH (.)(.+) is \2$/],
    ] as const;
    for (const [kind, tag, what] of more) {
      const subject = new Subject(fixture(kind));
      const entry = subject.dynamic(tag) + 8;
      subject.refuses(what, subject.with(subject.word(entry, subject.result.uword(entry) + 1)));
    }
  });

  it('has the same dynamic entries', () => {
    bfd.refuses('the dynamic section has other entries', bfd.with(bfd.word(bfd.dynamic(21), 0x6fff1234)));
  });
});

describe('an edit', () => {
  it('stays out of sections', () => {
    const text = bfd.section('.text');
    bfd.refuses(
      'an edit (sabotage) touches a section that must not change',
      bfd.with({ offset: text.offset, bytes: bfd.result.slice(text.offset, 1) }),
    );
    bfd.refuses(
      'an edit (sabotage) touches a section that must not change',
      bfd.with({ offset: text.offset + text.size - 1, bytes: Buffer.alloc(1) }),
    );
  });

  it('stays out of note segments, where there are no sections', () => {
    const items = [{ kind: 'dynsym' }, { kind: 'rodata', size: 200 }, { kind: 'build-id' }] as const;
    const spec: LayoutSpec = {
      ...tight,
      items: [...items, { kind: 'dynstr' }],
      sections: 'none',
      phdr: false,
    };
    const subject = new Subject(buildLayout({ ...spec, nulls: 1, nullsLast: true }).bytes);
    const note = new Elf(subject.bytes).phdrs.findLast(p => p.type === NOTE);
    assert.ok(note);
    subject.refuses(
      'an edit (sabotage) touches a segment that must not change',
      subject.with({ offset: note.offset + note.filesz - 1, bytes: Buffer.alloc(1, 7) }),
    );
  });
});

describe('a PT_LOAD', () => {
  it('is congruent', () => {
    const last = bfd.phdr(LOAD, -1);
    bfd.refuses('a PT_LOAD is not congruent', bfd.with(bfd.field(last, 'align', 0x2000)));
  });

  it('does not overlap the next and comes before it', () => {
    const code = bfd.phdr(LOAD, 1);
    bfd.refuses('PT_LOAD entries overlap or descend', bfd.with(bfd.field(code, 'memsz', 0x100000)));
    const [one, two] = [bfd.phdr(LOAD, 1), bfd.phdr(LOAD, 2)];
    bfd.refuses(
      'PT_LOAD entries overlap or descend',
      bfd.with(bfd.putEntry(one, bfd.entry(two)), bfd.putEntry(two, bfd.entry(one))),
    );
  });

  it('stands behind PT_PHDR and PT_INTERP', () => {
    for (const type of [PHDR, INTERP]) {
      const [own, load] = [bfd.phdr(type), bfd.phdr(LOAD)];
      bfd.refuses(
        'PT_PHDR or PT_INTERP stands behind a PT_LOAD',
        bfd.with(bfd.putEntry(own, bfd.entry(load)), bfd.putEntry(load, bfd.entry(own))),
      );
    }
  });

  it('grows only where it is read-only data', () => {
    const data = tail.phdr(LOAD, -2);
    const { memsz } = tail.at(data);
    tail.refuses(
      'a segment grew that is not read-only data',
      tail.with(tail.field(data, 'memsz', memsz + 8)),
    );
  });

  it("does not grow into the next one's page", () => {
    const first = lld.phdr(LOAD);
    const next = lld.at(lld.phdr(LOAD, 1));
    const size = next.vaddr - lld.at(first).vaddr;
    assert.notEqual(next.vaddr % 4096, 0);
    lld.refuses(
      "a segment grew into the next one's page",
      lld.with(lld.field(first, 'memsz', size), lld.field(first, 'filesz', size)),
    );
  });
});

describe('a segment that grew', () => {
  /** The first segment grows by 8 bytes from a size in the program. */
  const grow = (subject: Subject, size: number, align: number) => {
    const first = subject.phdr(LOAD);
    const side = (bytes: number) =>
      new Side(
        viewOf(
          applied(
            subject.bytes,
            subject.with(
              subject.field(first, 'filesz', bytes),
              subject.field(first, 'memsz', bytes),
              subject.field(first, 'align', align),
            ),
          ),
        ),
      );
    const { plan } = subject;
    const [commit] = plan.commits;
    assert.ok(commit !== undefined);
    refuseFaults('', SEGMENTS, { before: side(size), after: side(size + 8), commit, plan });
  };

  it('may have shared a larger page with the next before, and never one of 4 KiB', () => {
    const { vaddr } = bfd.at(bfd.phdr(LOAD, 1));
    assert.equal(vaddr, 0x1000);
    for (const align of [0x1000, 0x2000, 0x10000]) grow(bfd, 0xff8, align);
    const shared = lld.at(lld.phdr(LOAD, 1)).vaddr;
    assert.notEqual(shared % 0x1000, 0);
    const what = /a segment grew into the next one's page: number 0 to .*, pages of 4096$/;
    assert.throws(() => grow(lld, Math.floor(shared / 0x1000) * 0x1000 + 8, 0x1000), what);
    assert.throws(() => grow(lld, Math.floor(shared / 0x1000) * 0x1000 - 7, 0x1000), what);
    grow(lld, Math.floor(shared / 0x1000) * 0x1000 - 8, 0x1000);
  });
});

describe('other program headers', () => {
  it('stay as they are', () => {
    const stack = bfd.phdr(STACK);
    bfd.refuses(
      'a program header changed that must not',
      bfd.with(bfd.field(stack, 'flags', bfd.at(stack).flags ^ 1)),
    );
  });

  it('are no fewer and no more', () => {
    const what = 'a program header changed that must not';
    const last = (subject: Subject) => subject.result.phoff + (subject.result.phdrs.length - 1) * 56;
    bfd.refuses(what, bfd.with(bfd.word32(last(bfd), 0)));
    lld.refuses(what, lld.with(lld.word32(last(lld), STACK)));
  });

  it('a PT_NOTE is loaded where it says', () => {
    const note = bfd.phdr(NOTE);
    const { vaddr } = bfd.at(note);
    bfd.refuses('a PT_NOTE is not loaded', bfd.with(bfd.field(note, 'vaddr', vaddr + 4)));
  });
});

describe('the program header table', () => {
  it('stays where it is', () => {
    const { phoff, phdrs } = bfd.result;
    assert.equal(bfd.phdr(PHDR), 0);
    bfd.refuses(
      'the program header table moved',
      bfd.with(bfd.word(32, phoff + 56), bfd.half(56, phdrs.length - 1)),
    );
  });

  const first = bfd.phdr(LOAD);
  const { offset, vaddr, filesz } = bfd.at(first);
  const cut = 0x300;
  const unloaded = bfd.with(
    bfd.field(first, 'offset', offset + cut),
    bfd.field(first, 'vaddr', vaddr + cut),
    bfd.field(first, 'filesz', filesz - cut),
    bfd.field(first, 'memsz', filesz - cut),
  );

  it('is loaded', () => {
    assert.ok(cut > bfd.result.phoff && cut < bfd.section('.interp').offset);
    bfd.refuses('the program header table is not loaded', unloaded);
  });

  it('is what PT_PHDR says', () => {
    const phdr = bfd.phdr(PHDR);
    const what = 'PT_PHDR does not say where the table is';
    bfd.refuses(what, bfd.with(bfd.field(phdr, 'filesz', bfd.at(phdr).filesz - 56)));
    bfd.refuses(what, bfd.with(bfd.field(phdr, 'offset', 0)));
    bfd.refuses(what, bfd.with(bfd.field(phdr, 'vaddr', 0)));
  });

  it('is where old kernels look, by the first PT_LOAD', () => {
    const subject = new Subject(fixture('nopie-bfd'));
    const first = subject.phdr(LOAD);
    const dropped = subject.phdr(NOTE, 0);
    const low = Buffer.alloc(56);
    subject.e.putU32(low, 0, LOAD);
    subject.e.putWord(low, 16, 0x1000);
    const rest = subject.result.phdrs.flatMap((_, i) =>
      i >= first && i !== dropped ? [subject.entry(i)] : [],
    );
    const wrong = subject.with(subject.putEntry(first, Buffer.concat([low, ...rest])));
    subject.refuses('old kernels would compute a wrong AT_PHDR', wrong);

    // Also where the table was not loaded before.
    const [commit] = wrong.commits;
    assert.ok(commit !== undefined);
    const before = new Side(viewOf(applied(bfd.bytes, unloaded)));
    const after = new Side(viewOf(applied(subject.bytes, wrong)));
    assert.throws(
      () => refuseFaults('', TABLE, { before, after, commit, plan: wrong }),
      /old kernels would compute a wrong AT_PHDR/,
    );
  });

  it('does not run into what stands behind it', () => {
    const interp = bfd.shdr('.interp');
    bfd.refuses('the table runs into a section', bfd.with(bfd.word(interp + 24, bfd.result.tableEnd - 1)));
  });
});

describe('a section', () => {
  it('keeps its size and type', () => {
    bfd.refuses(/section \d+ changed: /, bfd.with(bfd.word(bfd.shdr('.text') + 32, 1)));
    bfd.refuses(/section \d+ changed: /, bfd.with(bfd.word32(bfd.shdr('.text') + 4, 14)));
    bfd.refuses(/section \d+ changed: /, bfd.with(bfd.word32(bfd.shdr('.comment') + 4, 8)));
  });

  it('keeps its name', () => {
    const name = bfd.result.u32(bfd.shdr('.text'));
    bfd.refuses(/section \d+ has another name: /, bfd.with(bfd.word32(bfd.shdr('.text'), name + 1)));
  });

  it('reads the same where it moved to', () => {
    const { offset } = bfd.section('.text');
    bfd.refuses(
      'section .text has other contents in its new place',
      bfd.with(bfd.word(bfd.shdr('.text') + 24, offset + 1)),
    );
  });

  it('is loaded where it moved to', () => {
    const { addr } = moving.section('.interp');
    moving.refuses(
      'section .interp is not loaded',
      moving.with(moving.word(moving.shdr('.interp') + 16, addr + 8)),
    );
  });
});

describe('PT_INTERP', () => {
  const interp = bfd.phdr(INTERP);
  const { offset, vaddr, filesz } = bfd.at(interp);

  it('keeps its size, and PT_DYNAMIC too', () => {
    bfd.refuses('PT_INTERP or PT_DYNAMIC changed', bfd.with(bfd.field(interp, 'filesz', filesz - 1)));
  });

  it('names the same loader', () => {
    bfd.refuses(
      'PT_INTERP names another loader',
      bfd.with(bfd.field(interp, 'offset', offset + 1), bfd.field(interp, 'vaddr', vaddr + 1)),
    );
  });

  it('is loaded', () => {
    bfd.refuses('PT_INTERP is not loaded', bfd.with(bfd.field(interp, 'vaddr', vaddr + 1)));
  });
});

describe('the cache note', () => {
  const { at, descAt, descsz } = bfd.note();
  const own = bfd.phdr(NOTE, bfd.result.phdrs.filter(p => p.type === NOTE).indexOf(bfd.note().phdr));

  it('is there, once', () => {
    const what = 'there is not exactly one cache note';
    bfd.refuses(what, bfd.with(bfd.word32(at + 8, 1)));
  });

  it('says what was planned', () => {
    const entries: readonly CacheEntry[] = [
      { soname: 'libone.so', steps: [{ kind: 'path', path: '/store/libtwo.so' }] },
    ];
    bfd.refuses('the note does not say what was planned', { ...bfd.plan, wanted: { entries } });
  });

  it('has as many entries as were planned', () => {
    const path = '/a\0libtwo.so\0=/b';
    const entries: readonly CacheEntry[] = [{ soname: 'libone.so', steps: [{ kind: 'path', path }] }];
    const plan = planFile(viewOf(fixture('pie-bfd')), { entries });
    assert.ok(plan.kind === 'write');
    bfd.refuses('the note does not decode', plan);
  });

  it('is padded with zeros', () => {
    assert.notEqual(descsz % 4, 0);
    bfd.refuses('the padding is not zero', bfd.with({ offset: descAt + descsz, bytes: Buffer.from([1]) }));
  });

  it('has a PT_NOTE that is aligned to 4', () => {
    bfd.refuses('the note has no 4-aligned PT_NOTE', bfd.with(bfd.field(own, 'align', 1)));
  });

  it('has a section, where the file has sections', () => {
    bfd.refuses('the note has no section', bfd.with(bfd.half(60, bfd.result.shdrs.length - 1)));
  });

  it('is right in the eyes of a second run', () => {
    bfd.refuses('a second run would change the file again', { ...bfd.plan, auditModule: '/audit.so' });
  });
});

describe('taking a note out', () => {
  const written = tail.result.bytes;
  const plan = planRemoval(viewOf(written));
  assert.ok(plan.kind === 'write');
  const verify = (changed: WritePlan) => verifyPlan(viewOf(written), changed);

  it('takes it out', () => {
    assert.doesNotThrow(() => verify(plan));
    const none = withEdits(plan, () => []);
    const all = {
      ...none,
      commits: none.commits.map(commit => ({ ...commit, edits: [], size: written.length })),
    };
    assert.throws(() => verify(all), /refusing to write: the old note is still there: 1$/);
  });

  it('leaves the same program', () => {
    const runpath = tail.dynamic(29) + 8;
    const path = tail.result.uword(runpath) + 1;
    const wrong = [
      [{ offset: 48, bytes: Buffer.from([1]) }, /e_flags 0 is 1$/],
      [tail.word(runpath, path), /DT_RUNPATH .* is .*$/],
    ] as const;
    for (const [sabotage, what] of wrong) {
      const edit = { ...sabotage, step: 99, why: 'sabotage' };
      const commits = plan.commits.map(commit => ({ ...commit, edits: [...commit.edits, edit] }));
      const message = new RegExp(`^refusing to write: undone, the file says something else: ${what.source}`);
      assert.throws(() => verify({ ...plan, commits }), { code: 'verify', message });
    }
  });

  /** The plan, with the segment of the note some bytes shorter in the end. */
  const shorter = (bytes: Buffer, removal: WritePlan, less: number): WritePlan => {
    const { offset } = bfd.section('.note.nixos.ldcache');
    const left = new Elf(applied(bytes, removal));
    const index = left.phdrs.findLastIndex(p => p.type === LOAD && p.offset < offset);
    const size = bfd.e.wordBytes((left.phdrs[index]?.filesz ?? 0) - less);
    const edit = { offset: left.phoff + 56 * index + 32, bytes: Buffer.concat([size, size]) };
    const commits = removal.commits.map((commit, i) =>
      i === removal.commits.length - 1
        ? { ...commit, edits: [...commit.edits, { ...edit, step: 99, why: 'sabotage' }] }
        : commit,
    );
    return { ...removal, commits };
  };

  it('leaves all that was loaded besides', () => {
    const made = bfd.result.bytes;
    const removal = planRemoval(viewOf(made));
    assert.ok(removal.kind === 'write' && removal.exact === true);
    // Bytes that the record's hash is of.
    const foreign = Buffer.from(made);
    const record = foreign.indexOf('elfnote\0', bfd.note().at) + 8;
    foreign.fill(0xff, record + 2, record + 4);
    const release = planRemoval(viewOf(foreign));
    assert.ok(release.kind === 'write' && release.exact === false);
    const commits = release.commits.map(commit => ({ ...commit, edits: [], size: foreign.length }));
    assert.throws(() => verifyPlan(viewOf(foreign), { ...release, commits }), {
      code: 'verify',
      message: 'refusing to write: the old note is still there: 1 are 1',
    });
    for (const [bytes, whole, fault] of [
      [made, removal, 'undone, the file is not what the undo record says that it was'],
      [foreign, release, 'a segment loses more than notes'],
    ] as const) {
      assert.doesNotThrow(() => verifyPlan(viewOf(bytes), whole));
      for (const less of [1, 16, 64])
        assert.throws(
          () => verifyPlan(viewOf(bytes), shorter(bytes, whole, less)),
          (error: unknown) => error instanceof ElfnoteError && isFault(error.message, fault),
          `${fault}, by ${less} bytes`,
        );
    }
  });

  it('a note that was released and is written again passes, and the release takes nothing else', () => {
    // Another tool has changed the segment since, so the record does not count.
    const foreign = Buffer.from(written);
    const { offset, bytes } = tail.field(tail.phdr(LOAD, -1), 'flags', 5);
    bytes.copy(foreign, offset);
    const entries: CacheEntry[] = [{ soname: 'libtwo.so', steps: [{ kind: 'hint', dir: '/run/lib' }] }];
    const update = planFile(viewOf(foreign), { entries });
    assert.ok(update.kind === 'write' && update.exact === false);
    assert.doesNotThrow(() => verifyPlan(viewOf(foreign), update));
    const text = tail.section('.text').offset;
    const broken = withEdits(update, edits => [
      ...edits,
      { offset: text, bytes: Buffer.from([1]), step: 9, why: 'sabotage' },
    ]);
    assert.throws(
      () => verifyPlan(viewOf(foreign), broken),
      /touches a section that must not change: number \d+, bytes \d+ to \d+$/,
    );
  });
});

describe('the undo record', () => {
  it('leads back to the old bytes', () => {
    const at = bfd.note().at;
    const record = bfd.result.bytes.indexOf('elfnote\0', at) + 8;
    const what = /the undo record does not lead back to the \d+ bytes at \d+$/;
    // The first byte of the last literal, in front of what fills the descriptor up.
    const end = bfd.section('.note.nixos.ldcache').offset + bfd.section('.note.nixos.ldcache').size;
    const last = bfd.result.bytes.subarray(0, end).findLastIndex(byte => byte !== 0);
    assert.ok(last > record);
    const wrong = Buffer.from([(bfd.result.bytes[last] ?? 0) ^ 1]);
    bfd.refuses(what, bfd.with({ offset: last, bytes: wrong }));
    bfd.refuses('there is no undo record', bfd.with({ offset: record, bytes: Buffer.from([99]) }));
  });

  it('has the hashes without which nobody follows it', () => {
    const bytes = Buffer.from(bfd.result.bytes);
    const desc = bytes.indexOf('elfnote\0', bfd.note().at) + 8;
    const [wrote, was] = [desc + 2, desc + 10];
    const flipped = (at: number) => Buffer.from([(bytes[at] ?? 0) ^ 1]);
    const what = 'the undo record has another hash of what was written';
    bfd.refuses(what, bfd.with({ offset: wrote, bytes: flipped(wrote) }));
    bytes.set(flipped(was), was);
    const found = findRecord(viewOf(bytes));
    assert.ok(found !== undefined && found.note.descOffset === desc);
    hashOfWritten(found.record, viewOf(bytes), desc).copy(bytes, wrote);
    bfd.refuses(
      'the undo record has another hash of what was there',
      bfd.with({ offset: wrote, bytes: bytes.subarray(wrote, was + 8) }),
    );
  });

  it('says how large the file is now, as it was and as it is', () => {
    const found = findRecord(viewOf(bfd.result.bytes));
    assert.ok(found !== undefined);
    const { descOffset, n_descsz } = found.note;
    const refuses = (what: string, sizes: Partial<UndoRecord>) => {
      const bytes = Buffer.from(bfd.result.bytes);
      const put = (record: UndoRecord) => encodeUndo(record, n_descsz).copy(bytes, descOffset);
      put({ ...found.record, ...sizes });
      const view = viewOf(bytes);
      const wrote = hashOfWritten({ ...found.record, ...sizes }, view, descOffset);
      put({ ...found.record, ...sizes, wrote });
      const edit = { offset: descOffset, bytes: bytes.subarray(descOffset, descOffset + n_descsz) };
      bfd.refuses(`the undo record says ${what}`, bfd.with(edit));
    };
    const { oldSize, newSize } = found.record;
    refuses(`${oldSize - 1} bytes, not ${oldSize}`, { oldSize: oldSize - 1 });
    refuses(`${newSize - 1} bytes now, not ${newSize}`, { newSize: newSize - 1 });
  });

  it('leads back to them from the end of the file too', () => {
    const isFull = ({ plan }: Subject) => editsOf(plan).some(({ why }) => why === 'the undo record');
    const subjects = Array.from({ length: 100 }, (_, i) => {
      const path = `/${'p'.repeat(40 * i)}`;
      return () =>
        new Subject(fixture('pie-bfd'), {}, [{ soname: 'libone.so', steps: [{ kind: 'path', path }] }]);
    });
    const full = subjects.map(make => make()).find(isFull);
    assert.ok(full !== undefined, 'each note has room for its record');
    const { bytes } = full.result;
    const record = bytes.lastIndexOf('elfnote\0') + 8;
    const last = bytes.findLastIndex(byte => byte !== 0);
    assert.ok(full.plan.hasRecord && last > record);
    const wrong = Buffer.from([(bytes[last] ?? 0) ^ 1]);
    const what = /the undo record does not lead back to the \d+ bytes at \d+$/;
    full.refuses(what, full.with({ offset: last, bytes: wrong }));
    full.refuses('there is no undo record', full.with({ offset: record, bytes: Buffer.from([99]) }));
    const cut = full.plan.commits.map(commit => ({ ...commit, size: commit.size - 4 }));
    full.refuses('there is no undo record', { ...full.plan, commits: cut });
  });
});

describe('what is undone without a record', () => {
  const program = fixture('pie-bfd');
  const stripped = Buffer.from(program);
  stripped.fill(0, 40, 48);
  stripped.fill(0, 60, 64);

  const faults = (bytes: Buffer, [from, to]: readonly [number, number], size = bytes.length) => {
    const told: string[] = [];
    const edits = [{ offset: from, bytes: Buffer.alloc(to - from), step: 1, why: 'test' }];
    const commit = { kind: 'undo', edits, size, inPlaceIsSafe: true } as const;
    unprovedFaults(viewOf(bytes), [commit], fault => told.push(fault));
    return told;
  };
  const [init, plt] = [bfd.section('.init'), bfd.section('.plt')];
  const gap = [init.offset + init.size, plt.offset] as const;
  assert.ok(gap[1] - gap[0] > 2);

  it('is nothing that a section describes, and where there are none, nothing that is loaded', () => {
    assert.deepEqual(faults(program, gap), []);
    for (const [from, to] of [
      [gap[0] - 1, gap[1]],
      [gap[0], gap[1] + 1],
      [gap[1] - 1, gap[1] + 1],
    ] as const) {
      const [fault, ...more] = faults(program, [from, to]);
      assert.match(
        fault ?? '',
        new RegExp(`^what no record proves is undone: bytes ${from} to ${to} of section \\d+$`),
      );
      assert.deepEqual(more, []);
    }
    assert.match(
      faults(stripped, gap)[0] ?? '',
      /^what no record proves is undone: bytes \d+ to \d+ of load \d+$/,
    );
  });

  it('cuts nothing that is described', () => {
    const appended = Buffer.concat([program, Buffer.alloc(100)]);
    assert.deepEqual(faults(appended, gap, program.length), []);
    assert.deepEqual(faults(appended, gap, program.length - 1), [
      `what no record proves is cut: the file at ${program.length - 1}, its content ends at ${program.length}`,
    ]);
  });
});

/** What FL section 4 demands and a broken planner could still get past. */
describe('verify refuses as well', () => {
  const refused = (subject: Subject, plan: WritePlan) => {
    subject.verify();
    // By an invariant: that the record does not know of the change is no merit.
    assert.throws(() => subject.verify(plan), {
      code: 'verify',
      message: /^refusing to write: (?!the undo record)/,
    });
  };

  it('a table that moved while its dynamic entry stayed', () => {
    const stale = withEdits(tables.plan, edits =>
      edits.filter(({ why }) => !why.startsWith('dynamic entry')),
    );
    assert.notEqual(editsOf(stale).length, editsOf(tables.plan).length);
    // The old bytes are still readable, but the program header table has grown over their start.
    refused(tables, stale);
  });

  it('a dynamic entry that leads elsewhere', () => {
    const init = bfd.dynamic(12);
    refused(bfd, bfd.with(bfd.word(init + 8, bfd.result.uword(init + 8) + 16)));
  });

  it('a PT_LOAD with other permissions, or aligned otherwise', () => {
    bfd.refuses('a PT_LOAD changed', bfd.with(bfd.field(bfd.phdr(LOAD, 1), 'align', 0x800)));
    refused(bfd, bfd.with(bfd.field(bfd.phdr(LOAD, 1), 'flags', 4)));
    refused(bfd, bfd.with(bfd.field(bfd.phdr(LOAD, -1), 'flags', 4)));
  });

  it('a PT_LOAD that is gone, moved in the file or shorter', () => {
    refused(bfd, bfd.with(bfd.word32(bfd.result.phoff + bfd.phdr(LOAD, 1) * 56, 0)));
    const code = bfd.phdr(LOAD, 1);
    refused(bfd, bfd.with(bfd.field(code, 'offset', bfd.at(code).offset + 0x1000)));
    refused(bfd, bfd.with(bfd.field(code, 'filesz', 1), bfd.field(code, 'memsz', 1)));
  });

  it('.bss of another size, though the segment is the last', () => {
    const data = bfd.phdr(LOAD, -1);
    refused(bfd, bfd.with(bfd.field(data, 'memsz', bfd.at(data).memsz + 64)));
  });

  it('another PT_NOTE that is gone', () => {
    const others = bfd.result.phdrs.flatMap((p, i) => (p.type === NOTE && p !== bfd.note().phdr ? [i] : []));
    const [other] = others;
    assert.ok(other !== undefined);
    refused(bfd, bfd.with(bfd.word32(bfd.result.phoff + other * 56, 0)));
  });

  it('an edit of a section right behind the table that did not move', () => {
    const { offset, size } = bfd.section('.note.gnu.build-id');
    assert.deepEqual(bfd.plan.moved, []);
    refused(bfd, bfd.with({ offset: offset + size - 1, bytes: Buffer.from([7]) }));
  });

  it('an edit of data that is appended to the file', () => {
    const subject = new Subject(fixture('appended'));
    const last = subject.bytes.length - 1;
    refused(subject, subject.with({ offset: last, bytes: Buffer.from([0xff]) }));
  });

  it('an edit of bytes that are not zero, though nothing describes them', () => {
    const fill: LayoutSpec = {
      ...tight,
      segments: [
        { flags: RX, size: 200, gap: 600 },
        { flags: RW, size: 320, dynamic: true, gap: 32, fill: 0xee },
      ],
    };
    const built = buildLayout(fill);
    const subject = new Subject(built.bytes);
    const at = (built.claims.find(({ name }) => name === '.dynamic')?.start ?? 0) - 1;
    const free = built.bytes.lastIndexOf(0xee, at);
    assert.ok(free > 0);
    const what = 'an edit (sabotage) touches bytes that are not zero and that nothing describes';
    subject.refuses(what, subject.with({ offset: free, bytes: Buffer.from([0]) }));
    // And right in front of bytes that may change.
    const upTo = Buffer.concat([Buffer.alloc(at + 1 - free), built.bytes.subarray(at + 1, at + 9)]);
    subject.refuses(what, subject.with({ offset: free, bytes: upTo }));
  });

  it('a segment that grew into a page of 64 KiB that it did not share before', () => {
    const spec: LayoutSpec = {
      ...tight,
      segments: [
        { flags: RX, size: 200, gap: 6000 },
        { flags: RW, size: 320, dynamic: true, gap: 0 },
      ],
    };
    const subject = new Subject(buildLayout(spec).bytes);
    const first = subject.phdr(LOAD);
    const next = subject.at(subject.phdr(LOAD, 1));
    const size = Math.floor(next.vaddr / 0x10000) * 0x10000 - subject.at(first).vaddr;
    assert.ok(size > subject.at(first).memsz && next.vaddr % 0x10000 > 0x1000);
    refused(subject, subject.with(subject.field(first, 'memsz', size + 16)));
  });

  it('a new PT_LOAD on a page of the one before', () => {
    const load = tail.phdr(LOAD, -1);
    const before = tail.at(tail.phdr(LOAD, -2));
    const note = tail.result.phdrs.indexOf(tail.note().phdr);
    const low = Math.ceil((before.vaddr + before.memsz) / 8) * 8;
    const { offset, vaddr } = tail.at(load);
    const near = low + ((((offset - low) % 4) + 4) % 4);
    const shift = near - vaddr;
    const section = tail.shdr('.note.nixos.ldcache');
    refused(
      tail,
      tail.with(
        tail.field(load, 'vaddr', near),
        tail.field(load, 'align', 4),
        tail.field(note, 'vaddr', tail.at(note).vaddr + shift),
        tail.word(section + 16, tail.section('.note.nixos.ldcache').addr + shift),
      ),
    );
  });

  it('a new PT_LOAD for pages of 4 KiB where the architecture has larger ones', () => {
    const subject = new Subject(buildLayout({ ...tight, tableGap: 120 }).bytes, { placement: 'tail' });
    assert.equal(subject.plan.addedLoads, 1);
    refused(subject, subject.with(subject.field(subject.phdr(LOAD, -1), 'align', 0x1000)));
  });

  it('edits that are not in commit order', () => {
    refused(
      bfd,
      withEdits(bfd.plan, edits => edits.toReversed()),
    );
  });

  it('a PT_DYNAMIC that stands elsewhere', () => {
    const dynamic = bfd.phdr(DYNAMIC);
    const { offset, vaddr } = bfd.at(dynamic);
    refused(bfd, bfd.with(bfd.field(dynamic, 'offset', offset), bfd.field(dynamic, 'memsz', vaddr)));
  });
});
