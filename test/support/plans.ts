import { BufferSource } from '../../src/elf/bytes.js';
import { changed, ElfView, type FileChange } from '../../src/elf/view.js';
import type { Commit } from '../../src/layout/model/plan.js';

interface Planned {
  readonly commits: readonly Pick<Commit, 'edits' | 'size'>[];
}

export function viewOf(bytes: Buffer): ElfView {
  return ElfView.of(new BufferSource(bytes));
}

/** The file when all is written. */
export function applied(bytes: Buffer, { commits }: Planned): Buffer {
  return whole(bytes, commits);
}

function whole(bytes: Buffer, changes: readonly FileChange[]): Buffer {
  const result = changed(new BufferSource(bytes), changes);
  return Buffer.from(result.read(0, result.size));
}

/** A file on its way, and what was done to it last. */
export interface Halfway {
  readonly bytes: Buffer;
  readonly after: string;
}

/** The file as it is on disk after each single write and each cut, the file as it was being the first. */
export function* halfway(bytes: Buffer, { commits }: Planned): Generator<Halfway> {
  let now = bytes;
  yield { bytes: now, after: 'nothing' };
  for (const { edits, size } of commits) {
    for (const edit of edits) {
      const end = edit.offset + edit.bytes.length;
      now = whole(now, [{ edits: [edit], size: Math.max(now.length, end) }]);
      yield { bytes: now, after: edit.why };
    }
    if (now.length === size) continue;
    now = whole(now, [{ edits: [], size }]);
    yield { bytes: now, after: 'the cut' };
  }
}

/** Whether a message is that of a verifier's fault, whatever index and values it tells. */
export function isFault(message: string, what: string): boolean {
  const known = `refusing to write: ${what}`;
  return message === known || message.startsWith(`${known}: `);
}
