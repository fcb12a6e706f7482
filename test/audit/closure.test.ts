import assert from 'node:assert/strict';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { before, describe, type TestContext, test } from 'node:test';
import { run, runOk } from '../support/cli.js';
import { answered, ClosureShop, closureNote, renamed, renamedPlugin } from '../support/closure-shop.js';
import { EXTENT, share } from '../support/extent.js';
import { generation, onGeneration, SUITES } from '../support/generations.js';
import { needsTracing } from '../support/reader.js';
import { assertSame, sayings } from '../support/reader-shop.js';
import { sharedDir, suiteScope, tempDir } from '../support/temp.js';
import { isSkipped, needs, needsOtherUser } from '../support/tools.js';

/** A program that needs one and two, of which two needs three, and three four; nobody but the program has a note. */
interface Deep {
  readonly program: string;
  readonly one: string;
  readonly two: string;
  readonly three: string;
  readonly four: string;
  readonly dirs: readonly string[];
}

function deep(shop: ClosureShop): Deep {
  mkdirSync(shop.at('empty'));
  const dirs = ['empty', 'one', 'two', 'three', 'four'].map(dir => shop.at(dir));
  const linked = (needs: readonly string[]) => ({ needs, runPath: dirs });
  const four = shop.library('four', 'four');
  const three = shop.library('three', 'three', linked([four]));
  const two = shop.library('two', 'two', linked([three]));
  const one = shop.library('one', 'one');
  const program = shop.programWithClosure('program', linked([one, two]));
  return { program, one, two, three, four, dirs };
}

const withoutC = (said: readonly string[]) => said.filter(line => !line.startsWith('libc.so.6'));

/** What the module says where nothing is in its way. */
function allOf({ one, two, three, four }: Deep): string[] {
  return [answered(one, ''), answered(two, ''), answered(three, two), answered(four, three)];
}

/** Nobody writes to what it needs. */
function untouched(files: Deep): Map<string, Buffer> {
  return new Map([files.one, files.two, files.three, files.four].map(file => [file, readFileSync(file)]));
}

describe('a closure note on the program alone', { skip: needsTracing('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let shop: ClosureShop;
  let files: Deep;
  before(() => {
    shop = new ClosureShop(sharedDir(scope));
    files = deep(shop);
    for (const file of untouched(files).keys()) chmodSync(file, 0o444);
  });
  const own = (paths: readonly string[]) => shop.own(paths);

  test('answers for every object of the closure, and the loader misses nothing', () => {
    assert.deepEqual(withoutC(assertSame(shop, files.program).said), allOf(files));
    const read = shop.traced(files.program);
    assert.deepEqual(shop.missed(read), []);
    assert.deepEqual(own(read.opened), [files.one, files.two, files.three, files.four]);
    assert.ok(shop.missed(shop.traced(files.program, [], { LD_AUDIT: '' })).length > 8);
  });

  test('lists and starts the objects as without it', () => {
    const order = (env: Readonly<Record<string, string>>) => {
      const { stderr } = run(files.program, [], { env: { LD_DEBUG: 'files', ...env }, cwd: shop.dir });
      return [...stderr.matchAll(/calling (?:init|fini): (\S+)/g)].map(([, path]) => path);
    };
    const started = order({ LD_AUDIT: shop.reader }).filter(path => path !== shop.reader);
    assert.deepEqual(started, order({}));
    const listed = (env: Readonly<Record<string, string>>) =>
      shop
        .plain(files.program, [], { LD_TRACE_LOADED_OBJECTS: '1', ...env })
        .replaceAll(/\(0x[0-9a-f]+\)/g, '');
    assert.equal(listed({ LD_AUDIT: shop.reader }), listed({}));
  });

  test('is used through a link, from another directory, and where the program was copied', () => {
    mkdirSync(shop.at('bin'));
    symlinkSync(files.program, shop.at('bin/link'));
    copyFileSync(files.program, shop.at('bin/copy'));
    for (const program of [
      shop.at('bin/link'),
      shop.at('bin/copy'),
      './bin/link',
      `../${shop.dir.split('/').at(-1)}/program`,
    ])
      assert.deepEqual(withoutC(assertSame(shop, program).said), allOf(files), program);
  });

  test('LD_LIBRARY_PATH wins, however deep in the closure', () => {
    const other = shop.library('path', 'four');
    const { stdout, said } = assertSame(shop, files.program, [], { LD_LIBRARY_PATH: shop.at('path') });
    assert.match(stdout, new RegExp(`^${other}$`, 'm'));
    assert.equal(
      said.at(-1),
      'libfour.so.1 for three/libthree.so.1: left to the loader: LD_LIBRARY_PATH may hold it',
    );
  });

  test('LD_PRELOAD wins', () => {
    const other = shop.library('preloaded', 'three');
    const { stdout, said } = assertSame(shop, files.program, [], { LD_PRELOAD: other });
    assert.match(stdout, new RegExp(`^${other}$`, 'm'));
    assert.ok(!said.some(line => line.startsWith('libthree')), said.join('\n'));
  });

  test('a preloaded library of another path is not taken for the one in the note', () => {
    // It has no way to libfour but the loader's own.
    const other = shop.library('elsewhere', 'three', {
      needs: [files.four],
      runPath: [shop.at('elsewhere')],
    });
    shop.library('elsewhere', 'four');
    const { stdout, said } = assertSame(shop, files.program, [], { LD_PRELOAD: other });
    assert.match(stdout, /\/elsewhere\/libfour.so.1$/m);
    assert.ok(
      said.some(line => /^libfour.so.1 for elsewhere\/.*there is no note/.test(line)),
      said.join('\n'),
    );
  });

  test('is none of a child, which inherits LD_AUDIT', () => {
    const source =
      '#include <stdlib.h>\nvoid *runner_opens(const char *n) { return system(n) == 0 ? &system : 0; }\n';
    const runner = shop.library('runner', 'runner', { source });
    const parent = shop.programWithClosure('parent', {
      needs: [runner, files.one],
      runPath: [shop.at('runner'), ...files.dirs],
    });
    // The child asks for libone as the parent does, over another run path.
    const other = shop.library('childs', 'one');
    const child = shop.program('child', { needs: [other] });
    const { stdout, said } = assertSame(shop, parent, [`call:runner_opens:${child}`]);
    assert.match(stdout, new RegExp(`^${other}$`, 'm'));
    assert.ok(said.includes(answered(files.one, '')), said.join('\n'));
  });

  test('answers for dlopen and dlmopen as for what is needed', () => {
    for (const action of ['open', 'new']) {
      const { stdout } = assertSame(shop, files.program, [`${action}:libtwo.so.1`]);
      assert.match(stdout, /\/four\/libfour.so.1$/m);
      assert.deepEqual(shop.missed(shop.traced(files.program, [`${action}:libtwo.so.1`])), []);
    }
  });

  test('is no trouble to gdb, nor below the address sanitizer', { skip: needs('gdb') }, () => {
    const set = `set env LD_AUDIT ${shop.reader}`;
    const args = ['-q', '-batch', '-ex', set, '-ex', 'break main', '-ex', 'run', '-ex', 'info sharedlibrary'];
    assert.match(runOk('gdb', [...args, files.program]).stdout, /\/four\/libfour\.so\.1/);
    const linking = { needs: [files.one, files.two], runPath: files.dirs, flags: ['-fsanitize=address'] };
    const sanitized = shop.programWithClosure('sanitized', linking);
    const { status, stdout, stderr } = shop.explained(sanitized);
    assert.equal(status, 0, stderr);
    assert.equal(stdout, shop.plain(sanitized));
    assert.match(stderr, /libfour.so.1 for \S+\/libthree.so.1: \//);
  });

  test('a set-user-ID program is left alone', { skip: needsOtherUser('setpriv') }, () => {
    runOk('chmod', ['-R', 'go+rX', shop.dir]);
    const program = shop.at('privileged');
    copyFileSync(files.program, program);
    chmodSync(program, 0o4755);
    const result = run('setpriv', ['--reuid=65534', '--regid=65534', '--clear-groups', program], {
      env: { LD_AUDIT: shop.reader, ELFNOTE_DEBUG: '1' },
    });
    assert.equal(result.stdout, shop.plain(program));
    assert.ok(!sayings(result).some(line => line.includes('libfour')), result.stderr);
  });
});

describe('a closure note that is not true any more', { skip: needsTracing('gcc', 'patchelf') }, () => {
  const setUp = (t: TestContext) => {
    const shop = new ClosureShop(tempDir(t));
    return { shop, files: deep(shop) };
  };
  const CHANGED = /^libfour.so.1 for three\/libthree.so.1: left to the loader: it is not what it was/;

  test('a dependency with another run path is left to the loader', t => {
    const { shop, files } = setUp(t);
    shop.library('new', 'four');
    runOk('patchelf', ['--set-rpath', shop.at('new'), files.three]);
    const { stdout, said } = assertSame(shop, files.program);
    assert.match(stdout, /\/new\/libfour.so.1$/m);
    assert.match(said.at(-1) ?? '', CHANGED);
    // What has not changed is still answered.
    assert.deepEqual(withoutC(said).slice(0, 3), allOf(files).slice(0, 3));
  });

  test('a dependency that needs something else is left to the loader, also for what it needed before', t => {
    const { shop, files } = setUp(t);
    const five = shop.library('four', 'five');
    shop.library('three', 'three', { needs: [files.four, five], runPath: files.dirs });
    const { stdout, said } = assertSame(shop, files.program);
    assert.match(stdout, /\/four\/libfive.so.1$/m);
    assert.match(said.at(-2) ?? '', CHANGED);
  });

  test('a dependency with a note of its own answers for itself, once it has changed', t => {
    const { shop, files } = setUp(t);
    shop.library('new', 'four');
    runOk('patchelf', ['--set-rpath', shop.at('new'), files.three]);
    shop.annotate(files.three);
    assert.equal(
      assertSame(shop, files.program).said.at(-1),
      'libfour.so.1 for three/libthree.so.1: new/libfour.so.1',
    );
  });

  test('a dependency that is replaced, and asks for the same, is still answered', t => {
    const { shop, files } = setUp(t);
    const size = statSync(files.four).size;
    shop.library('four', 'four', { flags: ['-Wl,--build-id=0x00112233', '-g'] });
    assert.notEqual(statSync(files.four).size, size);
    assert.deepEqual(withoutC(assertSame(shop, files.program).said), allOf(files));
  });

  test('a dependency that has gone is searched for, and found elsewhere', t => {
    const { shop, files } = setUp(t);
    renameSync(files.four, shop.at('one/libfour.so.1'));
    const { stdout, said } = assertSame(shop, files.program);
    assert.match(stdout, /\/one\/libfour.so.1$/m);
    assert.match(said.at(-1) ?? '', /left to the loader: no path of the note is there/);
  });

  for (const [what, at, value] of [
    ['another class', 4, 1],
    ['another machine', 18, 183],
  ] as const) {
    test(`a dependency of ${what} is passed over, as the loader does`, t => {
      const { shop, files } = setUp(t);
      copyFileSync(files.four, shop.at('two/libfour.so.1'));
      // Longer too: of the same size it would be taken for the one that it was.
      const bytes = Buffer.concat([readFileSync(files.four), Buffer.alloc(8)]);
      bytes[at] = value;
      renameSync(files.four, shop.at('four/old'));
      writeFileSync(shop.at('four/libfour.so.1'), bytes);
      runOk('patchelf', ['--set-rpath', [shop.at('four'), shop.at('two')].join(':'), files.three]);
      const program = shop.programWithClosure('again', {
        needs: [files.one, files.two],
        runPath: files.dirs,
      });
      // The note was made when the first one was good.
      renameSync(shop.at('four/libfour.so.1'), shop.at('four/bad'));
      renameSync(shop.at('four/old'), shop.at('four/libfour.so.1'));
      const good = shop.programWithClosure('good', { needs: [files.one, files.two], runPath: files.dirs });
      renameSync(shop.at('four/bad'), shop.at('four/libfour.so.1'));
      for (const file of [program, good])
        assert.match(assertSame(shop, file).stdout, /\/two\/libfour.so.1$/m);
    });
  }

  test('a program that was changed since has no table', t => {
    const { shop, files } = setUp(t);
    runOk('patchelf', ['--set-rpath', [...files.dirs].reverse().join(':'), files.program]);
    const { said } = assertSame(shop, files.program);
    assert.ok(
      said.every(line => line.includes('left to the loader')),
      said.join('\n'),
    );
  });
});

describe('the edges of a closure note', { skip: needsTracing('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let shop: ClosureShop;
  before(() => {
    shop = new ClosureShop(tempDir(scope));
    mkdirSync(shop.at('empty'));
  });

  test('two builds of one soname: who asks first gets its own', () => {
    const [z1, z2] = [shop.library('z1', 'z'), shop.library('z2', 'z')];
    const a = shop.library('a', 'a', { needs: [z1], runPath: [shop.at('empty'), shop.at('z1')] });
    const b = shop.library('b', 'b', { needs: [z2], runPath: [shop.at('empty'), shop.at('z2')] });
    const program = shop.programWithClosure('twice', { needs: [a, b] });
    assert.match(assertSame(shop, program).stdout, /\/z1\/libz.so.1$/m);
    const { stdout, said } = assertSame(shop, program, [], { LD_PRELOAD: b });
    assert.match(stdout, /\/z2\/libz.so.1$/m);
    assert.ok(said.includes(answered(z2, b)), said.join('\n'));
    const apart = assertSame(shop, program, [`new:${b}`]);
    assert.match(apart.stdout, /^new: .*\/z2\/libz.so.1$/m);
  });

  test('a directory that was not there is looked into, and found empty or not', () => {
    const late = shop.library('late', 'late');
    const user = shop.library('lateuser', 'lateuser', {
      needs: [late],
      runPath: [shop.at('driver'), shop.at('late')],
    });
    const program = shop.programWithClosure('hints', { needs: [user], runPath: [shop.at('lateuser')] });
    assert.ok(assertSame(shop, program).said.includes(answered(late, user)));
    const driver = shop.library('driver', 'late');
    const { stdout, said } = assertSame(shop, program);
    assert.match(stdout, /\/driver\/liblate.so.1$/m);
    assert.ok(said.includes(answered(driver, user)), said.join('\n'));
  });

  test('what comes of a DT_RPATH comes before LD_LIBRARY_PATH', () => {
    const inner = shop.library('rinner', 'rinner');
    const flags = ['-Wl,--disable-new-dtags'];
    const outer = shop.library('router', 'router', {
      needs: [inner],
      flags,
      runPath: [shop.at('empty'), shop.at('rinner')],
    });
    const program = shop.programWithClosure('rpaths', { needs: [outer], flags });
    shop.library('rother', 'rinner');
    const { stdout, said } = assertSame(shop, program, [], { LD_LIBRARY_PATH: shop.at('rother') });
    assert.match(stdout, /\/rinner\/librinner.so.1$/m);
    assert.ok(said.includes(answered(inner, outer)), said.join('\n'));
  });

  test('a tree that finds its libraries by $ORIGIN keeps its answers where it is moved', () => {
    const inner = shop.library('tree/lib', 'oinner');
    const outer = shop.library('tree/lib', 'oouter', { needs: [inner], runPath: ['/none', '$ORIGIN'] });
    mkdirSync(shop.at('tree/bin'));
    shop.programWithClosure('tree/bin/program', { needs: [outer], runPath: ['/none', '$ORIGIN/../lib'] });
    const said = [
      'liboouter.so.1 for the program: lib/liboouter.so.1',
      'liboinner.so.1 for lib/liboouter.so.1: lib/liboinner.so.1',
    ];
    assert.deepEqual(withoutC(assertSame(shop, shop.at('tree/bin/program')).said), said);
    renameSync(shop.at('tree'), shop.at('moved'));
    cpSync(shop.at('moved'), shop.at('copied'), { recursive: true });
    symlinkSync(shop.at('moved/bin/program'), shop.at('tree-link'));
    for (const program of ['moved/bin/program', 'copied/bin/program', 'tree-link']) {
      assert.deepEqual(withoutC(assertSame(shop, shop.at(program)).said), said, program);
      assert.deepEqual(shop.missed(shop.traced(shop.at(program))), []);
    }
  });

  test('trusted paths are answered without a look, and one that has vanished ends the start', () => {
    const leaf = shop.library('trusted', 'trusted');
    const linking = { needs: [leaf], runPath: [shop.at('empty'), shop.at('trusted')] };
    const looks = (program: string) => {
      const log = shop.at('looks.log');
      runOk('strace', ['-o', log, '-E', `LD_AUDIT=${shop.reader}`, program]);
      return readFileSync(log, 'utf8')
        .split('\n')
        .filter(line => line.includes('libtrusted.so.1')).length;
    };
    const careful = shop.programWithClosure('careful', linking);
    const trusting = shop.programWithClosure('trusting', linking, { sizeOf: () => 'trusted' });
    assert.equal(looks(careful), looks(trusting) + 1);
    rmSync(leaf);
    const { status, stderr } = run(trusting, [], { env: { LD_AUDIT: shop.reader } });
    assert.notEqual(status, 0);
    assert.match(stderr, /libtrusted.so.1/);
  });

  test('eight threads that open plugins at once', () => {
    const names = Array.from({ length: 8 }, (_, i) => `plug${i}`);
    const [first = ''] = names;
    const leaf = shop.library(`leaf-${first}`, `leaf${first}`);
    const runPath = [shop.at('empty'), shop.at(`leaf-${first}`)];
    const plugin = shop.pluginWithClosure(first, first, { needs: [leaf], runPath });
    for (const name of names) renamed(leaf, first, name);
    const plugins = names.map(name => renamedPlugin(plugin, first, name));
    const program = shop.program('threads', { flags: ['-pthread'] });
    const args = [`threads:${plugins.join()}`];
    const sorted = (text: string) => text.split('\n').sort().join('\n');
    const plain = sorted(shop.plain(program, args));
    for (let round = 0; round < 20; round++) {
      const { stdout, stderr } = shop.explained(program, args);
      assert.equal(sorted(stdout), plain, stderr);
      for (const name of names) assert.match(stderr, new RegExp(`leaf-${name}/libleaf${name}.so.1\n`));
    }
  });
});

describe('a plugin', { skip: needsTracing('gcc', 'patchelf') }, () => {
  const scope = suiteScope();
  let shop: ClosureShop;
  let leaf: string;
  let mid: string;
  let linking: { needs: string[]; runPath: string[] };
  before(() => {
    shop = new ClosureShop(tempDir(scope));
    mkdirSync(shop.at('empty'));
    leaf = shop.library('leaf', 'leaf');
    mid = shop.library('mid', 'mid', { needs: [leaf], runPath: [shop.at('empty'), shop.at('leaf')] });
    linking = { needs: [mid], runPath: [shop.at('empty'), shop.at('mid')] };
  });

  test('that carries a closure note answers for its closure', () => {
    const plugin = shop.pluginWithClosure('plugin', 'plugin', linking);
    const program = shop.program('host');
    const { said } = assertSame(shop, program, [`open:${plugin}`]);
    assert.deepEqual(withoutC(said), [answered(mid, plugin), answered(leaf, mid)]);
    assert.deepEqual(shop.missed(shop.traced(program, [`open:${plugin}`])), []);
  });

  test('without one is left to the loader', () => {
    const plugin = shop.library('bare', 'bare', linking);
    const { said } = assertSame(shop, shop.program('host'), [`open:${plugin}`]);
    assert.deepEqual(
      withoutC(said).filter(line => !line.includes('there is no note')),
      [],
    );
  });

  test('that was closed answers no more, and answers again where it is opened again', () => {
    const plugin = shop.pluginWithClosure('closed', 'closed', linking);
    const bare = shop.library('other', 'other', linking);
    const program = shop.program('host');
    const { said } = assertSame(shop, program, [
      `open:${plugin}`,
      'close',
      `open:${bare}`,
      'close',
      `open:${plugin}`,
    ]);
    const answers = withoutC(said);
    assert.equal(answers.length, 6);
    assert.deepEqual(answers.slice(0, 2), [answered(mid, plugin), answered(leaf, mid)]);
    assert.ok(
      answers.slice(2, 4).every(line => line.includes('left to the loader: there is no note')),
      said.join('\n'),
    );
    assert.deepEqual(answers.slice(4), answers.slice(0, 2));
  });

  test('one of more than the module keeps answers for itself alone', () => {
    const plugin = shop.pluginWithClosure('many10', 'many10', linking);
    const plugins = Array.from({ length: 18 }, (_, i) => renamed(plugin, 'many10', `many${10 + i}`));
    const program = shop.program('host');
    const { stdout } = assertSame(
      shop,
      program,
      plugins.map(plugin => `open:${plugin}`),
    );
    for (const plugin of plugins) assert.ok(stdout.includes(`${plugin}\n`), stdout);
  });
});

describe('a closure note in a file, for a program that may not be changed', {
  skip: needsTracing('gcc'),
}, () => {
  const scope = suiteScope();
  let shop: ClosureShop;
  let files: Deep;
  let note: Buffer;
  let file: string;
  before(() => {
    shop = new ClosureShop(tempDir(scope));
    files = deep(shop);
    shop.program('program', { needs: [files.one, files.two], runPath: files.dirs });
    note = closureNote(files.program);
    file = shop.at('cached');
    writeFileSync(file, note);
  });

  test('is read by the name that ELFNOTE_CLOSURE has', () => {
    assert.ok(assertSame(shop, files.program).said.every(line => line.includes('left to the loader')));
    const env = { ELFNOTE_CLOSURE: file };
    assert.deepEqual(withoutC(assertSame(shop, files.program, [], env).said), allOf(files));
    assert.deepEqual(shop.missed(shop.traced(files.program, [], env)), []);
  });

  test('is not used by another program, which inherits the variable', () => {
    const other = shop.program('other', { needs: [files.one], runPath: files.dirs });
    const { said } = assertSame(shop, other, [], { ELFNOTE_CLOSURE: file });
    assert.ok(
      said.every(line => line.includes('left to the loader: ')),
      said.join('\n'),
    );
  });

  test('full of nonsense never keeps the program from running, nor changes what it loads', () => {
    const plain = shop.plain(files.program);
    const mutant = shop.at('mutant');
    let [state, answers] = [20261126, 0];
    const random = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    for (let round = 0; round < EXTENT.closureMutants; round++) {
      const bytes = Buffer.from(note);
      for (let count = 1 + random(3); count > 0; count--)
        bytes[random(bytes.length)] = [0, 1, 2, 0xff, 0x2f][random(8)] ?? random(256);
      writeFileSync(mutant, bytes);
      const { status, stdout, stderr } = shop.explained(files.program, [], { ELFNOTE_CLOSURE: mutant });
      assert.deepEqual([status, stdout], [0, plain], `round ${round}: ${stderr}`);
      answers += stderr.split('\n').filter(line => /: \/\S+$/.test(line)).length;
    }
    // Some were still good enough to be used.
    assert.ok(answers > EXTENT.closureMutants / 3, `${answers} answers`);
  });

  test('is worth nothing, and does no harm, cut off at any length or absent', () => {
    const plain = shop.plain(files.program);
    const short = shop.at('short');
    for (
      let size = note.length;
      size >= 0;
      size -= size > 60 && size < note.length - 8 ? EXTENT.closureCut : 1
    ) {
      writeFileSync(short, note);
      truncateSync(short, size);
      const { status, stdout } = shop.explained(files.program, [], { ELFNOTE_CLOSURE: short });
      assert.deepEqual([status, stdout], [0, plain], `${size} bytes`);
    }
    for (const path of [shop.at('none'), shop.dir, '']) {
      assert.equal(shop.explained(files.program, [], { ELFNOTE_CLOSURE: path }).stdout, plain);
    }
  });
});

for (const suite of share(SUITES, EXTENT.suites)) {
  const later = generation(suite);
  test(`a closure note is used by the loader of Debian ${suite}`, { skip: needs('gcc') }, t => {
    if (isSkipped(t, later.skip)) return;
    const shop = new ClosureShop(tempDir(t));
    const { one, two, dirs, ...rest } = deep(shop);
    const runPath = [...dirs, later.libraries];
    const flags = [`-Wl,--dynamic-linker=${later.loader}`];
    const program = shop.programWithClosure('later', { needs: [one, two], runPath, flags });
    const files = { one, two, dirs, ...rest, program };
    const [loader, ...args] = onGeneration(later, program);
    assert.equal(shop.plain(program), shop.plain(loader, args));
    assert.deepEqual(withoutC(assertSame(shop, program).said), allOf(files));
    assertSame(shop, program, ['open:libtwo.so.1', 'new:libtwo.so.1', 'close']);
  });
}
