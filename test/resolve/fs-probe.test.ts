import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, mock, test } from 'node:test';
import { withFaults } from '../../scripts/hardening/shim.js';
import { ElfnoteError } from '../../src/errors.js';
import { FileSystemProbe } from '../../src/resolve/fs-probe.js';
import type { Candidate } from '../../src/resolve/probe.js';
import { run } from '../support/cli.js';
import { compileOnce } from '../support/compile-once.js';
import { buildElf } from '../support/elf-builder.js';
import { needs } from '../support/tools.js';

let top: string;
before(() => {
  top = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'elfnote-probe-')));
});
after(() => fs.rmSync(top, { recursive: true }));

let count = 0;
let root: string;
beforeEach(() => {
  root = join(top, `root${++count}`);
  fs.mkdirSync(root);
});

const ELF = buildElf({ needed: ['x'], e_machine: 183, e_flags: 7 }).bytes;

function file(path: string, bytes: Buffer = ELF): void {
  const at = join(root, path);
  fs.mkdirSync(join(at, '..'), { recursive: true });
  fs.writeFileSync(at, bytes);
}

function link(path: string, target: string): void {
  const at = join(root, path);
  fs.mkdirSync(join(at, '..'), { recursive: true });
  fs.symlinkSync(target, at);
}

const kindOf = (candidate: Candidate) => candidate.kind;
const whyOf = (candidate: Candidate) => (candidate.kind === 'elf' ? undefined : candidate.why);

/** Lets a function of node:fs be counted or fail, for everyone who imported it. */
function replace(
  name: 'accessSync' | 'openSync' | 'readdirSync' | 'readlinkSync' | 'readSync',
  code: string | undefined,
  only?: string,
) {
  const original: (...args: never[]) => unknown = fs[name];
  const fake = mock.method(fs, name, (...args: never[]) => {
    const path = String(args[0]);
    if (code !== undefined && (only === undefined || path === only)) {
      throw Object.assign(new Error(`${code}: made up`), { code });
    }
    return original(...args);
  });
  syncBuiltinESMExports();
  return fake;
}
afterEach(() => {
  mock.restoreAll();
  syncBuiltinESMExports();
});

describe('what stands at a path', () => {
  test('an ELF file is described by its header', () => {
    file('lib/liba.so');
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/liba.so'), {
      kind: 'elf',
      is64: true,
      littleEndian: true,
      e_type: 3,
      e_machine: 183,
      e_flags: 7,
    });
  });

  test('a 32-bit big-endian file of no more than its header is described too', () => {
    const { bytes } = buildElf({ is64: false, littleEndian: false, e_machine: 8, e_type: 2 });
    file('lib/liba.so', bytes.subarray(0, 52));
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/liba.so'), {
      kind: 'elf',
      is64: false,
      littleEndian: false,
      e_type: 2,
      e_machine: 8,
      e_flags: 0,
    });
  });

  const broken: [rule: string, bytes: Buffer, why: RegExp][] = [
    ['an empty file is too short', Buffer.alloc(0), /^too short$/],
    ['a file of 15 bytes is too short', ELF.subarray(0, 15), /^too short$/],
    ['one of 16 bytes is looked at', ELF.subarray(0, 16), /ends inside the ELF header/],
    ['also where it is no ELF file', Buffer.alloc(16, 'x'), /^not an ELF file$/],
    ['a linker script is no ELF file', Buffer.from('GROUP ( /lib/libc.so.6 )\n'), /^not an ELF file$/],
    ['a file that ends in its header is broken', ELF.subarray(0, 40), /ends inside the ELF header/],
    ['a file of an unknown class is broken', Buffer.from(ELF).fill(9, 4, 5), /^EI_CLASS is 9$/],
  ];
  for (const [rule, bytes, why] of broken) {
    test(rule, () => {
      file('lib/liba.so', bytes);
      const candidate = new FileSystemProbe(root).candidate('/lib/liba.so');
      assert.equal(candidate.kind, 'broken');
      assert.match(whyOf(candidate) ?? '', why);
    });
  }

  test('a directory is broken, as ld.so fails to read it', () => {
    file('lib/liba.so/x');
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/liba.so'), {
      kind: 'broken',
      why: 'is a directory',
    });
  });

  test('what is not there is absent', () => {
    file('lib/liba.so');
    const probe = new FileSystemProbe(root);
    assert.deepEqual(probe.candidate('/lib/libb.so'), { kind: 'absent', why: 'not there' });
    assert.equal(kindOf(probe.candidate('/nowhere/liba.so')), 'absent');
    assert.equal(kindOf(probe.candidate('/lib/liba.so/x')), 'absent');
  });

  test('a dangling link is absent', () => {
    link('lib/liba.so', 'gone.so');
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/liba.so'), {
      kind: 'absent',
      why: 'dangling link',
    });
    assert.equal(kindOf(new FileSystemProbe().candidate(join(root, 'lib/liba.so'))), 'absent');
  });

  test('a file without permission is absent: ld.so goes on', () => {
    file('lib/liba.so');
    replace('openSync', 'EACCES', join(root, 'lib/liba.so'));
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/liba.so'), {
      kind: 'absent',
      why: 'no permission',
    });
  });

  test('a library in the root directory is found', () => {
    file('liba.so');
    assert.equal(kindOf(new FileSystemProbe(root).candidate('/liba.so')), 'elf');
  });

  test('a name that is no UTF-8 is looked up by its bytes', () => {
    fs.mkdirSync(join(root, 'lib'));
    fs.writeFileSync(Buffer.concat([Buffer.from(join(root, 'lib/')), Buffer.from([0x61, 0xff, 0xe9])]), ELF);
    const probe = new FileSystemProbe(root);
    assert.equal(kindOf(probe.candidate('/lib/a\xff\xe9')), 'elf');
    assert.deepEqual([...(probe.names('/lib') ?? [])], ['a\xff\xe9']);
    assert.equal(kindOf(new FileSystemProbe().candidate(`${root}/lib/a\xff\xe9`)), 'elf');
  });

  test('a FIFO and a device are broken, and neither is opened, also through a link', () => {
    fs.mkdirSync(join(root, 'lib'));
    execFileSync('mkfifo', [join(root, 'lib/pipe')]);
    link('lib/liba.so', 'pipe');
    const opened = replace('openSync', undefined);
    const own = new FileSystemProbe();
    const paths = ['lib/pipe', 'lib/liba.so'].map(name => join(root, name));
    const seen = [...paths, '/dev/null', '/dev/zero'].map(path => own.candidate(path));
    seen.push(new FileSystemProbe(root).candidate('/lib/liba.so'));
    for (const candidate of seen)
      assert.deepEqual(candidate, { kind: 'broken', why: 'is not a regular file' });
    assert.equal(opened.mock.callCount(), 0);
  });

  test('a device that may not be read is absent: ld.so goes on', () => {
    replace('accessSync', 'EACCES', '/dev/null');
    const candidate = new FileSystemProbe().candidate('/dev/null');
    assert.deepEqual(candidate, { kind: 'absent', why: 'no permission' });
  });

  test('a socket is broken: open(2) fails with what ends the search', async () => {
    fs.mkdirSync(join(root, 'lib'));
    const server = createServer().listen(join(root, 'lib/liba.so'));
    await once(server, 'listening');
    const candidate = new FileSystemProbe(root).candidate('/lib/liba.so');
    server.close();
    assert.deepEqual(candidate, { kind: 'broken', why: 'a socket' });
  });

  test('a file that refuses to be read at an offset, as some of /proc do, is broken', () => {
    file('lib/liba.so');
    replace('readSync', 'EINVAL');
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/liba.so'), UNREADABLE);
  });

  test('no file stays open, whatever is found in it', () => {
    file('lib/liba.so');
    file('lib/libb.so', Buffer.from('GROUP ( /lib/libc.so.6 )\n'));
    file('lib/libc.so/x');
    const probe = new FileSystemProbe(root);
    probe.candidate('/lib/liba.so');
    const open = fs.readdirSync('/proc/self/fd').length;
    for (const name of ['libb.so', 'libc.so'])
      assert.equal(kindOf(probe.candidate(`/lib/${name}`)), 'broken');
    assert.equal(fs.readdirSync('/proc/self/fd').length, open);
  });
});

const UNREADABLE: Candidate = { kind: 'broken', why: 'cannot be read' };

describe('directories', () => {
  test('one that can be listed is searchable, with its names', () => {
    file('lib/liba.so');
    file('lib/libb.so');
    const probe = new FileSystemProbe(root);
    assert.equal(probe.directory('/lib'), 'searchable');
    assert.deepEqual([...(probe.names('/lib') ?? [])].sort(), ['liba.so', 'libb.so']);
  });

  test('one that does not exist is missing, and has no names', () => {
    const probe = new FileSystemProbe(root);
    assert.equal(probe.directory('/none'), 'missing');
    assert.equal(probe.directory('/none/deeper'), 'missing');
    assert.equal(probe.names('/none'), undefined);
    assert.equal(new FileSystemProbe().directory(join(root, 'none')), 'missing');
  });

  test('a file is not a directory, with and without a root', () => {
    file('lib');
    assert.equal(new FileSystemProbe(root).directory('/lib'), 'not-a-directory');
    assert.equal(new FileSystemProbe().directory(join(root, 'lib')), 'not-a-directory');
  });

  test('one below a file is nothing to search', () => {
    file('lib');
    assert.notEqual(new FileSystemProbe(root).directory('/lib/sub'), 'searchable');
    assert.equal(new FileSystemProbe().directory(join(root, 'lib/sub')), 'not-a-directory');
  });

  test('one without search permission is unsearchable', () => {
    file('lib/liba.so');
    replace('accessSync', 'EACCES', join(root, 'lib'));
    assert.equal(new FileSystemProbe(root).directory('/lib'), 'unsearchable');
  });

  test('one that may be searched and not listed is searched for each name', () => {
    file('lib/liba.so');
    replace('readdirSync', 'EACCES', join(root, 'lib'));
    const probe = new FileSystemProbe(root);
    assert.equal(probe.directory('/lib'), 'searchable');
    assert.equal(probe.names('/lib'), undefined);
    assert.equal(kindOf(probe.candidate('/lib/liba.so')), 'elf');
    assert.equal(kindOf(probe.candidate('/lib/libb.so')), 'absent');
  });

  test('each directory is listed once, and each candidate opened once', () => {
    file('lib/liba.so');
    file('lib/libb.so');
    const listed = replace('readdirSync', undefined);
    const opened = replace('openSync', undefined);
    const probe = new FileSystemProbe(root);
    for (let i = 0; i < 5; i++) {
      probe.directory('/lib');
      probe.directory('/none');
      probe.names('/lib');
      for (const name of ['liba.so', 'libb.so', 'libc.so', 'libd.so']) probe.candidate(`/lib/${name}`);
    }
    assert.equal(listed.mock.callCount(), 1);
    assert.equal(opened.mock.callCount(), 2);
  });

  test('what is remembered is bounded, names counted; beyond it everything is looked up anew and right', () => {
    for (const dir of ['a', 'b', 'c']) for (const name of ['x', 'y', 'z']) file(`${dir}/${name}`);
    const listed = replace('readdirSync', undefined);
    const listings = (most: number, dirs: readonly string[]) => {
      const probe = new FileSystemProbe(undefined, most);
      const before = listed.mock.callCount();
      for (const dir of dirs) {
        assert.equal(probe.directory(join(root, dir)), 'searchable');
        assert.deepEqual([...(probe.names(join(root, dir)) ?? [])].sort(), ['x', 'y', 'z']);
      }
      return listed.mock.callCount() - before;
    };
    // A directory of three names counts as four.
    assert.equal(listings(8, ['a', 'b', 'a', 'b']), 2);
    assert.equal(listings(8, ['a', 'b', 'c', 'c', 'a', 'b']), 5);
    assert.equal(listings(2, ['a', 'a', 'b']), 2, 'the last one is kept, however large');
  });

  test('what was forgotten is seen as it is by then, candidates, links and real paths too', () => {
    file('lib/liba.so');
    link('real', 'lib');
    const probe = new FileSystemProbe(root, 10);
    const ask = () => [
      kindOf(probe.candidate('/lib/liba.so')),
      probe.realPath('/real'),
      probe.directory('/real'),
    ];
    assert.deepEqual(ask(), ['elf', '/lib', 'searchable']);
    fs.rmSync(join(root, 'lib'), { recursive: true });
    assert.deepEqual(ask(), ['elf', '/lib', 'searchable'], 'it remembers');
    for (let i = 0; i < 10; i++) assert.equal(probe.directory(`/none${i}`), 'missing');
    assert.deepEqual(ask(), ['absent', undefined, 'missing']);
  });
});

describe('links below a root', () => {
  test('a relative link is followed from where it stands', () => {
    file('store/a/liba.so.1');
    link('store/a/liba.so', 'liba.so.1');
    link('lib/liba.so', '../store/a/liba.so');
    const probe = new FileSystemProbe(root);
    assert.equal(kindOf(probe.candidate('/lib/liba.so')), 'elf');
    assert.equal(probe.realPath('/lib/liba.so'), '/store/a/liba.so.1');
  });

  test('an absolute link is followed from the root, not from the machine’s', () => {
    file('store/a/liba.so');
    // Below the top, where following it from the link's own directory would go elsewhere.
    link('usr/lib', '/store/a');
    const probe = new FileSystemProbe(root);
    assert.equal(probe.directory('/usr/lib'), 'searchable');
    assert.equal(kindOf(probe.candidate('/usr/lib/liba.so')), 'elf');
    assert.equal(probe.realPath('/usr/lib'), '/store/a');
  });

  test('an absolute link to a file of the machine leads nowhere below the root', () => {
    const outside = join(top, `outside${count}.so`);
    fs.writeFileSync(outside, ELF);
    link('lib/liba.so', outside);
    assert.equal(kindOf(new FileSystemProbe(root).candidate('/lib/liba.so')), 'absent');
    assert.equal(kindOf(new FileSystemProbe().candidate(join(root, 'lib/liba.so'))), 'elf');
  });

  test('.. beyond the root stays at the root, in paths and in links', () => {
    file('secret/liba.so');
    fs.mkdirSync(join(root, 'inner/lib'), { recursive: true });
    fs.symlinkSync('../../../../secret/liba.so', join(root, 'inner/lib/liba.so'));
    const probe = new FileSystemProbe(join(root, 'inner'));
    assert.equal(kindOf(probe.candidate('/lib/liba.so')), 'absent');
    assert.equal(probe.directory('/../secret'), 'missing');
    assert.equal(probe.directory('/../../lib'), 'searchable');
    assert.equal(probe.realPath('/lib/../../../lib'), '/lib');
  });

  test('.. goes up from where a link leads, not from where it stands', () => {
    file('store/a/lib/liba.so');
    file('store/a/other/libb.so');
    link('lib', '/store/a/lib');
    const probe = new FileSystemProbe(root);
    assert.equal(probe.realPath('/lib/../other'), '/store/a/other');
    assert.equal(probe.directory('/lib/../other'), 'searchable');
  });

  test('.. below what does not exist is missing, as for the kernel', () => {
    file('lib/liba.so');
    assert.equal(new FileSystemProbe(root).directory('/none/../lib'), 'missing');
    link('lib/libb.so', 'none/../liba.so');
    assert.deepEqual(new FileSystemProbe(root).candidate('/lib/libb.so'), {
      kind: 'absent',
      why: 'dangling link',
    });
  });

  test('.. below a file is nothing to search, as for the kernel', () => {
    file('lib/liba.so');
    assert.notEqual(new FileSystemProbe(root).directory('/lib/liba.so/..'), 'searchable');
  });

  test('a name too long for the file system is nothing to search', () => {
    const path = `/${'n'.repeat(300)}`;
    for (const probe of [new FileSystemProbe(root), new FileSystemProbe()]) {
      assert.notEqual(probe.directory(path), 'searchable');
      assert.equal(kindOf(probe.candidate(`${path}/liba.so`)), 'absent');
      assert.equal(probe.realPath(path), undefined);
    }
  });

  test('a loop of links is absent and ends', () => {
    link('a', 'b');
    link('b', 'a');
    link('self', 'self');
    const probe = new FileSystemProbe(root);
    for (const path of ['/a', '/self', '/a/lib']) {
      assert.equal(probe.directory(path), 'missing');
      assert.equal(probe.realPath(path), undefined);
    }
    assert.equal(new FileSystemProbe().directory(join(root, 'self')), 'missing');
  });

  test('forty links in a row are followed, forty-one are not', () => {
    file('f40');
    for (let i = 1; i <= 41; i++) link(`l${i}`, i === 1 ? 'f40' : `l${i - 1}`);
    const probe = new FileSystemProbe(root);
    assert.equal(probe.realPath('/l40'), '/f40');
    assert.equal(probe.realPath('/l41'), undefined);
  });

  test('a root that is itself a link, or ends with a slash, is the same root', () => {
    file('lib/liba.so');
    const alias = join(top, `alias${count}`);
    fs.symlinkSync(root, alias);
    for (const name of [alias, `${root}/`, `${alias}//`]) {
      const probe = new FileSystemProbe(name);
      assert.equal(kindOf(probe.candidate('/lib/liba.so')), 'elf');
      assert.equal(probe.realPath('/lib/liba.so'), '/lib/liba.so');
    }
  });

  test('a root that is no directory is a mistake of the caller', () => {
    for (const path of [join(root, 'none'), join(root, 'lib', 'liba.so')]) {
      assert.throws(() => new FileSystemProbe(path), { name: 'ElfnoteError', code: 'usage', path });
    }
  });
});

describe('real paths', () => {
  test('without a root every link of the machine is followed', () => {
    file('store/a/liba.so');
    link('lib', 'store/a');
    assert.equal(new FileSystemProbe().realPath(join(root, 'lib/liba.so')), join(root, 'store/a/liba.so'));
  });

  test('without a root the kernel follows the links to a candidate', () => {
    file('lib/liba.so');
    link('lib/libb.so', 'liba.so');
    const read = replace('readlinkSync', undefined);
    assert.equal(kindOf(new FileSystemProbe().candidate(join(root, 'lib/libb.so'))), 'elf');
    assert.equal(read.mock.callCount(), 0);
  });

  test('what does not exist has none', () => {
    assert.equal(new FileSystemProbe().realPath(join(root, 'none')), undefined);
    assert.equal(new FileSystemProbe(root).realPath('/none'), undefined);
  });

  test('the root’s own is a slash', () => {
    assert.equal(new FileSystemProbe(root).realPath('/'), '/');
    assert.equal(new FileSystemProbe(root).realPath('/..'), '/');
  });
});

describe('a failure of the machine', () => {
  /** The n-th such call below the directory fails with this code. */
  const failing = (name: string, code: string) => (call: { readonly name: string }) =>
    call.name === name ? ({ kind: 'fail', code } as const) : undefined;

  for (const code of ['EIO', 'EMFILE', 'ENFILE', 'ENOMEM']) {
    for (const call of ['openSync', 'readSync', 'readdirSync', 'accessSync', 'readlinkSync', 'statSync']) {
      test(`${code} from ${call} is no answer about a library`, () => {
        file('lib/liba.so');
        link('link', 'lib');
        const isOfRoot = call === 'readlinkSync' || call === 'statSync';
        const probe = new FileSystemProbe(isOfRoot ? root : undefined);
        const path = isOfRoot ? '/link/../link/liba.so' : join(root, 'lib/liba.so');
        const ask = () => [probe.candidate(path), probe.realPath(path)];
        const { error } = withFaults(root, failing(call, code), ask);
        assert.ok(error instanceof ElfnoteError && error.code === 'unreadable', String(error));
        assert.match(error.message, /^cannot look up \S+: /);
        assert.equal(kindOf(probe.candidate(path)), 'elf', 'and it is not remembered');
      });
    }
  }

  test('of realpath is no answer either', () => {
    file('lib/liba.so');
    const probe = new FileSystemProbe();
    const path = join(root, 'lib/liba.so');
    const { error } = withFaults(root, failing('realpathSync', 'EIO'), () => probe.realPath(path));
    assert.ok(error instanceof ElfnoteError && error.code === 'unreadable', String(error));
  });
});

describe('what ld.so ends on where it opens a candidate', () => {
  const ENDS: Readonly<Record<string, () => void>> = {
    'a link to itself': () => link('lib/liba.so', 'liba.so'),
    'a link into a file': () => link('lib/liba.so', 'libother.so/x'),
    'a link to a name that is too long': () => link('lib/liba.so', 'n'.repeat(300)),
  };
  for (const [what, make] of Object.entries(ENDS)) {
    test(`${what} is broken, below a root too, and a program ends there`, { skip: needs('gcc') }, () => {
      file('lib/libother.so');
      make();
      assert.equal(kindOf(new FileSystemProbe().candidate(join(root, 'lib/liba.so'))), 'broken');
      assert.equal(kindOf(new FileSystemProbe(root).candidate('/lib/liba.so')), 'broken');
      const [source, good, program] = [join(root, 'a.c'), join(root, 'good'), join(root, 'program')];
      fs.mkdirSync(good);
      fs.writeFileSync(source, 'int a(void) { return 0; }\n');
      const library = join(good, 'liba.so');
      compileOnce('gcc', ['-shared', '-fPIC', '-Wl,-soname,liba.so', source], library, root);
      fs.writeFileSync(source, 'int a(void);\nint main(void) { return a(); }\n');
      const path = (dirs: readonly string[]) => `-Wl,-rpath,${dirs.join(':')}`;
      const build = (dirs: readonly string[]) =>
        compileOnce('gcc', [source, library, path(dirs)], program, root);
      build([good]);
      assert.equal(run(program).status, 0);
      build([join(root, 'lib'), good]);
      assert.notEqual(run(program).status, 0);
    });
  }
});
