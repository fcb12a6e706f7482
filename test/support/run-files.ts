import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { temporaryPlaces } from './tools.js';

/**
 * What tests make is below a directory that scripts/test.ts makes for each run, which is their TMPDIR, or elsewhere with
 * a name like that directory's. So the run can remove what is left when it was ended, or the next run can.
 */

/** The number of a process, and what tells its run from that of another container. */
export function newRun(): string {
  return `${process.pid}-${randomBytes(3).toString('hex')}`;
}

/** A test file that nobody's scripts/test.ts has started is a run of its own. */
const OURS = process.env.ELFNOTE_TESTS_RUN ?? newRun();

/** How those names begin. */
export function runPrefix(run = OURS): string {
  return `elfnote-tests-${run}-`;
}

/** Where things are that outlast a run. */
export function keptPlace(): string {
  return process.env.ELFNOTE_TESTS_KEPT ?? tmpdir();
}

/** The variables by which tests know their run. */
export function runVariables(run: string, directory: string): Record<string, string> {
  return { TMPDIR: directory, ELFNOTE_TESTS_RUN: run, ELFNOTE_TESTS_KEPT: keptPlace() };
}

/** What a run has made. */
export function removeRun(run: string): void {
  removeLeftovers(name => name.startsWith(runPrefix(run)));
}

/** What this user's runs have made that are over, by the number of their process and when it was changed, in ms. */
export function removeThoseOf(isOver: (pid: number, changed: number) => boolean): void {
  removeLeftovers((name, changed) => {
    const pid = /^elfnote-tests-(\d+)-/.exec(name)?.[1];
    return pid !== undefined && isOver(Number(pid), changed);
  });
}

/** What cannot be removed, as where a test has mounted something, stays. */
function removeLeftovers(isOne: (name: string, changed: number) => boolean): void {
  for (const place of temporaryPlaces()) {
    for (const name of readdirSync(place)) {
      const path = join(place, name);
      const stats = lstatSync(path, { throwIfNoEntry: false });
      if (stats === undefined || stats.uid !== process.getuid?.() || !isOne(name, stats.mtimeMs)) continue;
      try {
        removeTree(path);
      } catch {}
    }
  }
}

export function removeTree(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) makeWritable(path);
  rmSync(path, { recursive: true, force: true });
}

/** Packages have directories that are read-only, also to the user who owns them; root need not care. */
export function makeWritable(dir: string): void {
  if (process.getuid?.() !== 0) spawnSync('chmod', ['-R', 'u+rwX', dir]);
}
