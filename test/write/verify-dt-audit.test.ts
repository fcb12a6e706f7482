import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DT_BIND_NOW,
  DT_NEEDED,
  DT_STRSZ,
  DT_STRTAB,
  DT_VERSYM,
  PF_W,
  PT_DYNAMIC,
  PT_LOAD,
} from '../../src/elf/constants.js';
import { dynamicStrings, readAudit } from '../../src/elf/dt-audit.js';
import { ElfnoteError } from '../../src/errors.js';
import type { Commit, Edit, WritePlan } from '../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../src/layout/plan-file.js';
import type { CacheEntry } from '../../src/note/cache.js';
import { AUDIT } from '../../src/write/invariants/audit.js';
import { refuseFaults, Side } from '../../src/write/invariants/invariant.js';
import { verifyPlan } from '../../src/write/verify-plan.js';
import { buildLayout, PROGRAM, RX } from '../support/layout-builder.js';
import { applied, isFault, viewOf } from '../support/plans.js';

const ENTRIES: readonly CacheEntry[] = [
  { soname: 'libone.so.1', steps: [{ kind: 'path', path: '/store/one/lib/libone.so.1' }] },
];
const READER = '/store/audit.so';

const { bytes: FILE } = buildLayout({ ...PROGRAM, items: [...PROGRAM.items, { kind: 'hash' }] });

function planned(bytes: Buffer, auditModule = READER): WritePlan {
  const plan = planFile(viewOf(bytes), { entries: ENTRIES }, { auditModule });
  if (plan.kind !== 'write') assert.fail(plan.kind);
  return plan;
}

const PLAN = planned(FILE);
const RESULT = applied(FILE, PLAN);
const { image: IMAGE, source: SOURCE } = viewOf(RESULT);
const OWN = readAudit(IMAGE, SOURCE);
const STRINGS = dynamicStrings(IMAGE);
assert.ok(OWN !== undefined && STRINGS !== undefined);

/** The plan with more edits behind those of one of its commits. */
function sabotaged(
  plan: WritePlan,
  kind: Commit['kind'],
  ...more: Pick<Edit, 'offset' | 'bytes'>[]
): WritePlan {
  const extra = more.map((edit): Edit => ({ ...edit, step: 9, why: 'sabotage' }));
  const commits = plan.commits.map(commit =>
    commit.kind === kind ? { ...commit, edits: [...commit.edits, ...extra] } : commit,
  );
  return { ...plan, commits };
}

function refuses(bytes: Buffer, plan: WritePlan, why: string): void {
  assert.throws(
    () => verifyPlan(viewOf(bytes), plan),
    (error: unknown) => {
      assert.ok(error instanceof ElfnoteError && error.code === 'verify', String(error));
      assert.ok(isFault(error.message, why), `${error.message}\nis not: ${why}`);
      return true;
    },
  );
}

const word = (offset: number, value: number) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return { offset, bytes };
};

/** File offset of the value of the first dynamic entry of a tag. */
function valueAt(tag: number): number {
  const entry = IMAGE.dynamic?.entries.find(({ d_tag }) => d_tag === tag);
  assert.ok(entry !== undefined);
  return entry.offset + 8;
}

function sectionAt(name: string): number {
  const index = IMAGE.sectionHeaders.findIndex(section => section.name === name);
  return IMAGE.header.e_shoff + index * 64;
}

const slot = OWN.entry.offset;
const pathAt = STRINGS.offset + OWN.entry.d_val;
const stackHeader = IMAGE.header.e_phoff + 56 * IMAGE.programHeaders.findIndex(p => p.p_type === 0x6474e551);
const grown = IMAGE.programHeaders.findIndex(p => p.p_type === PT_LOAD);

test('a good plan passes', () => {
  verifyPlan(viewOf(FILE), PLAN);
});

const FAULTS: readonly (readonly [string, Pick<Edit, 'offset' | 'bytes'>, string])[] = [
  ['another path', { offset: pathAt + 1, bytes: Buffer.from('X') }, 'DT_AUDIT does not say what was planned'],
  ['no mark', { offset: pathAt - 2, bytes: Buffer.from('X') }, 'DT_AUDIT does not say what was planned'],
  ['an index that leads elsewhere', word(slot + 8, 1), 'DT_AUDIT does not say what was planned'],
  ['a second new entry', word(slot + 16, 21), 'the dynamic section has other entries'],
  ['an entry with another value', word(valueAt(DT_NEEDED), 13), 'the dynamic section has other entries'],
  [
    'a table that is not where it was moved to',
    word(valueAt(DT_VERSYM), 0x300),
    'the dynamic section has other entries',
  ],
  [
    'a string table elsewhere',
    word(valueAt(DT_STRTAB), STRINGS.address + 1),
    'DT_AUDIT does not say what was planned',
  ],
  [
    'a size with more in it',
    word(valueAt(DT_STRSZ), STRINGS.size + 100_000),
    'DT_AUDIT does not say what was planned',
  ],
  ['another string', { offset: STRINGS.offset + 60, bytes: Buffer.from('X') }, 'a dynamic string changed'],
  ['a section of another size', word(sectionAt('.gnu.hash') + 32, 1), 'section .gnu.hash changed'],
  ['another program header', word(stackHeader + 48, 8), 'more than one program header changed'],
  [
    'a segment that starts elsewhere',
    word(IMAGE.header.e_phoff + 56 * grown + 24, 0x1000),
    'a program header changed',
  ],
];

test('a segment that grows in memory alone is refused', () => {
  const at = IMAGE.header.e_phoff + 56 * grown + 40;
  const more = word(at, RESULT.readUInt32LE(at) + 8);
  refuses(FILE, sabotaged(PLAN, 'audit-in', more), 'what grew is no full PT_LOAD');
});

test('a new entry in the place of the last DT_NULL is refused', () => {
  const index = IMAGE.programHeaders.findIndex(p => p.p_type === PT_DYNAMIC);
  const start = IMAGE.programHeaders[index]?.p_offset ?? 0;
  const sizeAt = IMAGE.header.e_phoff + 56 * index + 32;
  for (const size of [slot + 16 - start, slot + 31 - start])
    refuses(
      FILE,
      sabotaged(PLAN, 'audit-in', word(sizeAt, size)),
      `no DT_NULL ends the dynamic section: at ${slot + 16} of ${start + size}`,
    );
});

for (const [what, edit, why] of FAULTS) {
  test(`a reader with ${what} is refused`, () => {
    refuses(FILE, sabotaged(PLAN, 'audit-in', edit), why);
  });
}

test('a change of the note, of code or of other bytes is refused', () => {
  const [note] = IMAGE.cacheNotes;
  const code = IMAGE.programHeaders.find(p => p.p_flags === RX);
  assert.ok(note !== undefined && code !== undefined);
  const entry = { offset: note.descOffset, bytes: Buffer.from('X') };
  refuses(FILE, sabotaged(PLAN, 'audit-in', entry), 'a PT_NOTE is gone');
  const other = { offset: code.p_offset + 8, bytes: Buffer.from('X') };
  refuses(
    FILE,
    sabotaged(PLAN, 'audit-in', other),
    'an edit (sabotage) touches a section that must not change',
  );
});

test('what begins in front of the path, or ends behind it, is an edit besides it', () => {
  const items = PROGRAM.items.map(item => (item.kind === 'versym' ? { ...item, gap: 64 } : item));
  const { bytes } = buildLayout({ ...PROGRAM, items });
  const plan = planned(bytes);
  const result = applied(bytes, plan);
  const { image, source } = viewOf(result);
  const next = image.sectionHeaders.find(({ name }) => name === '.gnu.version')?.sh_offset;
  const strings = dynamicStrings(viewOf(bytes).image);
  assert.ok(next !== undefined && strings !== undefined && readAudit(image, source)?.path === READER);
  const start = strings.offset + strings.size;
  for (const [from, to] of [
    [start - 1, start + 1],
    [next - 30, next + 1],
  ] as const) {
    const edit = { offset: from, bytes: result.subarray(from, to) };
    refuses(
      bytes,
      sabotaged(plan, 'audit-in', edit),
      'an edit (sabotage) touches a section that must not change',
    );
  }
});

test('the path itself may stand where something was that has moved', () => {
  const items = PROGRAM.items.flatMap(item =>
    item.kind === 'versym' ? [item, { kind: 'hash' } as const] : [item],
  );
  const { bytes } = buildLayout({ ...PROGRAM, items });
  const plan = planned(bytes);
  assert.equal(plan.inPlaceIsSafe, false);
  verifyPlan(viewOf(bytes), plan);

  const last = plan.commits.at(-1);
  const { image } = viewOf(applied(bytes, plan));
  const { image: noted } = viewOf(applied(bytes, { ...plan, commits: plan.commits.slice(0, -1) }));
  const index = image.sectionHeaders.findIndex(
    ({ name, sh_offset }, i) => name !== '.dynstr' && sh_offset !== noted.sectionHeaders[i]?.sh_offset,
  );
  const moved = image.sectionHeaders[index];
  assert.ok(last?.kind === 'audit-in' && moved !== undefined);
  const { name, sh_offset, sh_size } = moved;
  const byte = { offset: sh_offset + sh_size - 1, bytes: Buffer.from('X') };
  refuses(bytes, sabotaged(plan, 'audit-in', byte), `section ${name} has other contents in its new place`);
  const elsewhere = word(image.header.e_shoff + 64 * index + 24, sh_offset + 8);
  refuses(bytes, sabotaged(plan, 'audit-in', elsewhere), `section ${name} is not loaded`);
});

test('another cache note is refused', () => {
  const [note] = IMAGE.cacheNotes;
  assert.ok(note !== undefined);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(note.n_descsz - 4);
  const edit = { offset: note.offset + 4, bytes: size };
  refuses(FILE, sabotaged(PLAN, 'audit-in', edit), 'the cache note changed');
});

test('edits out of order are refused', () => {
  const commits = PLAN.commits.map(commit => ({ ...commit, edits: commit.edits.toReversed() }));
  refuses(FILE, { ...PLAN, commits }, 'the edits are not in commit order');
});

test('a release that leaves the reader, or takes more than that, is refused', () => {
  // Another tool has changed the size of a segment's pages, so the record does not count.
  const changed = Buffer.from(RESULT);
  changed.writeBigUInt64LE(0x2000n, IMAGE.header.e_phoff + 56 * grown + 48);
  const removal = planRemoval(viewOf(changed));
  assert.ok(removal.kind === 'write' && removal.exact === false);
  verifyPlan(viewOf(changed), removal);
  const back = { offset: slot, bytes: RESULT.subarray(slot, slot + 16) };
  const path = { offset: pathAt - 8, bytes: RESULT.subarray(pathAt - 8, pathAt + READER.length) };
  const size = word(valueAt(DT_STRSZ), STRINGS.size);
  refuses(changed, sabotaged(removal, 'audit-out', back, path, size), 'the old audit module is still there');
  const more = word(valueAt(DT_NEEDED) - 8, 21);
  refuses(changed, sabotaged(removal, 'audit-out', more), 'the dynamic section has other entries');
});

test('a release after which less is loaded is refused', () => {
  const changed = Buffer.from(RESULT);
  changed.writeBigUInt64LE(0x2000n, IMAGE.header.e_phoff + 56 * grown + 48);
  const removal = planRemoval(viewOf(changed));
  assert.ok(removal.kind === 'write');
  const sizes = IMAGE.header.e_phoff + 56 * grown + 32;
  const less = changed.readBigUInt64LE(sizes) - 1n;
  const edits = [sizes, sizes + 8].map(offset => word(offset, Number(less)));
  refuses(changed, sabotaged(removal, 'audit-out', ...edits), 'a segment loses more than notes');
});

test('a release that takes another entry, or none, is refused though the mark is gone', () => {
  const other = Buffer.from(RESULT);
  other.writeBigUInt64LE(BigInt(DT_BIND_NOW), slot + 16);
  const mark = { offset: pathAt - 1, bytes: Buffer.from('X') };
  const release = (...edits: Pick<Edit, 'offset' | 'bytes'>[]): WritePlan => {
    const all = edits.map(edit => ({ ...edit, step: 1, why: 'sabotage' }));
    const commit = { kind: 'audit-out', edits: all, size: other.length, inPlaceIsSafe: true } as const;
    return { ...PLAN, commits: [commit] };
  };
  refuses(other, release(mark), 'the dynamic section has other entries');
  refuses(other, release(mark, word(slot + 16, 0)), 'the dynamic section has other entries');
});

test('a writable segment grows only where it is the last, in the file and in memory', () => {
  const segments = PROGRAM.segments.map(segment => ({ ...segment, bss: 0 }));
  const { bytes } = buildLayout({ ...PROGRAM, segments, sections: 'none' });
  const { image } = viewOf(bytes);
  const index = image.programHeaders.findLastIndex(p => p.p_type === PT_LOAD);
  const at = image.header.e_phoff + 56 * index;
  const last = image.programHeaders[index];
  assert.ok(
    last !== undefined && (last.p_flags & PF_W) !== 0 && last.p_offset + last.p_filesz <= bytes.length,
  );
  const end = last.p_offset + last.p_filesz;
  const invariants = AUDIT.filter(({ name }) => name === 'one segment may end later');
  assert.equal(invariants.length, 1);
  const [commit] = PLAN.commits;
  assert.ok(commit !== undefined);

  /** The file where the segment has so many bytes, and as many as the file ends behind. */
  const side = (size: number, behind: number) => {
    const made = Buffer.concat([bytes.subarray(0, end), Buffer.alloc(size + behind)]);
    for (const field of [32, 40]) made.writeBigUInt64LE(BigInt(last.p_filesz + size), at + field);
    return new Side(viewOf(made));
  };
  const grow = (behind: number) =>
    refuseFaults('', invariants, { before: side(0, behind), after: side(16, behind), commit, plan: PLAN });
  grow(0);
  assert.throws(() => grow(4), /a segment grew that is not read-only data: /);
});

test('a section that moves and is as large as the string table keeps its size', () => {
  const sizeOf = (bytes: Buffer, wanted: string) =>
    viewOf(bytes).image.sectionHeaders.find(({ name }) => name === wanted)?.sh_size ?? assert.fail(wanted);
  const large = sizeOf(FILE, '.dynstr');
  const pins = Array.from(
    { length: (large - sizeOf(FILE, '.gnu.version')) / 2 },
    () => ({ target: 'interp', by: 'symbol' }) as const,
  );
  const { bytes } = buildLayout({ ...PROGRAM, items: [...PROGRAM.items, { kind: 'hash' }], pins });
  assert.deepEqual([sizeOf(bytes, '.gnu.version'), sizeOf(bytes, '.dynstr')], [large, large]);
  const plan = planned(bytes);
  verifyPlan(viewOf(bytes), plan);
  const result = applied(bytes, plan);
  assert.equal(sizeOf(result, '.gnu.version'), large);
  assert.ok(sizeOf(result, '.dynstr') > large);
  const [was, is] = [bytes, result].map(
    file => viewOf(file).image.sectionHeaders.find(({ name }) => name === '.gnu.version')?.sh_addr,
  );
  assert.notEqual(is, was);
});
