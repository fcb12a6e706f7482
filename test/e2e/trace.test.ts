import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, type TestContext, test } from 'node:test';
import { type TraceOptions, traceFile } from '../../src/loader/trace.js';
import { listedObjects, straceLoader, tracedCalls, tracedObjects } from '../support/loader-calls.js';
import { annotateStore, makePackageStore } from '../support/package-store.js';
import { buildReader, needsTracing } from '../support/reader.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { unavailable } from '../support/tools.js';

/** Programs as Debian has them: where they may be, and arguments with which they start and soon end. */
const PROGRAMS: readonly [name: string, places: readonly string[], args: readonly string[]][] = [
  ['git', ['/usr/bin/git'], ['--version']],
  ['curl', ['/usr/bin/curl'], ['--version']],
  ['convert', ['/usr/bin/convert-im6.q16', '/usr/bin/magick'], ['--version']],
  ['gdb', ['/usr/bin/gdb'], ['--version']],
];

/** The same paths opened, in the same order; the same failing calls; and the same objects. */
function assertTraced(
  t: TestContext,
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: TraceOptions = {},
): void {
  const trace = traceFile(program, { libraryPath: env.LD_LIBRARY_PATH, ...options });
  const [seen, traced] = [straceLoader(tempDir(t), program, args, env), tracedCalls(trace)];
  assert.ok(seen.opened.length > 1, 'the loader opened nothing');
  assert.deepEqual(traced.opened, seen.opened);
  assert.deepEqual(traced.failed, seen.failed);
  const opens = seen.failed.filter(call => call.startsWith('open ')).length;
  assert.deepEqual(trace.counts, { opens, stats: seen.failed.length - opens });
  assert.deepEqual(tracedObjects(trace), listedObjects(program, env));
  t.diagnostic(`${seen.opened.length} opened, ${opens} failing opens, ${trace.counts.stats} failing stats`);
}

describe('trace and the stock loader', { skip: needsTracing('patchelf', 'ldd', 'gcc') }, () => {
  const scope = suiteScope();
  let reader: string;
  before(() => {
    reader = buildReader(tempDir(scope));
  });

  for (const [name, places, args] of PROGRAMS) {
    const binary = places.find(place => existsSync(place));
    const skip = binary === undefined ? unavailable(`not on this machine: ${name}`) : false;
    const given = binary ?? '';
    test(`${name} where it is installed`, { skip }, t => assertTraced(t, given, args));

    test(`${name} with LD_LIBRARY_PATH`, { skip }, t => {
      const absent = join(tempDir(t), 'absent');
      const dirs = [absent, '/usr/lib/x86_64-linux-gnu/', tempDir(t), '/usr/lib'].join(':');
      assertTraced(t, given, args, { LD_LIBRARY_PATH: dirs });
    });

    test(`${name} in a store of one directory a package, without notes and with them`, { skip }, t => {
      const dir = join(tempDir(t), 'store');
      mkdirSync(dir);
      const store = makePackageStore(dir, given);
      assertTraced(t, store.program, args);
      annotateStore(store);
      assertTraced(t, store.program, args);
      assertTraced(t, store.program, args, { LD_AUDIT: reader }, { with: 'audit' });
    });
  }
});
