import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BufferSource } from '../../src/elf/bytes.js';
import { readImage } from '../../src/elf/read.js';
import { withFile } from '../../src/files/source.js';
import { dlopenSonames, readDlopenRequests } from '../../src/note/dlopen.js';
import { runOk } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** A library with such notes, as the macro of systemd's sd-dlopen.h makes them. */
function libraryWith(dir: string, notes: readonly string[], owner = 'FDO', type = '0x407c0c0a'): string {
  const source = notes.map((json, i) => {
    const text = JSON.stringify(json);
    return `__attribute__((used, section(".note.dlopen"), aligned(4))) static const struct {
  unsigned namesz, descsz, type; char name[sizeof ${JSON.stringify(owner)}];
  __attribute__((aligned(4))) char json[sizeof ${text}];
} note${i} = {sizeof ${JSON.stringify(owner)}, sizeof ${text}, ${type}, ${JSON.stringify(owner)}, ${text}};`;
  });
  const file = join(dir, 'lib.c');
  writeFileSync(file, source.join('\n'));
  runOk('gcc', ['-shared', '-fPIC', file, '-o', join(dir, 'lib.so')]);
  return join(dir, 'lib.so');
}

const requestsOf = (path: string) => withFile(path, source => readDlopenRequests(readImage(source), source));

describe('what an object declares to dlopen', { skip: needs('gcc') }, () => {
  test('each note has a list, and each element alternatives, a feature and a priority', t => {
    const path = libraryWith(tempDir(t), [
      '[{"soname":["libz.so.1"],"feature":"zlib","description":"gzip","priority":"suggested"}]',
      '[{"soname":["libbpf.so.1","libbpf.so.0"]},{"soname":["libz.so.1"]}]',
    ]);
    const requests = requestsOf(path);
    assert.deepEqual(
      requests.map(({ sonames, priority }) => [...sonames, priority]),
      [
        ['libz.so.1', 'suggested'],
        ['libbpf.so.1', 'libbpf.so.0', 'recommended'],
        ['libz.so.1', 'recommended'],
      ],
    );
    assert.equal(requests[0]?.feature, 'zlib');
    assert.deepEqual(dlopenSonames(requests), ['libz.so.1', 'libbpf.so.1', 'libbpf.so.0']);
  });

  test('what is no list of sonames is passed over, and so is a note of another owner or type', t => {
    const dir = tempDir(t);
    const good = '[{"soname":["liba.so"]}]';
    const bad = ['{', '{"soname":["x"]}', '[1,null,{"soname":"x"},{"soname":[]},{"soname":[1,""]}]'];
    assert.deepEqual(dlopenSonames(requestsOf(libraryWith(dir, [...bad, good]))), ['liba.so']);
    assert.deepEqual(requestsOf(libraryWith(dir, [good], 'FDX')), []);
    assert.deepEqual(requestsOf(libraryWith(dir, [good], 'FDO', '0x407c0c0b')), []);
  });

  test('a damaged note is no error: no byte of the notes can be set so that reading throws', t => {
    const path = libraryWith(tempDir(t), ['[{"soname":["liba.so"]}]']);
    const bytes = withFile(path, source => Buffer.from(source.read(0, source.size)));
    const at = bytes.indexOf('FDO\0') - 12;
    assert.ok(at > 0);
    for (let i = 0; i < 60; i++) {
      for (const value of [0, 1, 0x7f, 0xff]) {
        const damaged = Buffer.from(bytes);
        damaged[at + i] = value;
        const source = new BufferSource(damaged);
        assert.ok(Array.isArray(readDlopenRequests(readImage(source), source)));
      }
    }
  });
});
