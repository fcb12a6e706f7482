import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromWire, toWire } from '../../src/batch/wire.js';
import { ElfnoteError } from '../../src/errors.js';
import { type FileOutcome, failedOutcome, skippedOutcome } from '../../src/outcome.js';

/** As a message between threads. */
const passed = (outcome: FileOutcome): FileOutcome => fromWire(structuredClone(toWire(outcome)));

test('a failure arrives as an error with code, message, path and offset', () => {
  const error = new ElfnoteError('malformed', 'e_phnum is wrong', {
    path: '/a',
    offset: 56,
    cause: new Error('inner'),
  });
  const arrived = passed(failedOutcome('/a', error));
  assert.ok(arrived.action === 'failed' && arrived.error instanceof ElfnoteError);
  assert.equal(arrived.error.line, '/a: e_phnum is wrong (at offset 56)');
  assert.equal(arrived.error.code, 'malformed');
});

test('edits arrive with Buffers, which show as hexadecimal digits', () => {
  const outcome: FileOutcome = {
    path: '/a',
    action: 'planned',
    resolution: undefined,
    warnings: [],
    bytesAdded: 0,
    plan: {
      rung: { note: 'slack', table: 'free' },
      size: 1,
      addedLoads: 0,
      moved: [],
      hasSection: true,
      hasRecord: true,
      exact: undefined,
      whyRemoved: undefined,
    },
    edits: [{ offset: 3, bytes: Buffer.from('beef', 'hex'), step: 1, why: 'test' }],
  };
  const arrived = passed(outcome);
  assert.deepEqual(arrived, outcome);
  assert.ok(arrived.action === 'planned');
  assert.equal(arrived.edits[0]?.bytes.toString('hex'), 'beef');
});

test('anything else arrives as it is', () => {
  const outcome = skippedOutcome('/a', 'not-elf', 'is not an ELF file');
  assert.deepEqual(passed(outcome), outcome);
});
