import {
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { ownerOfThisProcess } from '../../src/files/owner.js';

/** Every name in a directory, with what each file holds. */
export type Snapshot = ReadonlyMap<string, Buffer>;

export function snapshotOf(file: string): Snapshot {
  const dir = dirname(file);
  return new Map(
    readdirSync(dir).map(name => {
      const path = join(dir, name);
      const bytes = lstatSync(path).isSymbolicLink() ? Buffer.from(readlinkSync(path)) : readFileSync(path);
      return [name, bytes];
    }),
  );
}

export function isSame(one: Snapshot, other: Snapshot): boolean {
  return (
    one.size === other.size && [...one].every(([name, bytes]) => other.get(name)?.equals(bytes) === true)
  );
}

/** Makes the directory hold this and nothing else; names of equal bytes become links when the kind is hard-linked. */
export function restore(file: string, snapshot: Snapshot, linked: boolean): void {
  const dir = dirname(file);
  for (const name of readdirSync(dir)) if (!snapshot.has(name)) rmSync(join(dir, name));
  let first: string | undefined;
  for (const [name, bytes] of snapshot) {
    const path = join(dir, name);
    rmSync(path, { force: true });
    if (linked && first !== undefined) linkSync(first, path);
    else writeFileSync(path, bytes, { mode: 0o755 });
    first ??= path;
    // Old enough that nobody waits for a tick of the clock to pass.
    utimesSync(path, 1e9, 1e9);
  }
}

/** What this process has left is from now on of one that has died: another start time stands for that. */
export function die(file: string): void {
  const dir = dirname(file);
  const own = ownerOfThisProcess();
  const [pid, , space] = own.split('-');
  const dead = `${pid}-1-${space}`;
  for (const name of readdirSync(dir)) {
    const path = join(dir, name);
    if (lstatSync(path).isSymbolicLink() && readlinkSync(path) === own) {
      rmSync(path);
      symlinkSync(dead, path);
    }
    if (name.includes(`.elfnote-${own}-`)) renameSync(path, join(dir, name.replace(own, dead)));
  }
}

let hours = 0;
const { uptime } = process;

/** What is done once in a while is due again, as in a new process. */
export function passTime(): void {
  hours++;
  Reflect.set(process, 'uptime', () => uptime.call(process) + hours * 3600);
}
