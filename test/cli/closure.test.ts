import assert from 'node:assert/strict';
import {
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { BIN, elfnote, elfnoteOk, jsonLines, needsNobody, run, runMany, runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { needsTracing, trace } from '../support/reader.js';
import { assertSame, type Closure, closure, ReaderShop } from '../support/reader-shop.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const skip = needsTracing('gcc');

describe('build-cache --closure', { skip }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    files = closure(shop);
  });
  const close = (...args: readonly string[]) =>
    elfnoteHereOk(['build-cache', '--closure', '--store-dir', shop.dir, ...args, files.program]);

  test('one patched program finds what its untouched libraries need', () => {
    const libraries = [files.one, files.two, files.three].map(path => readFileSync(path));
    close();
    const { said } = assertSame(shop, files.program);
    assert.ok(said.includes('libthree.so.1 for two/libtwo.so.1: three/libthree.so.1'), said.join('\n'));
    assert.deepEqual(shop.missed(shop.traced(files.program)), []);
    for (const [i, path] of [files.one, files.two, files.three].entries())
      assert.ok(libraries[i]?.equals(readFileSync(path)));
  });

  test('a second run changes nothing, and one without --closure renews the note', () => {
    close();
    const bytes = readFileSync(files.program);
    assert.match(close().stdout, /up to date/);
    const store = ['--store-dir', shop.dir];
    assert.match(elfnoteHereOk(['build-cache', ...store, files.program]).stdout, /up to date/);
    assert.ok(bytes.equals(readFileSync(files.program)));
  });

  test('verify calls it fresh', () => {
    close();
    assert.match(elfnoteHereOk(['verify', '--store-dir', shop.dir, files.program]).stdout, /fresh/);
  });

  test('remove-cache takes both notes out, byte for byte', () => {
    const other = new ReaderShop(tempDir(scope));
    const own = closure(other);
    const bytes = readFileSync(own.program);
    elfnoteHereOk(['build-cache', '--closure', own.program]);
    assert.ok(!bytes.equals(readFileSync(own.program)));
    elfnoteHereOk(['remove-cache', own.program]);
    assert.ok(bytes.equals(readFileSync(own.program)));
  });

  test('in a walk programs carry one and libraries do not, and libraries come first', () => {
    const other = new ReaderShop(tempDir(scope));
    const own = closure(other);
    const { stdout } = elfnoteHereOk(['build-cache', '--closure', '-v', other.dir]);
    const order = ['libone.so.1', 'libtwo.so.1', 'program'].map(name => stdout.indexOf(`/${name}: `));
    assert.ok(Math.max(order[0] ?? 0, order[1] ?? 0) < (order[2] ?? 0), stdout);
    const noted = (path: string) => runOk('readelf', ['-n', path]).stdout.match(/elfnote\s+0x\w+/g)?.length;
    assert.equal(noted(own.program), (noted(own.two) ?? 0) + 1);
  });

  test('a library of another name by now is left to the loader', () => {
    const other = new ReaderShop(tempDir(scope));
    const own = closure(other);
    elfnoteHereOk(['build-cache', '--closure', own.program]);
    renameSync(own.three, other.at('two', 'libthree.so.1'));
    const { said } = assertSame(other, own.program);
    assert.ok(
      said.some(line => /^libthree.so.1 for .*left to the loader/.test(line)),
      said.join('\n'),
    );
  });

  test('what ld.so.cache gives is recorded only with --system-libraries, behind a run path that is in stores', () => {
    close();
    const libc = (...args: string[]) => {
      elfnoteHereOk(['build-cache', ...args, files.program]);
      return elfnoteHereOk(['dump', files.program]).stdout.match(/libc\.so\.6\n\s+= (\S+)/)?.[1];
    };
    assert.equal(libc('--store-dir', shop.dir), undefined);
    assert.equal(libc('--system-libraries', '--store-dir', shop.at('one')), undefined);
    const path = libc('--system-libraries', '--store-dir', shop.dir);
    const cached = runOk('/sbin/ldconfig', ['-p']).stdout.match(
      /libc\.so\.6 \(libc6,x86-64[^)]*\) => (\S+)/,
    )?.[1];
    assert.equal(path, cached);
    assert.doesNotMatch(elfnoteHereOk(['dump', files.program]).stdout, /stale/);
    assert.deepEqual(shop.own(shop.traced(files.program).missed), []);
  });
});

test('what is said of stores is a mistake where none is known: status 2 and one line', () => {
  for (const [option, ...args] of [
    ['--system-libraries', 'build-cache'],
    ['--trust-store', 'build-cache', '--closure'],
    ['--system-libraries', 'verify'],
  ]) {
    const { status, stdout, stderr } = elfnoteHere([...args, String(option), '/no/such']);
    const line = `elfnote: ${option} needs --store-dir: the directories whose contents never change\n`;
    assert.deepEqual({ status, stdout, stderr }, { status: 2, stdout: '', stderr: line });
    const known = elfnoteHere([...args, String(option), '/no/such'], { env: { NIX_STORE: '/nix/store' } });
    assert.match(known.stderr, /^elfnote: \/no\/such: cannot open/);
  }
});

describe('a closure note that is renewed', { skip }, () => {
  const scope = suiteScope();
  const written = (...args: readonly string[]) => {
    const shop = new ReaderShop(tempDir(scope));
    const { program } = closure(shop);
    const store = ['--store-dir', shop.dir];
    elfnoteHereOk(['build-cache', '--closure', ...store, ...args, program]);
    return { program, store, bytes: readFileSync(program) };
  };

  for (const args of [['--system-libraries'], ['--trust-store'], ['--system-libraries', '--trust-store']]) {
    test(`keeps what ${args.join(' and ')} has put into it`, () => {
      const { program, store, bytes } = written(...args);
      const { stdout, stderr } = elfnoteHereOk(['build-cache', ...store, program]);
      assert.match(stdout, /up to date/);
      assert.doesNotMatch(stderr, /renewed without/);
      assert.ok(bytes.equals(readFileSync(program)));
    });

    test(`without a store says that it has lost ${args.join(' and ')}`, () => {
      const { program } = written(...args);
      const { stderr } = elfnoteHereOk(['build-cache', program]);
      const said = [
        ...stderr.matchAll(/its closure note is renewed without (\S+), and needs --store-dir for it/g),
      ];
      assert.deepEqual(said.map(([, option]) => option).sort(), args);
    });
  }

  test('has the sizes that libraries have when they are finished, which the same run has begun before', () => {
    const shop = new ReaderShop(tempDir(scope));
    const dirs = ['a', 'b'].map(dir => shop.at(dir));
    const library = shop.library('a', 'a', { needs: [shop.library('b', 'b')], runPath: dirs });
    const program = shop.program('program', { needs: [library], runPath: dirs });
    elfnoteHereOk(['build-cache', '--closure', '--placement', 'tail', shop.dir]);
    const [bytes, size] = [readFileSync(program), statSync(library).size];
    elfnoteHereOk(['remove-cache', library]);
    assert.notEqual(statSync(library).size, size);
    const { stdout } = elfnoteHereOk(['build-cache', '--json', '--placement', 'tail', shop.dir]);
    const files = jsonLines(stdout).filter(({ path }) => path === library || path === program);
    assert.deepEqual(
      files.map(({ path, action }) => [path, action]),
      [
        [library, 'written'],
        [program, 'up-to-date'],
      ],
    );
    assert.ok(bytes.equals(readFileSync(program)));
  });

  test('has what the options of a new --closure say, and nothing of the older one', () => {
    const { program, store } = written('--system-libraries', '--trust-store');
    elfnoteHereOk(['build-cache', '--closure', ...store, program]);
    const { bytes } = written();
    assert.ok(readFileSync(program).length <= bytes.length);
    assert.match(elfnoteHereOk(['build-cache', ...store, program]).stdout, /up to date/);
  });
});

describe('outside a Nix build', { skip: needs('gcc') }, () => {
  const scope = suiteScope();
  const GAIN = /would let (\d+) librar(?:y|ies) be found at once/g;
  const gain = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    [...elfnoteHereOk(['build-cache', '--dry-run', ...args], { env }).stderr.matchAll(GAIN)].map(match =>
      Number(match[1]),
    );

  test('one line says how many libraries --system-libraries would let be found at once', () => {
    const shop = new ReaderShop(tempDir(scope));
    const files = closure(shop);
    const store = ['--store-dir', shop.dir];
    assert.deepEqual(gain([...store, files.program]), [1]);
    // Four objects need libc.so.6, of which those with a run path look for it there: the program, and libtwo.so.1.
    assert.deepEqual(gain([...store, shop.dir]), [2]);
    assert.deepEqual(gain([...store, '--quiet', shop.dir]), []);
    const named = elfnoteHereOk(['build-cache', '--dry-run', '--json', ...store, files.program]).stdout;
    assert.match(named, /"onSystem":1,/);
    elfnoteHereOk(['build-cache', ...store, '--system-libraries', files.program]);
    const libc = elfnoteHereOk(['dump', files.program]).stdout.match(/libc\.so\.6\n\s+= \S+/g);
    assert.equal(libc?.length, 1);
  });

  test('nothing is said where there is nothing to gain, or nothing to be told of', t => {
    const shop = new ReaderShop(tempDir(t));
    const files = closure(shop);
    const store = ['--store-dir', shop.dir];
    assert.deepEqual(gain([...store, files.program], { NIX_BUILD_TOP: shop.dir }), []);
    assert.deepEqual(gain([files.program]), []);
    assert.deepEqual(gain([...store, '--system-libraries', files.program]), []);
    assert.deepEqual(gain([...store, '--like-patchelf', files.program]), []);
    assert.deepEqual(gain(['--store-dir', shop.at('one'), files.program]), []);
    const bare = shop.library('bare', 'bare', { runPath: [shop.at('one')], flags: ['-Wl,-z,nodefaultlib'] });
    assert.deepEqual(gain([...store, bare]), []);
  });

  test('what an object with -z nodefaultlib finds on the system is not recorded', t => {
    const shop = new ReaderShop(tempDir(t));
    const one = shop.library('one', 'one');
    const args = ['build-cache', '--system-libraries', '--store-dir', shop.dir];
    const sonames = (flags: readonly string[]) => {
      const file = shop.library('bare', 'bare', { needs: [one], runPath: [shop.at('one')], flags });
      elfnoteHereOk([...args, file]);
      return [...elfnoteHereOk(['dump', file]).stdout.matchAll(/^ {2}(lib\S+)$/gm)].map(match => match[1]);
    };
    assert.deepEqual(sonames(['-Wl,-z,nodefaultlib']), ['libone.so.1']);
    assert.deepEqual(sonames([]).sort(), ['libc.so.6', 'libone.so.1']);
  });

  test('a file that gains nothing makes it read nothing, and a walk reads ld.so.cache once', { skip }, t => {
    const shop = new ReaderShop(tempDir(t));
    const files = closure(shop);
    const reads = (...args: readonly string[]) => {
      const command = [process.execPath, BIN, 'build-cache', '--dry-run', '--store-dir', shop.dir, ...args];
      const log = shop.at('log');
      runOk('strace', ['-f', '-e', 'trace=openat', '-o', log, ...command]);
      return (
        readFileSync(log, 'utf8').match(
          /\d+ +openat\([^"]*"\/etc\/ld\.so\.cache".*O_RDONLY\|[A-Z_|]*O_CLOEXEC\) += \d+/g,
        )?.length ?? 0
      );
    };
    // Node's own loader reads it too.
    const none = reads(files.three);
    assert.equal(reads(shop.dir), none + 1);
  });
});

describe('exec --cached', { skip }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  let cache: string;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    files = closure(shop);
    cache = shop.at('cache');
  });
  const notes = () => readdirSync(join(cache, 'elfnote')).filter(name => name.endsWith('.closure'));
  const environment = () => ({ XDG_CACHE_HOME: cache, HOME: shop.dir });
  /** Makes the closure note as for a run, and says what would be in the environment. */
  const printed = (program: string, env: Readonly<Record<string, string>> = environment()) =>
    elfnoteHereOk(['exec', '--cached', '--print-env', program], { env }).stdout.trimEnd().split('\n');

  test('finds every library of a program that nobody has touched', () => {
    const before = readFileSync(files.program);
    const { stdout } = elfnoteOk(['exec', '--cached', files.program], { env: environment() });
    assert.equal(stdout, shop.plain(files.program));
    assert.ok(before.equals(readFileSync(files.program)));
    const env = Object.fromEntries(printed(files.program).map(line => line.split(/=(.*)/s).slice(0, 2)));
    assert.deepEqual(Object.keys(env), ['LD_AUDIT', 'GLIBC_TUNABLES', 'ELFNOTE_CLOSURE']);
    const traced = trace(shop.dir, files.program, [], env, { cwd: shop.dir });
    assert.deepEqual(shop.missed(traced), []);
    assert.equal(notes().length, 1);
  });

  test('the file is made once, and anew when the program has changed', () => {
    printed(files.program);
    const [name = ''] = notes();
    const path = join(cache, 'elfnote', name);
    const made = readFileSync(path);
    printed(files.program);
    assert.deepEqual(notes(), [name]);
    writeFileSync(files.program, readFileSync(files.program));
    printed(files.program);
    assert.equal(notes().length, 2);
    assert.ok(made.equals(readFileSync(path)));
  });

  test('a file cut at any length is made anew, and the module takes none that is cut', () => {
    const other = new ReaderShop(tempDir(scope));
    const own = closure(other);
    const env = { XDG_CACHE_HOME: other.at('cache') };
    printed(own.program, env);
    const dir = other.at('cache', 'elfnote');
    const [name = ''] = readdirSync(dir);
    const whole = readFileSync(join(dir, name));
    const plain = other.plain(own.program);
    for (let size = 0; size < whole.length; size += 7) {
      writeFileSync(join(dir, name), whole.subarray(0, size));
      const cut = { LD_AUDIT: other.reader, ELFNOTE_CLOSURE: join(dir, name) };
      assert.equal(runOk(own.program, [], { env: cut, cwd: other.dir }).stdout, plain, `cut at ${size}`);
    }
    printed(own.program, env);
    assert.ok(whole.equals(readFileSync(join(dir, name))));
  });

  test('two at once leave one whole file and nothing else', async () => {
    const env = `XDG_CACHE_HOME=${shop.at('cache2')}`;
    const command = ['env', env, process.execPath, BIN, 'exec', '--cached', files.program] as const;
    const results = await runMany([command, command], 60_000);
    for (const { status, stdout } of results) {
      assert.equal(status, 0);
      assert.equal(stdout, shop.plain(files.program));
    }
    assert.equal(readdirSync(join(shop.at('cache2'), 'elfnote')).length, 1);
  });

  test('a child of another program that inherits the variable has a closure of its own', () => {
    const copy = shop.at('elsewhere');
    copyFileSync(runOk('which', ['true']).stdout.trim(), copy);
    const child = run('env', [...printed(files.program), 'ELFNOTE_DEBUG=1', copy]);
    assert.equal(child.status, 0);
    assert.doesNotMatch(child.stderr, /shop|\/one\/|\/two\//);
  });

  test('--system-libraries is a mistake where no store is known: status 2, one line, and nothing is run', () => {
    const args = ['exec', '--cached', '--system-libraries'];
    const line =
      'elfnote: --system-libraries needs --store-dir: the directories whose contents never change\n';
    const { status, stdout, stderr } = elfnoteHere([...args, files.program], { env: environment() });
    assert.deepEqual({ status, stdout, stderr }, { status: 2, stdout: '', stderr: line });
    const known = elfnoteOk([...args, '--store-dir', shop.dir, files.program], { env: environment() });
    assert.equal(known.stdout, shop.plain(files.program));
  });

  test('where no cache can be written the program runs without one, and elfnote says so', () => {
    writeFileSync(shop.at('file'), '');
    const result = elfnote(['exec', '--cached', files.program], { env: { XDG_CACHE_HOME: shop.at('file') } });
    assert.equal(result.status, 0);
    assert.equal(result.stdout, shop.plain(files.program));
    assert.match(
      result.stderr,
      // Node 22 and later have nothing to look at there, and fail where it is made.
      /^elfnote: .*runs without a closure note: .*\/file\/elfnote: cannot (?:look at|make) the cache directory/,
    );
    assert.ok(existsSync(files.program));
  });

  test('a user without a home directory has no cache, and the program runs', {
    skip: needsNobody(),
  }, () => {
    const ids = ['--reuid', '12345', '--regid', '12345', '--clear-groups'];
    const args = ['env', '-u', 'HOME', '-u', 'XDG_CACHE_HOME', process.execPath, BIN, 'exec', '--cached'];
    const { status, stderr } = run('setpriv', [...ids, ...args, '/bin/true']);
    assert.equal(status, 0);
    assert.match(stderr, /^elfnote: .*runs without a closure note: the user has no home directory.*\n$/);
  });
});

/** The source of a note that declares libraries to dlopen. */
function declaring(...lists: readonly string[]): string {
  const json = JSON.stringify(lists.join());
  return `__attribute__((used, section(".note.dlopen"), aligned(4))) static const struct {
  unsigned namesz, descsz, type; char name[4]; char json[sizeof ${json}];
} note = {4, sizeof ${json}, 0x407c0c0a, "FDO", ${json}};\n`;
}

const OPENS = '#include <dlfcn.h>\nvoid *user_opens(const char *n) { return dlopen(n, RTLD_NOW); }\n';
const NOTE = declaring(
  '[{"soname":["libplugin.so.1","libabsent.so.2"],"feature":"plugins","priority":"suggested"}]',
);

describe('build-cache --dlopen', { skip: needs('gcc') }, () => {
  const scope = suiteScope();

  test('records what a file declares to dlopen, and nothing of it without the option', () => {
    const shop = new ReaderShop(tempDir(scope));
    const plugin = shop.library('plugins', 'plugin');
    const one = shop.library('one', 'one');
    const user = shop.library('user', 'user', {
      source: NOTE,
      needs: [one],
      runPath: [join(one, '..'), join(plugin, '..')],
    });
    const sonames = () =>
      [...elfnoteHereOk(['dump', user]).stdout.matchAll(/^ {2}(lib\S+)$/gm)].map(match => match[1]);
    const declared = () => elfnoteHere(['dump', user]).stdout.match(/^ {2}dlopen .*$/gm);
    const text = (plugins: string) => [
      `  dlopen libplugin.so.1 (plugins, suggested): ${plugins}`,
      '  dlopen libabsent.so.2 (plugins, suggested): not recorded',
    ];
    assert.deepEqual(declared(), text('not recorded'));
    elfnoteHereOk(['build-cache', '--store-dir', shop.dir, user]);
    assert.deepEqual(sonames(), ['libone.so.1']);
    assert.deepEqual(declared(), text('not recorded'));
    elfnoteHereOk(['build-cache', '--store-dir', shop.dir, '--dlopen', user]);
    assert.deepEqual(sonames(), ['libone.so.1', 'libplugin.so.1']);
    assert.deepEqual(declared(), text('recorded'));
    assert.match(
      elfnoteHereOk(['dump', '--json', user]).stdout,
      /"soname":"libplugin.so.1","feature":"plugins","priority":"suggested","recorded":true/,
    );
  });
});

describe('what objects of a closure declare to dlopen', { skip }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let program: string;
  let plugin: string;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    const part = shop.library('part', 'part');
    const empty = shop.library('empty', 'other');
    plugin = shop.library('plugins', 'plugin', {
      needs: [part],
      runPath: [join(empty, '..'), join(part, '..')],
    });
    const user = shop.library('user', 'user', {
      source: NOTE + OPENS,
      runPath: [join(empty, '..'), join(plugin, '..')],
    });
    program = shop.program('program', { needs: [user] });
  });
  const missed = () => {
    const traced = shop.traced(program, ['call:user_opens:libplugin.so.1']);
    assert.ok(
      shop.own(traced.opened).some(path => path.endsWith('/libpart.so.1')),
      traced.opened.join('\n'),
    );
    return shop.missed(traced).filter(path => /lib(?:plugin|part)/.test(path));
  };

  test('is answered from the closure note of the program, and what it needs too, only with --dlopen', () => {
    const store = ['--closure', '--store-dir', shop.dir];
    elfnoteHereOk(['build-cache', ...store, program]);
    assert.ok(missed().length >= 2);
    elfnoteHereOk(['build-cache', ...store, '--dlopen', program]);
    assert.deepEqual(missed(), []);
  });

  test('stays in a note that is renewed without the option, until --closure is given without it', () => {
    const store = ['--store-dir', shop.dir];
    elfnoteHereOk(['build-cache', '--closure', ...store, '--dlopen', program]);
    const bytes = readFileSync(program);
    assert.match(elfnoteHereOk(['build-cache', ...store, program]).stdout, /up to date/);
    assert.match(elfnoteHereOk(['verify', ...store, program]).stdout, /fresh/);
    assert.ok(bytes.equals(readFileSync(program)));
    elfnoteHereOk(['build-cache', '--closure', ...store, program]);
    assert.ok(missed().length >= 2);
  });

  test('is told by trace, and counts in no figure', () => {
    const { stdout } = elfnoteHereOk(['trace', program]);
    assert.match(stdout, /^1 library|^2 libraries/);
    const [found, absent] = stdout.match(/^ {2}lib\S+ by .*$/gm) ?? [];
    assert.ok(
      found?.startsWith(`  libplugin.so.1 by libuser.so.1 (plugins, suggested): ${plugin} [runpath`),
      stdout,
    );
    assert.equal(absent, '  libabsent.so.2 by libuser.so.1 (plugins, suggested): not found');
    const json = elfnoteHereOk(['trace', '--json', program]).stdout;
    assert.ok(
      json.includes(
        `"name":"libplugin.so.1","feature":"plugins","priority":"suggested","path":"${plugin}","how":"runpath"`,
      ),
      json,
    );
    assert.ok(
      json.includes(
        '"name":"libabsent.so.2","feature":"plugins","priority":"suggested","path":null,"how":null',
      ),
    );
    assert.doesNotMatch(json, /libpart/);
  });
});
