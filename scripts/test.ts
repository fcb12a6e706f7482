/**
 * Runs tests with Node's runner: `npm test`, `npm test -- test/elf/notes.test.ts`, `npm test -- test/cli`,
 * `npm test -- --test-name-pattern=hwcaps`. Without a file or directory it runs every
 * file, but for those that test/support/extent.ts leaves to `npm run test:all`.
 */
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import fastGlob from 'fast-glob';
import { EVERYTHING, ONLY_IN_ALL } from '../test/support/extent.js';

const TESTS = '**/*.test.ts';

const given = process.argv.slice(2);
const places = given.filter(arg => statSync(arg, { throwIfNoEntry: false }) !== undefined);
const options = given.filter(arg => !places.includes(arg));
const named = (places.length > 0 ? places : ['test']).flatMap(place =>
  statSync(place).isDirectory() ? fastGlob.globSync(`${place.replace(/\/$/, '')}/${TESTS}`) : [place],
);
const isWanted = (file: string) => EVERYTHING || places.length > 0 || !ONLY_IN_ALL.includes(file);
const files = named.filter(isWanted);
if (files.length === 0) throw new Error(`no ${TESTS} in ${places.join(' ')}`);

// Left to itself the runner keeps one processor for itself, which is half of two.
const concurrency = `--test-concurrency=${availableParallelism()}`;
const args = ['--import', 'tsx', '--test', concurrency, ...options, ...files.sort()];
const { status, error } = spawnSync(process.execPath, args, { stdio: 'inherit' });
if (error !== undefined) throw error;
process.exitCode = status ?? 1;
