import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { traceFile } from '../../src/loader/trace.js';
import { ROOT, run } from '../support/cli.js';
import { isTested } from '../support/extent.js';
import { qemuLoader, tracedCalls } from '../support/loader-calls.js';
import { type Architecture, architectures } from '../support/programs.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** A root with the store and the C library of a machine. Its ld.so.cache is empty, or qemu would show this machine's. */
function makeRoot(root: string, { libDir }: Architecture): void {
  for (const dir of ['lib', 'etc']) mkdirSync(join(root, dir), { recursive: true });
  symlinkSync('lib', join(root, 'lib64'));
  writeFileSync(join(root, 'etc/ld.so.cache'), '');
  cpSync(join(ROOT, 'nix'), join(root, 'nix'), { recursive: true, verbatimSymlinks: true });
  for (const file of readdirSync(libDir)) {
    if (/^(?:ld|libc\.)[^/]*so/.test(file)) copyFileSync(join(libDir, file), join(root, 'lib', file));
  }
}

/** What the loader itself says of the processor that qemu shows it, for `--hwcaps`. */
function hwcapsBelow({ qemu, interpreter }: Architecture, root: string): string {
  const { stdout } = run(qemu, ['-L', root, join(root, interpreter), '--help']);
  const searched = [...stdout.matchAll(/^ {2}(\S+) \((.*)supported, searched\)$/gm)];
  const names = searched.map(([, name = '']) => name).filter(name => name !== 'tls');
  const hasPlatform = searched.some(([, , what = '']) => what.includes('AT_PLATFORM'));
  return [...names, ...(hasPlatform ? [] : ['no-platform'])].join(',');
}

describe('trace and the stock loader of other machines', () => {
  for (const architecture of architectures().filter(({ arch }) => isTested(arch))) {
    const { arch, qemu, libDir, program } = architecture;
    // MIPS and big-endian 32-bit PowerPC have no table of their own: no capabilities, and the plain directories.
    test(arch, { skip: needs(qemu, libDir) }, t => {
      const root = join(tempDir(t), 'root');
      makeRoot(root, architecture);
      const hwcaps = hwcapsBelow(architecture, root);
      const file = join(root, program);
      // What is in none of the root's directories, qemu would look for in this machine's.
      const [first = ''] = traceFile(file, { root }).loader.systemDirectories;
      mkdirSync(join(root, first), { recursive: true });
      copyFileSync(join(root, 'lib/libc.so.6'), join(root, first, 'libc.so.6'));
      const trace = traceFile(file, { root, hwcaps });
      const [seen, traced] = [qemuLoader(qemu, root, file), tracedCalls(trace)];
      assert.equal(seen.opened.length, 4, 'two libraries, ld.so.cache and the C library');
      assert.deepEqual(traced.opened, seen.opened);
      assert.deepEqual(traced.failed, seen.failed);
      t.diagnostic(`${hwcaps}: ${seen.failed.length} failing calls`);
    });
  }
});
