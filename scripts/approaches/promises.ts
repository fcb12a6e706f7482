import { copyFileSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type RunResult, run, runOk } from '../../test/support/cli.js';
import { needs } from '../../test/support/tools.js';
import { counts } from './cost.js';
import { type Store, searching } from './store.js';
import type { Prepared, Variant } from './variants.js';

/** Whether something that people rely on still holds; `undefined` where it could not be tried. */
export type Held = boolean | undefined;

/** A program that shows which build of each library it got. */
interface Shop {
  readonly store: Store;
  readonly at: (...parts: string[]) => string;
}

const MAIN = `#include <dlfcn.h>
#include <stdio.h>
const char *a(void), *left(void), *right(void), *drv(void), *moved(void), *fast(void);
int main(void) {
  void *plugin = dlopen("libplug.so.1", RTLD_NOW);
  const char *(*plug)(void) = plugin ? (const char *(*)(void))dlsym(plugin, "plug") : 0;
  printf("a=%s left=%s right=%s drv=%s moved=%s fast=%s plug=%s\\n", a(), left(), right(), drv(), moved(), fast(),
         plug ? plug() : "none");
  return 0;
}
`;

/** The value of one of the program's libraries, as it says. */
const value = (result: RunResult, name: string) => new RegExp(`\\b${name}=(\\S+)`).exec(result.stdout)?.[1];

function makeShop(dir: string): Shop {
  const at = (...parts: string[]) => join(dir, 'store', ...parts);
  const build = (
    path: string,
    source: string,
    needed: readonly string[],
    runPath: readonly string[],
    ...flags: string[]
  ) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.c`, source);
    const rpath = runPath.length === 0 ? [] : [`-Wl,-rpath,${runPath.join(':')}`];
    runOk('gcc', [
      '-fPIC',
      `${path}.c`,
      '-o',
      path,
      '-Wl,--no-as-needed',
      '-Wl,--enable-new-dtags',
      '-Wl,--allow-shlib-undefined',
      ...flags,
      ...needed,
      ...rpath,
    ]);
    return path;
  };
  const library = (pkg: string, name: string, says: string, needed: readonly string[] = []) =>
    build(
      at(pkg, 'lib', `lib${name}.so.1`),
      says.includes('(')
        ? `const char *${says}; const char *${name}(void) { return ${says.replace('(void)', '()')}; }\n`
        : `const char *${name}(void) { return "${says}"; }\n`,
      needed,
      needed.map(path => dirname(path)),
      '-shared',
      `-Wl,-soname,lib${name}.so.1`,
    );
  const b = library('bee', 'bee', 'b1');
  library('bee-other', 'bee', 'override');
  const one = library('ex-one', 'ex', 'x1');
  const two = library('ex-two', 'ex', 'x2');
  const needed = [
    library('a', 'a', 'bee(void)', [b]),
    library('left', 'left', 'ex(void)', [one]),
    library('right', 'right', 'ex(void)', [two]),
    library('drv', 'drv', 'software'),
    library('moved', 'moved', 'here'),
    library('fast', 'fast', 'plain'),
  ];
  const plugin = library('plug', 'plug', 'plugin');
  library('driver-made', 'drv', 'hardware');
  library('fast-v2', 'fast', 'v2');
  for (const empty of ['moved-new']) mkdirSync(at(empty, 'lib'), { recursive: true });
  const dirs = [
    join(dir, 'driver'),
    ...needed.map(path => dirname(path)),
    at('moved-new', 'lib'),
    dirname(plugin),
  ];
  const program = build(at('program', 'bin', 'program'), MAIN, needed, dirs);
  const libraries = [b, one, two, ...needed, plugin];
  return { store: { dir, program, args: [], libraries }, at };
}

type Trial = (
  shop: Shop,
  prepared: Prepared,
  start: (env?: Record<string, string>) => RunResult,
  dir: string,
) => Held;

/** What has to be there before a store is prepared. */
const BEFORE: Readonly<Record<string, (shop: Shop) => void>> = {
  'glibc-hwcaps': ({ at }) => {
    const dir = at('fast', 'lib', 'glibc-hwcaps', 'x86-64-v2');
    mkdirSync(dir, { recursive: true });
    copyFileSync(at('fast-v2', 'lib', 'libfast.so.1'), join(dir, 'libfast.so.1'));
  },
};

const TRIALS: Readonly<Record<string, Trial>> = {
  'runs as before': (_, __, start) =>
    start().stdout === 'a=b1 left=x1 right=x1 drv=software moved=here fast=plain plug=plugin\n',
  'LD_LIBRARY_PATH override': ({ at }, _, start) =>
    value(start({ LD_LIBRARY_PATH: at('bee-other', 'lib') }), 'a') === 'override',
  LD_PRELOAD: ({ at }, _, start) =>
    value(start({ LD_PRELOAD: at('bee-other', 'lib', 'libbee.so.1') }), 'a') === 'override',
  'driver directory filled later': ({ at, store }, _, start) => {
    mkdirSync(join(store.dir, 'driver'));
    copyFileSync(at('driver-made', 'lib', 'libdrv.so.1'), join(store.dir, 'driver', 'libdrv.so.1'));
    return value(start(), 'drv') === 'hardware';
  },
  'two builds of one soname, each alone': ({ store }, { environment }) => {
    // Whoever asks first decides for a process; what the second library is linked to shows when it is loaded alone.
    const probe = join(store.dir, 'alone.c');
    writeFileSync(
      probe,
      '#include <dlfcn.h>\n#include <stdio.h>\nint main(int c, char **v) { (void)c; void *h = dlopen(v[1], RTLD_NOW); if (!h) return 1; const char *(*f)(void) = (const char *(*)(void))dlsym(h, "right"); puts(f()); return 0; }\n',
    );
    runOk('gcc', [probe, '-o', join(store.dir, 'alone')]);
    const right = store.libraries.find(path => path.endsWith('/libright.so.1')) ?? '';
    return run(join(store.dir, 'alone'), [right], { env: { ...environment } }).stdout === 'x2\n';
  },
  'dlopen of a plugin': (_, __, start) => value(start(), 'plug') === 'plugin',
  'moved dependency': ({ at }, _, start) => {
    renameSync(at('moved', 'lib', 'libmoved.so.1'), at('moved-new', 'lib', 'libmoved.so.1'));
    return value(start(), 'moved') === 'here';
  },
  'glibc-hwcaps': (_, __, start) => value(start(), 'fast') === 'v2',
  'strip afterwards': ({ store }, prepared, start, dir) => {
    const of = () => counts({ program: store.program, args: [], prepared }, dir).failingOpens;
    const before = of();
    for (const file of searching(store)) if (run('strip', [file]).status !== 0) return false;
    return start().status === 0 && value(start(), 'a') === 'b1' && of() === before;
  },
};

export const TRIAL_NAMES = [...Object.keys(TRIALS), 'object of another architecture'];

/** Tries each promise on a fresh copy. What strictly needs a loader that is not here is undefined. */
export function tryPromises(variant: Variant, workDir: string): Record<string, Held> {
  const held: Record<string, Held> = {};
  for (const [name, trial] of Object.entries(TRIALS)) {
    const dir = join(workDir, name.replace(/\W+/g, '-'));
    const shop = makeShop(dir);
    BEFORE[name]?.(shop);
    const prepared = variant.prepare(shop.store);
    const start = (env: Record<string, string> = {}) =>
      run(shop.store.program, [], { env: { ...prepared.environment, ...env } });
    held[name] =
      prepared.simulatedCache === undefined ? holds(() => trial(shop, prepared, start, dir)) : undefined;
  }
  held['object of another architecture'] = tryOther(variant, join(workDir, 'other'));
  return held;
}

/** A program that does not run any more keeps no promise. */
function holds(trial: () => Held): Held {
  try {
    return trial();
  } catch (error) {
    console.error(error);
    return false;
  }
}

const CROSS = 'aarch64-linux-gnu-gcc';

/** Whether a program that does not run here can be prepared here, and runs below an emulator. */
function tryOther(variant: Variant, dir: string): Held {
  if (variant.isOfThisMachine || needs(CROSS, 'qemu-aarch64') !== false) return undefined;
  const program = join(dir, 'store', 'program', 'bin', 'program');
  const library = join(dir, 'store', 'a', 'lib', 'liba.so.1');
  for (const path of [program, library]) mkdirSync(dirname(path), { recursive: true });
  const source = join(dir, 'part.c');
  writeFileSync(source, '#include <stdio.h>\nint main(void) { return puts("ran") < 0; }\n');
  runOk(CROSS, ['-shared', '-fPIC', source, '-Wl,-soname,liba.so.1', '-o', library]);
  runOk(CROSS, [
    source,
    library,
    '-Wl,--no-as-needed',
    '-Wl,--enable-new-dtags',
    `-Wl,-rpath,${dirname(library)}`,
    '-o',
    program,
  ]);
  const prepared = variant.prepare({ dir, program, args: [], libraries: [library] });
  if (prepared.simulatedCache !== undefined) return undefined;
  // The audit module of this machine is none for that program; what counts is that it can be prepared and still runs.
  return run('qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', program]).stdout === 'ran\n';
}
