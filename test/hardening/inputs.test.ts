/** A sample of `npm run hardening`'s hostile files; test/corrupt names the check that each kind of poke must hit. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fieldsOf, poked, pokesOf } from '../../scripts/hardening/fields.js';
import { type InputCounts, noInputs, Subject, truncations } from '../../scripts/hardening/inputs.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import { FIXTURES, ROOT } from '../support/cli.js';
import { memoryDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const NAMES = ['pie-bfd', 'libuse-mold.so', 'nopie-lld', 'rpath', 'nosections'];

/** A prime: other fields and values of each fixture. */
const STRIDE = 89;

/** Of those that the verifier has to refuse, plans that should not have been made. */
const refusedOf = ({ refusals }: InputCounts) =>
  [...refusals.values()].reduce((sum, { count }) => sum + count, 0);

describe('a hostile file', { skip: needs('readelf') }, () => {
  const subjectIn = (t: { after(hook: () => void): void }, counts: InputCounts) =>
    new Subject(join(memoryDir(t), 'subject'), { probe: new FileSystemProbe(ROOT) }, counts);
  const bytesOf = (name: string) => readFileSync(join(FIXTURES, 'kinds', name));

  test('with one field poked is written soundly or left alone', t => {
    const counts = noInputs();
    const subject = subjectIn(t, counts);
    let count = 0;
    for (const name of NAMES) {
      const bytes = bytesOf(name);
      for (const field of fieldsOf(bytes)) {
        for (const value of pokesOf(bytes, field)) {
          if (count++ % STRIDE === 0)
            subject.try(poked(bytes, field, value), `${name}: ${field.name} = ${value}`);
        }
      }
    }
    assert.deepEqual(counts.wrong, []);
    assert.ok(counts.inputs > 150 && counts.removed > 50 && (counts.outcomes.get('malformed') ?? 0) > 10);
    assert.ok(refusedOf(counts) <= counts.inputs / 200, [...counts.refusals.keys()].join('; '));
  });

  test('that is cut off is refused, and stays as it is', t => {
    const counts = noInputs();
    const subject = subjectIn(t, counts);
    for (const name of NAMES) {
      for (const cut of truncations(bytesOf(name), 331)) subject.try(cut, `${name} cut at ${cut.length}`);
    }
    assert.deepEqual(counts.wrong, []);
    assert.equal(counts.outcomes.get('written'), undefined);
    assert.ok(counts.inputs > 150);
  });
});
