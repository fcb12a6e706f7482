import assert from 'node:assert/strict';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { beforeEach, describe, test } from 'node:test';
import { runOver } from '../../src/batch/run.js';
import { findFiles, type WalkOptions } from '../../src/batch/walk.js';
import { ElfnoteError } from '../../src/errors.js';
import { lockBeside, temporaryBeside } from '../../src/files/temporary.js';
import type { FileOutcome } from '../../src/outcome.js';
import { FIXTURES, ROOT } from '../support/cli.js';
import { suiteScope, tempDir } from '../support/temp.js';

const scope = suiteScope();
let top: string;
beforeEach(() => {
  top = tempDir(scope);
});

function file(name: string | Buffer): void {
  const path = typeof name === 'string' ? join(top, name) : Buffer.concat([Buffer.from(`${top}/`), name]);
  if (typeof path === 'string') mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, '');
}

/** What a walk of `top` finds, relative to it; `NAME: why` is a place that cannot be read, `NAME = NAME` a file again. */
async function found(options: WalkOptions = {}, ...paths: readonly string[]): Promise<string[]> {
  const files = await findFiles(paths.length > 0 ? paths : [top], options);
  return files.map(({ path, unreadable, sameAs }) => {
    const why = unreadable === undefined ? '' : `: ${unreadable}`;
    return `${relative(top, path)}${why}${sameAs === undefined ? '' : ` = ${relative(top, sameAs)}`}`;
  });
}

describe('a walk', () => {
  test('finds every regular file, hidden ones too, sorted by name, and says that nobody named it', async () => {
    for (const name of ['b', 'a/z', 'a/.x', '.h/y', 'c/d/e']) file(name);
    assert.deepEqual(await found(), ['.h/y', 'a/.x', 'a/z', 'b', 'c/d/e']);
    assert.deepEqual(
      (await findFiles([top])).map(({ explicit }) => explicit),
      [false, false, false, false, false],
    );
  });

  test('leaves .build-id directories out at any depth', async () => {
    for (const name of ['.build-id/ab/1', 'usr/lib/.build-id/ab/2', 'x/build-id/3', 'x/.build-ids/4'])
      file(name);
    assert.deepEqual(await found(), ['x/.build-ids/4', 'x/build-id/3']);
  });

  test('leaves out what another run has not finished', async () => {
    const copy = basename(temporaryBeside('x'));
    for (const name of [copy, copy.slice(1), '.x.elfnote-y', basename(lockBeside('x'))]) file(`d/${name}`);
    assert.deepEqual(await found(), ['d/.x.elfnote-y', `d/${copy.slice(1)}`]);
  });

  test('follows no link, neither to a file nor to a directory, inside the tree or out of it', async t => {
    const outside = tempDir(t);
    writeFileSync(join(outside, 'o'), '');
    file('d/a');
    symlinkSync('a', join(top, 'd/link'));
    symlinkSync('d', join(top, 'inside'));
    symlinkSync(outside, join(top, 'outside'));
    symlinkSync(join(outside, 'o'), join(top, 'file-outside'));
    symlinkSync('nowhere', join(top, 'dangling'));
    assert.deepEqual(await found(), ['d/a']);
    assert.deepEqual(await found({ include: ['outside/*', 'outside/o', 'inside/**'] }), []);
  });

  test('ends where links make a loop', async () => {
    file('d/a');
    symlinkSync('..', join(top, 'd/up'));
    symlinkSync('self', join(top, 'self'));
    symlinkSync('pong', join(top, 'ping'));
    symlinkSync('ping', join(top, 'pong'));
    assert.deepEqual(await found(), ['d/a']);
  });

  test('starts behind the link that was named', async () => {
    file('d/a');
    symlinkSync('d', join(top, 'result'));
    assert.deepEqual(await found({}, join(top, 'result')), ['result/a']);
  });

  const STRANGE = [
    'new\nline',
    '\nfirst',
    'return\r',
    '\u2028',
    'x\u2029y',
    '\ufdd00',
    'sp ace',
    ' ',
    'tab\t',
    '\u001b[31m',
    'back\\slash',
    '\\',
    '*',
    '?',
    '[x]',
    '{a,b}',
    '(y)',
    '@(z)',
    '!not',
    '-rf',
    '~',
    '...',
    '\ufffd',
    'é',
  ];
  for (const name of STRANGE) {
    test(`finds a file, and one in a directory, that is called ${JSON.stringify(name)}`, async () => {
      for (const path of [`f${name}`, `${name}f`, `d${name}/x`, `${name}d/${name}`]) file(path);
      const expected = [`f${name}`, `${name}f`, `d${name}/x`, `${name}d/${name}`].map(path =>
        join(top, path),
      );
      assert.deepEqual((await findFiles([top])).map(({ path }) => path).sort(), expected.sort());
    });
  }

  test('tells names with a line end from those that look like their code', async () => {
    for (const name of ['a\nb', 'a\ufdd00b', 'a\ufdd040b', 'a\rb']) file(name);
    assert.deepEqual(await found(), ['a\nb', 'a\rb', 'a\ufdd00b', 'a\ufdd040b']);
  });

  test('reports names that are not UTF-8, two that look alike too, and finds the others', async () => {
    for (const byte of [0xe9, 0xe8]) file(Buffer.from([...Buffer.from('f'), byte]));
    const directory = Buffer.from([...Buffer.from(`${top}/d`), 0xff]);
    mkdirSync(directory);
    writeFileSync(Buffer.concat([directory, Buffer.from('/inside')]), '');
    file('f\ufffd');
    file('z');
    assert.deepEqual(await found(), [
      'd\\xff: cannot open: its name is not UTF-8',
      'f\\xe8: cannot open: its name is not UTF-8',
      'f\\xe9: cannot open: its name is not UTF-8',
      'f\ufffd',
      'z',
    ]);
  });
});

describe('what is named', () => {
  test('is a file itself, in the order of the names, and explicit', async () => {
    for (const name of ['a', 'd/b', 'c']) file(name);
    const paths = ['c', 'd', 'a'].map(name => join(top, name));
    assert.deepEqual(await found({}, ...paths), ['c', 'd/b', 'a']);
    assert.deepEqual(
      (await findFiles(paths)).map(({ explicit }) => explicit),
      [true, false, true],
    );
  });

  test('and cannot be read is said in its place', async () => {
    file('a');
    const paths = ['gone', 'a', 'a/below'].map(name => join(top, name));
    assert.deepEqual(await found({}, ...paths), [
      'gone: cannot open: no such file or directory',
      'a',
      'a/below: cannot open: a part of the path is not a directory',
    ]);
  });

  test('by a loop of links cannot be read', async () => {
    symlinkSync('loop', join(top, 'loop'));
    assert.deepEqual(await found({}, join(top, 'loop')), [
      'loop: cannot open: too many levels of symbolic links',
    ]);
  });

  test('by a program, in a list, comes last and is not explicit', async () => {
    for (const name of ['a', 'd/b']) file(name);
    const listed = { paths: [join(top, 'd'), join(top, 'none')], failures: [] };
    const files = await findFiles([join(top, 'a')], { listed });
    assert.deepEqual(
      files.map(({ path, explicit }) => [relative(top, path), explicit]),
      [
        ['a', true],
        ['d/b', false],
        ['none', false],
      ],
    );
  });
});

describe('a file with several paths', () => {
  test('is taken at the first, in a walk and when it is named', async () => {
    file('b');
    linkSync(join(top, 'b'), join(top, 'a'));
    mkdirSync(join(top, 'd'));
    linkSync(join(top, 'b'), join(top, 'd/c'));
    assert.deepEqual(await found(), ['a', 'b = a', 'd/c = a']);
    assert.deepEqual(await found({}, join(top, 'd'), top), ['d/c', 'a = d/c', 'b = d/c']);
  });

  test('by a link that is named with its target is taken once', async () => {
    file('a');
    symlinkSync('a', join(top, 'link'));
    assert.deepEqual(await found({}, join(top, 'link'), join(top, 'a')), ['link', 'a = link']);
  });

  test('that are spelled differently is taken once', async () => {
    file('d/a');
    assert.deepEqual(await found({}, `${top}/d`, `${top}/d/../d/a`, `${top}//d/`), ['d/a', 'd/a = d/a']);
  });

  test('that are the same is named once', async () => {
    file('d/a');
    const path = join(top, 'd/a');
    assert.deepEqual(await found({ listed: { paths: [path], failures: [] } }, top, path, path), ['d/a']);
  });
});

describe('patterns', () => {
  beforeEach(() => {
    for (const name of ['a.so', 'lib/a.so', 'lib/b.txt', 'lib/sub/c.so', 'bin/x', 'share/lib/d.so']) {
      file(name);
    }
  });

  /** Each with the files that are taken, or left out, by it. */
  const PATTERNS: readonly (readonly [string, readonly string[]])[] = [
    ['*.so', ['a.so', 'lib/a.so', 'lib/sub/c.so', 'share/lib/d.so']],
    ['a.so', ['a.so', 'lib/a.so']],
    ['[ab].*', ['a.so', 'lib/a.so', 'lib/b.txt']],
    ['*.{txt,none}', ['lib/b.txt']],
    ['lib/*.so', ['lib/a.so']],
    ['lib/**', ['lib/a.so', 'lib/b.txt', 'lib/sub/c.so']],
    ['./lib/*.so', ['lib/a.so']],
    ['**/lib/*.so', ['lib/a.so', 'share/lib/d.so']],
    ['lib/a.so', ['lib/a.so']],
    ['*/sub/*', ['lib/sub/c.so']],
    ['{bin,share}/**', ['bin/x', 'share/lib/d.so']],
    ['nothing/*', []],
    ['../*', []],
    ['/lib/*', []],
    ['!a.so', []],
  ];
  for (const [pattern, files] of PATTERNS) {
    test(`${pattern} means the same to --include as to --exclude`, async () => {
      const all = await found();
      assert.deepEqual(await found({ include: [pattern] }), files);
      assert.deepEqual(
        await found({ exclude: [pattern] }),
        all.filter(name => !files.includes(name)),
      );
    });
  }

  test('add up, and what is excluded is not included again', async () => {
    assert.deepEqual(await found({ include: ['*.txt', 'bin/*'] }), ['bin/x', 'lib/b.txt']);
    assert.deepEqual(await found({ exclude: ['*.so', 'bin/*'] }), ['lib/b.txt']);
    assert.deepEqual(await found({ include: ['*.so'], exclude: ['a.so', 'share/**'] }), ['lib/sub/c.so']);
  });

  for (const pattern of ['lib', 'lib/', '**/lib', '**/lib/**']) {
    test(`${pattern} excludes directories of that name with all that is below`, async () => {
      assert.deepEqual(await found({ exclude: [pattern] }), ['a.so', 'bin/x']);
    });
  }

  test('that exclude a directory keep the walk out of it', async () => {
    file(Buffer.from([...Buffer.from('lib/'), 0xe9]));
    const complaints = async (options: WalkOptions) =>
      (await found(options)).filter(name => name.includes('UTF-8'));
    assert.deepEqual(await complaints({}), ['lib/\\xe9: cannot open: its name is not UTF-8']);
    assert.deepEqual(await complaints({ exclude: ['lib'] }), []);
  });

  test('match hidden names and those with line ends', async () => {
    for (const name of ['.hidden.so', 'two\nlines.so', 'd\n/e.so']) file(name);
    const hidden = ['.hidden.so', 'd\n/e.so', 'two\nlines.so'];
    const include = ['.hid*', 'two*', 'd*/e.so'];
    assert.deepEqual(await found({ include }), hidden);
    assert.deepEqual(
      (await found({ exclude: include })).filter(name => hidden.includes(name)),
      [],
    );
    assert.deepEqual(await found({ include: ['two\nlines.so'] }), ['two\nlines.so']);
    assert.equal((await found({ exclude: ['two\nlines.so'] })).includes('two\nlines.so'), false);
  });

  test('do not touch files that were named', async () => {
    const path = join(top, 'bin/x');
    assert.deepEqual(await found({ include: ['*.so'], exclude: ['x'] }, path), ['bin/x']);
  });

  test('that are empty are a mistake of the caller', async () => {
    for (const options of [{ include: [''] }, { exclude: ['*.so', ''] }]) {
      await assert.rejects(
        findFiles([top], options),
        (error: unknown) => error instanceof ElfnoteError && error.code === 'usage',
      );
    }
  });
});

test('a walk of a relative directory gives relative paths, of failures too', async t => {
  file('d/a');
  file(Buffer.from([...Buffer.from('d/'), 0xe9]));
  const before = process.cwd();
  t.after(() => process.chdir(before));
  process.chdir(top);
  assert.deepEqual(
    (await findFiles(['.', './d'])).map(({ path }) => path),
    ['d/\\xe9', 'd/a'],
  );
});

describe('a tree that others change while it is worked on', () => {
  const swaps: Readonly<Record<string, (below: string) => void>> = {
    'a directory whose place a link has taken': below => {
      renameSync(join(top, 'tree/dir'), join(top, 'tree/old'));
      symlinkSync(below, join(top, 'tree/dir'));
    },
    'a file whose place a link has taken': below => {
      rmSync(join(top, 'tree/dir/file'));
      symlinkSync(join(below, 'file'), join(top, 'tree/dir/file'));
    },
  };
  for (const [what, swap] of Object.entries(swaps)) {
    test(`does not lead out of itself by ${what}`, async () => {
      const bytes = readFileSync(join(FIXTURES, 'kinds/pie-bfd'));
      for (const dir of ['tree/dir', 'elsewhere']) {
        mkdirSync(join(top, dir), { recursive: true });
        writeFileSync(join(top, dir, 'file'), bytes);
      }
      const files = await findFiles([join(top, 'tree')]);
      swap(join(top, 'elsewhere'));
      const outcomes: FileOutcome[] = [];
      const job = { kind: 'build', options: { root: ROOT } } as const;
      for await (const { outcome } of runOver(files, job)) outcomes.push(outcome);
      assert.deepEqual(
        outcomes.map(outcome => outcome.action === 'failed' && outcome.error.line),
        [`${join(top, 'tree/dir/file')}: another process put something else in its place`],
      );
      assert.ok(readFileSync(join(top, 'elsewhere/file')).equals(bytes));
    });
  }
});
