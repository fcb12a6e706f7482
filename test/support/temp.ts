import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** Whatever can run a function when it is over: a test's context, or `suiteScope()`. */
interface Scope {
  after(hook: () => void): void;
}

/** A new directory that is removed when the test is over. */
export function tempDir(scope: Scope): string {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), 'elfnote-test-')));
  scope.after(() => {
    makeWritable(dir);
    rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

/** Packages have directories that are read-only, also to the user who owns them; root need not care. */
export function makeWritable(dir: string): void {
  if (process.getuid?.() !== 0) spawnSync('chmod', ['-R', 'u+rwX', dir]);
}

/** A scope that ends with the suite, or the file, in which it is made; usable from its `before` hook. */
export function suiteScope(): Scope {
  const hooks: (() => void)[] = [];
  after(() => {
    for (const hook of hooks) hook();
  });
  return { after: hook => hooks.push(hook) };
}
