import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { alignUp, Encoding, largest } from '../../../src/elf/bytes.js';
import { DT_AUDIT, DT_STRSZ, PT_LOAD } from '../../../src/elf/constants.js';
import { dynamicStrings, readAudit } from '../../../src/elf/dt-audit.js';
import { PHDR } from '../../../src/elf/structs.js';
import { ElfnoteError } from '../../../src/errors.js';
import { planAudit } from '../../../src/layout/dt-audit/edit.js';
import { releaseAudit } from '../../../src/layout/dt-audit/release.js';
import type { PlanOptions, WritePlan } from '../../../src/layout/model/plan.js';
import { planFile, planRemoval } from '../../../src/layout/plan-file.js';
import type { CacheEntry } from '../../../src/note/cache.js';
import { ownNotesBehind } from '../../../src/note/own.js';
import { WROTE_AT } from '../../../src/note/undo.js';
import { verifyPlan } from '../../../src/write/verify-plan.js';
import { EXTENT, OTHER_SEED } from '../../support/extent.js';
import { type BuiltLayout, buildLayout, type ItemSpec, PROGRAM, RW } from '../../support/layout-builder.js';
import { judgePrefix } from '../../support/layout-oracle.js';
import { applied, halfway, viewOf } from '../../support/plans.js';

fc.configureGlobal({ seed: Number(process.env.FC_SEED ?? 20261121 + OTHER_SEED) });

const ENTRIES: readonly CacheEntry[] = [
  { soname: 'libone.so.1', steps: [{ kind: 'path', path: '/store/one/lib/libone.so.1' }] },
];
const READER = '/store/auditModule/lib/audit.so';
const LITTLE = new Encoding(true, true);
const PT_GNU_STACK = 0x6474e551;

/** The items without some, and with more room for the string behind others. */
function items(change: (item: ItemSpec) => readonly ItemSpec[]): readonly ItemSpec[] {
  return PROGRAM.items.flatMap(change);
}

function planned(
  bytes: Buffer,
  options: PlanOptions = { auditModule: READER },
  entries = ENTRIES,
): WritePlan {
  const plan = planFile(viewOf(bytes), { entries }, options);
  if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
  verifyPlan(viewOf(bytes), plan);
  return plan;
}

function audit(bytes: Buffer): string | undefined {
  const { image, source } = viewOf(bytes);
  return readAudit(image, source)?.path;
}

function removed(bytes: Buffer): Buffer {
  const plan = planRemoval(viewOf(bytes));
  if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
  assert.ok(plan.exact);
  verifyPlan(viewOf(bytes), plan);
  return applied(bytes, plan);
}

/** What the reader's own commit copies to another place. */
function movedFor(plan: WritePlan): string | undefined {
  const change = plan.commits.find(({ kind }) => kind === 'audit-in');
  return change?.edits.find(({ why }) => why.startsWith('copy of '))?.why.slice('copy of '.length);
}

describe('where the path stands', () => {
  test('bytes behind the string table that nothing describes are taken first', () => {
    const roomy = items(item => [item.kind === 'versym' ? { ...item, gap: 64 } : item]);
    const { bytes } = buildLayout({ ...PROGRAM, items: roomy });
    const plan = planned(bytes);
    assert.equal(movedFor(plan), undefined);
    assert.equal(plan.inPlaceIsSafe, true);
    assert.equal(audit(applied(bytes, plan)), READER);
    assert.deepEqual(removed(applied(bytes, plan)), bytes);
  });

  test('else the segment grows that the string table ends', () => {
    const others = items(item => (item.kind === 'dynstr' ? [] : [item]));
    const { bytes } = buildLayout({ ...PROGRAM, items: [...others, { kind: 'dynstr' }] });
    const commit = planAudit(viewOf(bytes), READER);
    assert.ok(commit !== undefined);
    assert.ok(commit.edits.every(({ why }) => !why.startsWith('copy of ')));
    const result = applied(bytes, { commits: [commit] });
    assert.equal(audit(result), READER);
    const { image } = viewOf(result);
    const [first] = image.programHeaders.filter(p => p.p_type === PT_LOAD);
    const strings = dynamicStrings(image);
    assert.ok(first !== undefined && strings !== undefined);
    assert.equal(first.p_offset + first.p_filesz, strings.offset + strings.size);
    assert.equal(first.p_memsz, first.p_filesz);
  });

  test('bytes that are not zero are not free', () => {
    const filled = items(item => [item.kind === 'versym' ? { ...item, gap: 35, fill: 7 } : item]);
    assert.notEqual(movedFor(planned(buildLayout({ ...PROGRAM, items: filled }).bytes)), undefined);
  });

  test('else the tables behind it move, and a file that may be running is replaced', () => {
    const many = {
      ...PROGRAM,
      items: items(item => (item.kind === 'versym' ? [item, { kind: 'hash' }] : [item])),
    };
    const { bytes } = buildLayout(many);
    const plan = planned(bytes);
    assert.equal(movedFor(plan), '.gnu.version, .hash');
    assert.equal(plan.inPlaceIsSafe, false);
    assert.deepEqual(removed(applied(bytes, plan)), bytes);
  });

  test('else the string table itself moves, in a file that may be loaded anywhere', () => {
    const tight = items(item => (item.kind === 'versym' ? [] : [item]));
    const { bytes } = buildLayout({ ...PROGRAM, items: tight });
    const plan = planned(bytes);
    assert.equal(movedFor(plan), '.dynstr');
    assert.equal(plan.inPlaceIsSafe, true);
    // What a running program asks for may only lead to the copy when that is there.
    const [first, ...later] = plan.commits.find(({ kind }) => kind === 'audit-in')?.edits ?? [];
    assert.equal(first?.why, 'copy of .dynstr');
    const pointers = later.filter(({ why }) => why.startsWith('dynamic entry 0x5'));
    assert.ok(pointers.length > 0 && pointers.every(({ step }) => step > first.step));
    assert.deepEqual(removed(applied(bytes, plan)), bytes);
    const fixed = buildLayout({ ...PROGRAM, items: tight, type: 2, base: 0x400000 });
    assert.throws(() => planned(fixed.bytes), /no segment has room for its path/);
  });

  test('what something points into does not move', () => {
    const pinned = buildLayout({ ...PROGRAM, pins: [{ target: 'versym', by: 'symbol' }] });
    assert.equal(movedFor(planned(pinned.bytes)), '.dynstr');
    const both = buildLayout({
      ...PROGRAM,
      pins: [
        { target: 'versym', by: 'symbol' },
        { target: 'dynstr', by: 'symbol' },
      ],
    });
    assert.throws(() => planned(both.bytes), /no segment has room for its path/);
  });

  test('where no slack holds what moves, the note gets a segment of its own with room behind it', () => {
    const narrow = PROGRAM.segments.map(segment => ({ ...segment, gap: 0, padded: false }));
    const { bytes } = buildLayout({ ...PROGRAM, segments: narrow, tableGap: 200 });
    const plan = planned(bytes);
    assert.equal(plan.rung.note, 'tail');
    assert.equal(audit(applied(bytes, plan)), READER);
    assert.deepEqual(removed(applied(bytes, plan)), bytes);
  });
});

describe('a last segment that is writable, as patchelf adds one', () => {
  const LAST = { bss: 0, behind: 0, above: 0 };

  /** No other place has room for the path. The last segment holds the section headers. */
  function layout(options: Partial<typeof LAST> = {}): Buffer {
    const { bss, behind, above } = { ...LAST, ...options };
    const segments = PROGRAM.segments.map(segment => ({ ...segment, gap: 0, padded: false }));
    const tight = items(item => (item.kind === 'versym' ? [] : [item]));
    const built = buildLayout({ ...PROGRAM, items: tight, segments, nulls: 2, nullsLast: true }).bytes;
    const { header, programHeaders, sectionHeaders } = viewOf(built).image;
    const size = sectionHeaders.length * 64;
    const offset = alignUp(built.length, 0x1000);
    const top = largest(programHeaders.map(p => p.p_vaddr + p.p_memsz));
    const bytes = Buffer.concat([built, Buffer.alloc(offset - built.length + size + behind, 0)]);
    built.copy(bytes, offset, header.e_shoff, header.e_shoff + size);
    bytes.fill(0, header.e_shoff, header.e_shoff + size);
    bytes.writeBigUInt64LE(BigInt(offset), 40);
    const put = (index: number, p_type: number, p_vaddr: number, p_filesz: number, p_memsz: number) => {
      const place = { p_offset: offset, p_vaddr, p_paddr: p_vaddr, p_filesz, p_memsz, p_align: 0x1000 };
      PHDR.put(LITTLE, bytes, header.e_phoff + index * 56, { p_type, p_flags: RW, ...place });
    };
    const address = alignUp(top, 0x1000);
    const stack = programHeaders.findIndex(p => p.p_type === PT_GNU_STACK);
    put(stack, PT_GNU_STACK, address, size, size);
    put(programHeaders.length - 2, PT_LOAD, address, size, size + bss);
    if (above > 0) put(programHeaders.length - 1, PT_LOAD, address + above, size - 8, size - 8);
    return bytes;
  }

  const commitOf = (bytes: Buffer) => planAudit(viewOf(bytes), READER);

  test('grows over the end of the file', () => {
    const bytes = layout();
    const commit = commitOf(bytes);
    assert.ok(commit !== undefined && commit.size > bytes.length);
    const result = applied(bytes, { commits: [commit] });
    assert.equal(audit(result), READER);
    const grown = viewOf(result).image.programHeaders.findLast(p => p.p_type === PT_LOAD);
    assert.equal((grown?.p_offset ?? 0) + (grown?.p_filesz ?? 0), result.length);
    assert.equal(grown?.p_memsz, grown?.p_filesz);
  });

  test('does not where .bss ends it, something stands behind it, or a segment above it', () => {
    assert.equal(commitOf(layout({ bss: 8 })), undefined);
    assert.equal(commitOf(layout({ behind: 1 })), undefined);
    assert.equal(commitOf(layout({ above: 0x1000 })), undefined);
  });
});

describe('what is refused', () => {
  const cannot = (bytes: Buffer, why: RegExp) =>
    assert.throws(
      () => planned(bytes),
      (error: unknown) =>
        error instanceof ElfnoteError && error.code === 'unsupported' && why.test(error.message),
    );

  /** The file offset of the first `DT_NULL`, and of the end of the section. */
  function dynamicOf(built: BuiltLayout): { end: number; sectionEnd: number } {
    const entries = viewOf(built.bytes).image.dynamic?.entries ?? [];
    const sectionEnd = built.claims.find(({ name }) => name === '.dynamic')?.end ?? 0;
    return { end: (entries.at(-1)?.offset ?? 0) + 16, sectionEnd };
  }

  test('a dynamic section without a spare entry', () => {
    const built = buildLayout(PROGRAM);
    const { end, sectionEnd } = dynamicOf(built);
    for (let at = end; at + 16 < sectionEnd; at += 16) built.bytes.writeBigUInt64LE(21n, at);
    cannot(built.bytes, /its dynamic section has no spare entry/);
    built.bytes.writeBigUInt64LE(0n, sectionEnd - 32);
    assert.equal(audit(applied(built.bytes, planned(built.bytes))), READER, 'one is enough');
  });

  test('an entry whose value could not be put back', () => {
    const built = buildLayout(PROGRAM);
    const { end } = dynamicOf(built);
    built.bytes.writeBigUInt64LE(1n, end + 8);
    cannot(built.bytes, /its dynamic section has no spare entry/);
    built.bytes.writeBigUInt64LE(0n, end + 8);
    built.bytes.writeBigUInt64LE(1n, end + 24);
    const edited = applied(built.bytes, planned(built.bytes));
    assert.deepEqual(removed(edited), built.bytes, 'the one that ends the table may have any');
  });

  test('a DT_AUDIT of somebody else, by its name', () => {
    const built = buildLayout(PROGRAM);
    const { end } = dynamicOf(built);
    built.bytes.writeBigUInt64LE(BigInt(DT_AUDIT), end);
    built.bytes.writeBigUInt64LE(1n, end + 8);
    cannot(built.bytes, /its DT_AUDIT names another audit module \(.+\)$/);
  });

  test('section headers that say something else, or nothing', () => {
    cannot(
      buildLayout({ ...PROGRAM, sections: 'none' }).bytes,
      /its dynamic section has no spare entry|no section header/,
    );
  });
});

describe('an audit module that is older than the record', () => {
  const NEWER: readonly CacheEntry[] = [
    { soname: 'libone.so.1', steps: [{ kind: 'path', path: '/store/newer/lib/libone.so.1' }] },
  ];

  /** A tool that comes later has made the record of note and reader void, and the note of the next run kept the reader. */
  function withOlderReader(): Buffer {
    const { bytes } = buildLayout(PROGRAM);
    const first = applied(bytes, planned(bytes));
    const { image, source } = viewOf(first);
    const [note] = image.cacheNotes;
    const record = note && ownNotesBehind(image, source, note)[0];
    assert.ok(record !== undefined);
    first.writeUInt8(first.readUInt8(record.descOffset + WROTE_AT) ^ 1, record.descOffset + WROTE_AT);
    const second = planned(first, {}, NEWER);
    assert.ok(!second.exact && second.hasRecord && second.auditModule === READER);
    return applied(first, second);
  }

  test('stays where the note is written anew', () => {
    const plan = planned(withOlderReader(), {});
    assert.equal(plan.auditModule, READER);
    const kinds = plan.commits.map(({ kind }) => kind);
    assert.ok(kinds.includes('note') && kinds.every(kind => !kind.startsWith('audit')), kinds.join());
    assert.equal(audit(applied(withOlderReader(), plan)), READER);
  });

  test('makes way for another', () => {
    const edited = applied(withOlderReader(), planned(withOlderReader(), { auditModule: '/other.so' }));
    assert.equal(audit(edited), '/other.so');
  });

  test('goes with the note, and nobody says that every old byte is back', () => {
    const plan = planRemoval(viewOf(withOlderReader()));
    if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
    verifyPlan(viewOf(withOlderReader()), plan);
    assert.equal(plan.exact, false);
    assert.equal(audit(applied(withOlderReader(), plan)), undefined);
  });

  test('goes where there is nothing to record any more, also if it is asked for', () => {
    for (const options of [{}, { auditModule: READER }, { auditModule: '/other.so' }]) {
      const bare = applied(withOlderReader(), planned(withOlderReader(), options, []));
      assert.equal(audit(bare), undefined);
    }
  });

  test('is refused where the plan would leave one that it does not know', () => {
    const plan = planRemoval(viewOf(withOlderReader()));
    if (plan.kind !== 'write') assert.fail(`got no plan but ${plan.kind}`);
    const commits = plan.commits.filter(({ kind }) => kind === 'undo');
    assert.throws(
      () => verifyPlan(viewOf(withOlderReader()), { ...plan, commits }),
      /the old audit module is still there/,
    );
  });
});

describe('an audit module that no record covers', () => {
  test('is taken out, and the string table is cut where nothing was added since', () => {
    const roomy = items(item => [item.kind === 'versym' ? { ...item, gap: 64 } : item]);
    const { bytes } = buildLayout({ ...PROGRAM, items: roomy });
    const made = applied(bytes, planned(bytes));
    const whys = (bytes: Buffer) => releaseAudit(viewOf(bytes))?.edits.map(({ why }) => why);
    const taken = ['DT_AUDIT is taken out', 'bytes of the audit module'];
    const [entry, text, ...sizes] = whys(made) ?? [];
    assert.deepEqual([[entry, text], sizes.length], [taken, 2]);

    const { image } = viewOf(made);
    const table = dynamicStrings(image);
    const size = image.dynamic?.entries.find(({ d_tag }) => d_tag === DT_STRSZ);
    const index = image.sectionHeaders.findIndex(({ name }) => name === '.dynstr');
    assert.ok(table !== undefined && size !== undefined && index > 0);
    const more = Buffer.from(made);
    for (const at of [size.offset + 8, image.header.e_shoff + 64 * index + 32])
      more.writeBigUInt64LE(BigInt(table.size + 4), at);
    assert.deepEqual(whys(more), taken);
  });

  test('is none where there is no DT_AUDIT', () => {
    assert.equal(releaseAudit(viewOf(buildLayout(PROGRAM).bytes)), undefined);
  });
});

test('a file without PT_INTERP gets a note and no reader', () => {
  const { bytes } = buildLayout({
    ...PROGRAM,
    phdr: false,
    items: items(item => (item.kind === 'interp' ? [] : [item])),
  });
  const plan = planned(bytes);
  assert.deepEqual(
    plan.commits.map(({ kind }) => kind),
    ['note'],
  );
  assert.equal(audit(applied(bytes, plan)), undefined);
});

test('in any layout the path is written right or refused, each write leaves a good file, and removal undoes all', () => {
  const spec = fc
    .record({
      is64: fc.boolean(),
      littleEndian: fc.boolean(),
      type: fc.constantFrom(2, 3),
      tableGap: fc.constantFrom(0, 0, 60, 200),
      stringGap: fc.nat({ max: 90 }),
      hash: fc.boolean(),
      versym: fc.boolean(),
      gap: fc.nat({ max: 1200 }),
      symtab: fc.boolean(),
      auditModule: fc.nat({ max: 300 }).map(length => `/${'r'.repeat(length)}`),
    })
    .map(({ is64, littleEndian, type, tableGap, stringGap, hash, versym, gap, symtab, auditModule }) => {
      const machine = is64 ? 62 : 3;
      const own = items(item => {
        if (item.kind === 'versym' && !versym) return hash ? [{ kind: 'hash' }] : [];
        if (item.kind === 'versym')
          return [{ ...item, gap: stringGap }, ...(hash ? [{ kind: 'hash' as const }] : [])];
        return [item];
      });
      const [code, data] = PROGRAM.segments;
      const segments = code && data ? [{ ...code, gap }, data] : [];
      const base = type === 2 ? 0x400000 : 0;
      const layout = {
        ...PROGRAM,
        is64,
        littleEndian,
        machine,
        type,
        base,
        tableGap,
        symtab,
        items: own,
        segments,
      };
      return { layout, auditModule };
    });
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(spec, ({ layout, auditModule }) => {
      const built = buildLayout(layout);
      const plan = attempt(() => planned(built.bytes, { auditModule }));
      const kind = plan === undefined ? 'refused' : (movedFor(plan) ?? 'nothing');
      seen.set(kind, (seen.get(kind) ?? 0) + 1);
      if (plan === undefined) return;
      const edited = applied(built.bytes, plan);
      assert.equal(audit(edited), auditModule);
      const longer = { auditModule: `${auditModule}2` };
      const fresh = attempt(() => applied(built.bytes, planned(built.bytes, longer)));
      const updated = attempt(() => applied(edited, planned(edited, longer)));
      const bare = removed(edited);
      assert.deepEqual(bare, built.bytes);
      assert.deepEqual(updated, fresh, 'an update differs');
      for (const { bytes, after } of [...halfway(built.bytes, plan)].slice(0, -1)) {
        assert.deepEqual(viewOf(bytes).image.dynamic?.needed, built.needed);
        assert.equal(audit(bytes), undefined, `after ${after}`);
        if (!plan.inPlaceIsSafe) continue;
        judgePrefix(built, bytes);
        assert.deepEqual(applied(bytes, planned(bytes, { auditModule })), edited, `a run after ${after}`);
      }
    }),
    { numRuns: EXTENT.auditedLayouts, includeErrorInReport: true },
  );
  for (const kind of ['nothing', '.gnu.version', '.gnu.version, .hash', '.dynstr', 'refused']) {
    assert.ok((seen.get(kind) ?? 0) > 0, `no layout led to ${kind}: ${JSON.stringify([...seen])}`);
  }
});

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof ElfnoteError && error.code === 'unsupported') return undefined;
    throw error;
  }
}
