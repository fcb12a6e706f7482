import {
  type ClosureAnswer,
  type ClosureNote,
  type ClosureObject,
  type ClosureStep,
  checkOf,
} from '../../src/note/closure.js';

/** Closure notes made by hand. */
export const path = (path: string, beforeLibraryPath = false): ClosureStep => ({
  kind: 'path',
  path,
  beforeLibraryPath,
});

export const hint = (dir: string, beforeLibraryPath = false): ClosureStep => ({
  kind: 'hint',
  dir,
  beforeLibraryPath,
});

export const answer = (soname: string, ...steps: readonly ClosureStep[]): ClosureAnswer => ({
  soname,
  steps,
});

export const closureObject = (path: string, rest: Partial<ClosureObject> = {}): ClosureObject => ({
  path,
  check: 0,
  size: undefined,
  answers: [],
  ...rest,
});

/** The one of docs/format.md. */
export const WORKED: ClosureNote = {
  objects: [
    closureObject('', {
      check: checkOf({
        needed: ['liba.so', 'libo.so'],
        runpath: '/nix/store/a/lib:$ORIGIN/../lib',
        rpath: undefined,
      }),
      answers: [
        answer('liba.so', path('/nix/store/a/lib/liba.so')),
        answer('libo.so', path('$ORIGIN/../lib/libo.so')),
      ],
    }),
    closureObject('/nix/store/a/lib/liba.so', {
      check: checkOf({ needed: ['libb.so'], runpath: undefined, rpath: '/run/drivers:/nix/store/b/lib' }),
      size: 15000,
      answers: [answer('libb.so', hint('/run/drivers', true), path('/nix/store/b/lib/libb.so', true))],
    }),
    closureObject('/nix/store/b/lib/libb.so', { size: 'trusted' }),
    closureObject('$ORIGIN/../lib/libo.so', { size: 14000 }),
  ],
};
