import { type RunResult, run } from './cli.js';
import { type Command, runAll } from './run-all.js';

const COMPLAINT = /warning|error|corrupt|invalid/i;

const TOOLS = [
  ['readelf', '-lSnW'],
  ['eu-readelf', '-lSn'],
] as const;

/**
 * What readelf and eu-readelf have to say against a file, with addresses and the file's name taken out. A
 * standard error that is not empty counts as a complaint whatever it says.
 */
export function complaints(file: string): string[] {
  return TOOLS.flatMap(([tool, options]) => complaintsIn(run(tool, [options, file]), tool, file)).sort();
}

/** The same of many files, for which shells start the tools. */
export async function complaintsOfAll(files: readonly string[]): Promise<string[][]> {
  const commands = files.flatMap(file => TOOLS.map(([...words]): Command => [...words, file]));
  const results = await runAll(commands.map(command => [command]));
  return files.map((file, i) =>
    TOOLS.flatMap(([tool], n) => {
      const result = results[TOOLS.length * i + n];
      if (result === undefined) throw new Error(`${tool} was not run on ${file}`);
      return complaintsIn(result, tool, file);
    }).sort(),
  );
}

function complaintsIn({ status, stdout, stderr }: RunResult, tool: string, file: string): string[] {
  const lines = [...stderr.split('\n'), ...stdout.split('\n').filter(line => COMPLAINT.test(line))];
  const said = lines
    .map(line => line.replaceAll(file, 'FILE').replaceAll(/0x[0-9a-f]+|\d+/g, 'N'))
    .filter(line => line.trim() !== '');
  return [...said.map(line => `${tool}: ${line}`), ...(status === 0 ? [] : [`${tool}: exit ${status}`])];
}

/** The files of which nobody complains; one call judges many, so that a thousand of them take no time. */
export function withoutComplaints(files: readonly string[]): string[] {
  if (files.length === 0) return [];
  const isClean =
    files.length <= 40 && TOOLS.every(([tool, options]) => !complainsOf(tool, [options, ...files]));
  if (isClean) return [...files];
  if (files.length === 1) return [];
  const half = Math.ceil(files.length / 2);
  return [...withoutComplaints(files.slice(0, half)), ...withoutComplaints(files.slice(half))];
}

function complainsOf(tool: string, args: readonly string[]): boolean {
  const { status, stdout, stderr } = run(tool, args);
  const lines = stdout.split('\n').filter(line => !line.includes('/'));
  return status !== 0 || stderr !== '' || lines.some(line => COMPLAINT.test(line));
}

/** A file before and after something was done to it. */
export type Change = readonly [before: string, after: string];

/** The complaints about what has changed that there were not before, of all of the files. */
export function allNewComplaints(changes: readonly Change[]): string[] {
  const clean = new Set(withoutComplaints(changes.map(([, after]) => after)));
  return changes
    .filter(([, after]) => !clean.has(after))
    .flatMap(([before, after]) => newComplaints(before, after).map(line => `${after}: ${line}`));
}

/** The complaints about `after` that there were not about `before`, counted: two more of a kind are two. */
export function newComplaints(before: string, after: string): string[] {
  const known = complaints(before);
  return complaints(after).filter(line => {
    const at = known.indexOf(line);
    if (at >= 0) known.splice(at, 1);
    return at < 0;
  });
}

/** The notes that `readelf -n` prints with the owner NixOS. */
export function nixosNotes(file: string): string[] {
  return nixosNotesOf([file])[0] ?? [];
}

/** The same of each file. */
export function nixosNotesOf(files: readonly string[]): string[][] {
  // One file's name is not printed.
  const { stdout } = run('readelf', ['-nW', ...files, files[0] ?? '']);
  const texts = stdout.split(/^File: .*$/m).slice(1, -1);
  return texts.map(text =>
    text
      .split('\n')
      .map(line => line.trim())
      .filter(line => line.startsWith('NixOS ')),
  );
}
