import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BufferSource } from '../../../src/elf/bytes.js';
import { Study } from '../../../src/layout/rungs/study.js';
import { image, program } from '../../support/image.js';

test('a file is studied once, and anew with other bytes or another image', () => {
  const bytes = Buffer.alloc(0x1000);
  const [source, other] = [new BufferSource(bytes), new BufferSource(bytes)];
  const of = () => image({ size: bytes.length, programHeaders: [program({ p_filesz: 0x800 })] });
  const file = of();
  const study = Study.of(file, source);
  assert.equal(Study.of(file, source), study);
  assert.ok(Study.has(file));
  const anew = Study.of(file, other);
  assert.notEqual(anew, study);
  assert.equal(anew.source, other);
  const second = of();
  assert.ok(!Study.has(second));
  assert.notEqual(Study.of(second, other), anew);
});
