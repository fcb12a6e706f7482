import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FIXTURES, ROOT } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { library } from '../support/tree.js';

// Plain JavaScript: by a name that the compiler does not follow.
const calls: unknown = await import(join(import.meta.dirname, 'calls.mjs'));

function refusedCalls(): [call: () => unknown, message: string][] {
  assert.ok(typeof calls === 'object' && calls !== null && 'refused' in calls);
  assert.ok(typeof calls.refused === 'function');
  return calls.refused(library);
}

/** The options of a call with something wrong in them, as plain JavaScript would give them. */
function untyped(text: string): object {
  const value: unknown = JSON.parse(text);
  assert.ok(typeof value === 'object' && value !== null);
  return value;
}

describe('a call that plain JavaScript gets wrong is a usage error before anything is opened', () => {
  for (const [call, message] of refusedCalls()) {
    test(message.slice(0, 120), () => {
      assert.throws(call, (error: unknown) => {
        assert.ok(error instanceof library.ElfnoteError, String(error));
        assert.deepEqual([error.code, error.message], ['usage', message]);
        assert.match(error.line, /^\P{Cc}+$/u);
        return true;
      });
    });
  }

  test('every function and class of the API has such a call', () => {
    const texts = refusedCalls().map(([call]) => String(call));
    const others = Object.keys(library).filter(name => !texts.some(text => text.includes(`${name}(`)));
    // `ElfnoteError` is made by elfnote; nothing depends on what it is given.
    assert.deepEqual(
      others.filter(name => !texts.some(text => text.includes(`.map(${name})`))),
      ['ElfnoteError'],
    );
  });
});

test('an option that is misspelt writes nothing', t => {
  const file = join(tempDir(t), 'pie-bfd');
  copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
  const before = readFileSync(file);
  assert.throws(() => library.buildCache(file, { root: ROOT, ...untyped('{"dryrun": true}') }));
  assert.ok(readFileSync(file).equals(before));
});

test('what is right passes: every option, an own probe, the entries that resolveFile gives', async t => {
  const dir = tempDir(t);
  const file = join(dir, 'pie-bfd');
  copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), file);
  const probe = new library.FileSystemProbe(ROOT);
  const own = {
    directory: (path: string) => probe.directory(path),
    names: (path: string) => probe.names(path),
    candidate: (path: string) => probe.candidate(path),
    realPath: (path: string) => probe.realPath(path),
  };
  const { entries } = library.resolveFile(file, { probe: own });
  const encoding = new library.Encoding(true, true);
  const note = library.encodeNote(entries, encoding);
  assert.ok(note.includes('libgreet.so.1\0=/'));
  const written = library.buildCache(file, {
    probe: own,
    root: ROOT,
    storeDirs: undefined,
    dryRun: false,
    placement: 'auto',
    moveTable: false,
    strict: false,
  });
  assert.equal(written.action, 'written');
  const found = library.readNote(file);
  assert.ok(found);
  assert.deepEqual(library.encodeDescriptor(found.entries), found.descriptor);
  assert.deepEqual(library.decodeDescriptor(found.descriptor), found.entries);
  assert.ok(library.encodeNote(found.entries, found.image.encoding).equals(note));
  const outcomes = [];
  const { signal } = new AbortController();
  for await (const { action } of library.cleanTree([dir], { signal, include: ['*'] })) outcomes.push(action);
  assert.deepEqual(outcomes, ['written']);
});
