import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { ownAuditModule } from './elf/dt-audit.js';
import type { ElfImage } from './elf/image.js';
import { ElfView } from './elf/view.js';
import { ElfnoteError } from './errors.js';
import { type AttributeCheck, isOutdated, LOST_IN_PLACE, readAttributes } from './files/attributes.js';
import { isSharedInStore } from './files/links.js';
import { type FileSource, refuseChanged } from './files/source.js';
import type { Steps } from './files/steps.js';
import { sweep } from './files/temporary.js';
import { editsOf, type Plan, type SkipPlan, type WritePlan } from './layout/model/plan.js';
import { type Explained, skippedOutcome, summaryOf, type WorkedOutcome } from './outcome.js';
import type { Change } from './write/change.js';
import { commitChange, writeCopy } from './write/commit.js';
import { verifyPlan } from './write/verify-plan.js';

/** How a file is written, whatever is written to it. */
export interface RemoveOptions {
  /** Plan and verify, write nothing. */
  readonly dryRun?: boolean | undefined;
  /** Write here instead of in place. The file is copied also when there is nothing to change. */
  readonly output?: string | undefined;
  /** Write although file capabilities, other extended attributes or hard links get lost. */
  readonly force?: boolean | undefined;
  readonly preserveDates?: boolean | undefined;
  /** Edit in place wherever no other program minds, and do not wait for the disk: a power cut may leave a broken file. */
  readonly fast?: boolean | undefined;
  /**
   * Replace the file rather than edit it: it has hard links whose content must stay. Default: where it has some, and is in
   * a Nix store.
   */
  readonly unshare?: boolean | undefined;
  /** What `readAttributes` said of many files at once; asked for this file alone where it is missing. */
  readonly attributes?: AttributeCheck | undefined;
}

const MOVED_TABLE = 'the program header table moved: strip and objcopy break this file';

/** Copies a file of which nothing is to be told but why it is left alone to its output. @throws ElfnoteError */
export function* passOver(
  source: FileSource,
  { reason, detail }: SkipPlan,
  options: RemoveOptions,
): Steps<WorkedOutcome> {
  leaveAlone(source, options);
  if (options.output !== undefined) yield* copyAsItIs(source, options);
  return skippedOutcome(source.path, reason, detail);
}

/** Verifies a plan and writes it; leaves the file alone where there is nothing to write. @throws ElfnoteError */
export function* carryOut(
  source: FileSource,
  image: ElfImage,
  plan: Plan,
  explained: Explained,
  options: RemoveOptions,
): Steps<WorkedOutcome> {
  if (plan.kind === 'keep') {
    leaveAlone(source, options);
    if (options.output !== undefined) yield* copyAsItIs(source, options);
    return { action: 'up-to-date', ...explained, reader: ownAuditModule(image, source) };
  }
  if (plan.kind === 'skip') {
    leaveAlone(source, options);
    if (options.output !== undefined) yield* copyAsItIs(source, options);
    return { action: 'skipped', ...explained, reason: plan.reason, detail: plan.detail };
  }
  const view = new ElfView(image, source);
  verifyPlan(view, plan);
  const { warnings } = explained;
  const result = {
    plan: summaryOf(plan),
    bytesAdded: plan.size - image.size,
    ...explained,
    reader: plan.auditModule,
    warnings: plan.rung.table === 'move-table' ? [...warnings, MOVED_TABLE] : warnings,
  };
  if (options.dryRun) return { action: 'planned', ...result, edits: editsOf(plan) };
  return { action: 'written', ...result, lost: yield* commit(source, plan, options) };
}

function* commit(source: FileSource, plan: WritePlan, options: RemoveOptions): Steps<string[]> {
  const { path } = source;
  const change: Change = { commits: plan.commits, inPlaceIsSafe: plan.inPlaceIsSafe };
  const output = otherOutput(path, options);
  const { own, given, knowsAll } = attributesOf(source, options);
  const lost = output === undefined ? own.filter(name => name === LOST_IN_PLACE) : own;
  refuseLoss(path, lost, options);
  if (output !== undefined) {
    yield* writeCopy(path, output, source, change, options);
    return [...lost];
  }
  const notKept: string[] = [];
  const lostByCopy = [...own, ...given];
  const how = yield* commitChange(path, source, change, {
    copyLoses: lostByCopy.length > 0 || !knowsAll,
    onLoss: what => notKept.push(what),
    beforeReplacing: () => refuseLoss(path, lostByCopy, options),
    ...options,
    unshare: options.unshare ?? isSharedInStore(path, source.stats),
  });
  return [...(how === 'replaced' ? lostByCopy : lost), ...notKept];
}

function refuseLoss(path: string, lost: readonly string[], options: RemoveOptions): void {
  if (lost.length === 0 || options.force) return;
  throw new ElfnoteError('refused', `writing would lose ${lost.join(', ')}; --force writes all the same`, {
    path,
  });
}

/** Labels that the system gives every new file are not lost. */
const GIVEN_ANEW = new Set(['security.selinux']);

const DEFAULT_ACL = 'system.posix_acl_default';

interface Attributes {
  readonly own: readonly string[];
  /** What a copy beside the file would get. */
  readonly given: readonly string[];
  readonly knowsAll: boolean;
}

function attributesOf({ path, file, stats }: FileSource, options: RemoveOptions): Attributes {
  const directory = dirname(file.place);
  const known = options.attributes;
  const isKnown = known !== undefined && !isOutdated(known, stats);
  const { found, knowsAll } = isKnown ? known : readAttributes([path, directory]);
  const own = (found?.get(path) ?? []).filter(name => !GIVEN_ANEW.has(name));
  // A new file gets the access list that its directory gives to all, and the one that it replaces need not have it.
  const isGiven = found?.get(directory)?.includes(DEFAULT_ACL) === true;
  return { own, given: isGiven ? [`being without the directory's ${DEFAULT_ACL}`] : [], knowsAll };
}

function otherOutput(path: string, { output }: RemoveOptions): string | undefined {
  if (output === undefined) return undefined;
  try {
    return realpathSync(output) === realpathSync(path) ? undefined : output;
  } catch {
    return output;
  }
}

/** Of a file that needs no change, if that is true of what it is by now. @throws ElfnoteError `changed` */
function leaveAlone(source: FileSource, { dryRun }: RemoveOptions): void {
  refuseChanged(source);
  if (!dryRun) sweep(dirname(source.file.place));
}

function* copyAsItIs(source: FileSource, options: RemoveOptions): Steps<void> {
  const output = otherOutput(source.path, options);
  if (output !== undefined && !options.dryRun) {
    refuseLoss(source.path, attributesOf(source, options).own, options);
    yield* writeCopy(source.path, output, source, undefined, options);
  }
}
