import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as api from '../src/index.js';

test('the public API exports these values and no others', () => {
  assert.deepEqual(Object.keys(api).sort(), [
    'ElfnoteError',
    'Encoding',
    'FileSystemProbe',
    'annotateTree',
    'buildCache',
    'cleanTree',
    'closureOf',
    'decodeDescriptor',
    'displayBytes',
    'encodeDescriptor',
    'encodeNote',
    'judgePath',
    'readNote',
    'removeCache',
    'resolveFile',
    'traceFile',
    'verifyFile',
    'verifyTree',
  ]);
});
