import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { temporaryPlaces } from './tools.js';

/**
 * What tests make is below a directory that scripts/test.ts makes for each run, which is their TMPDIR, or elsewhere with
 * a name like that directory's. So the run can remove what is left when it was ended, or the next run can.
 */

/** How those names begin; a test file that nobody's scripts/test.ts has started is a run of its own. */
export function runPrefix(pid = process.env.ELFNOTE_TESTS_PID ?? String(process.pid)): string {
  return `elfnote-tests-${pid}-`;
}

/** Where things are that outlast a run. */
export function keptPlace(): string {
  return process.env.ELFNOTE_TESTS_KEPT ?? tmpdir();
}

/** The variables by which tests know their run. */
export function runVariables(directory: string): Record<string, string> {
  return { TMPDIR: directory, ELFNOTE_TESTS_PID: String(process.pid), ELFNOTE_TESTS_KEPT: keptPlace() };
}

/** Of this user's runs that are over, by the number of their process and when their directory changed, in ms. */
export function removeLeftovers(isOver: (pid: number, changed: number) => boolean): void {
  for (const place of temporaryPlaces()) {
    for (const name of readdirSync(place)) {
      const pid = /^elfnote-tests-(\d+)-/.exec(name)?.[1];
      const path = join(place, name);
      const stats = lstatSync(path, { throwIfNoEntry: false });
      if (pid === undefined || stats?.uid !== process.getuid?.()) continue;
      if (isOver(Number(pid), stats?.mtimeMs ?? 0)) removeTree(path);
    }
  }
}

export function removeTree(path: string): void {
  makeWritable(path);
  rmSync(path, { recursive: true, force: true });
}

/** Packages have directories that are read-only, also to the user who owns them; root need not care. */
export function makeWritable(dir: string): void {
  if (process.getuid?.() !== 0) spawnSync('chmod', ['-R', 'u+rwX', dir]);
}
