import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import { DT_AUDIT } from '../../src/elf/constants.js';
import {
  AUDIT_MARK,
  badModulePath,
  dynamicStrings,
  ownAuditModule,
  readAudit,
} from '../../src/elf/dt-audit.js';
import { readImage } from '../../src/elf/read.js';
import { buildElf } from '../support/elf-builder.js';
import { ENCODINGS, pokerFor } from '../support/elf-file.js';

const PATH = '/store/reader/audit.so';

for (const { name, is64, littleEndian } of ENCODINGS) {
  describe(`DT_AUDIT in ${name}`, () => {
    /** The names of the libraries are strings like any other, so one of them is taken for the module's. */
    function read(needed: readonly string[], d_val?: number) {
      const { bytes } = buildElf({ is64, littleEndian, needed });
      const entries = readImage(new BufferSource(bytes)).dynamic?.entries ?? [];
      const last = entries.findLast(({ d_tag }) => d_tag === 1);
      assert.ok(last !== undefined);
      const put = pokerFor(bytes, is64, littleEndian);
      put.word(last.offset, DT_AUDIT);
      if (d_val !== undefined) put.word(last.offset + (is64 ? 8 : 4), d_val);
      const source = new BufferSource(bytes);
      const image = readImage(source);
      return {
        audit: readAudit(image, source),
        own: ownAuditModule(image, source),
        strings: dynamicStrings(image),
      };
    }

    test('the path is read from the dynamic string table', () => {
      const { audit, own } = read(['libone.so', PATH]);
      assert.equal(audit?.path, PATH);
      assert.equal(audit?.own, false);
      assert.equal(own, undefined);
    });

    test("the mark in front of it makes it elfnote's", () => {
      const { own } = read([AUDIT_MARK.slice(0, -1), PATH]);
      assert.equal(own, PATH);
    });

    test('the end of another string is no mark', () => {
      assert.equal(read([`x${AUDIT_MARK.slice(0, -1)}`, PATH]).own, undefined);
    });

    test('an index beyond the table has no path', () => {
      const { strings } = read(['libone.so', PATH]);
      const size = strings?.size ?? 0;
      assert.ok(size > 0);
      assert.deepEqual(read(['libone.so', PATH], size).audit?.path, undefined);
      assert.equal(read(['libone.so', PATH], 2 ** 31).audit?.own, false);
    });
  });
}

test('a file without DT_AUDIT has no reader', () => {
  const source = new BufferSource(buildElf().bytes);
  assert.equal(readAudit(readImage(source), source), undefined);
  assert.equal(ownAuditModule(readImage(source), source), undefined);
});

test('a path that ld.so would not load by this name is no good', () => {
  assert.equal(badModulePath(PATH), undefined);
  assert.equal(badModulePath(`/${'a'.repeat(253)}`), undefined);
  for (const path of ['', 'audit.so', './audit.so', '/a:b', '/$ORIGIN/a', '/a\0b', `/${'a'.repeat(254)}`])
    assert.notEqual(badModulePath(path), undefined, path.slice(0, 10));
});
