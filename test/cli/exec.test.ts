import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { BIN, elfnote, elfnoteOk, FIXTURES, PROJECT, run, runOk } from '../support/cli.js';
import { elfnoteHere, elfnoteHereOk } from '../support/cli-here.js';
import { architecture } from '../support/programs.js';
import { INSTALLED } from '../support/reader.js';
import { ANSWERED, annotatedClosure, type Closure, ReaderShop, sayings } from '../support/reader-shop.js';
import { suiteScope, tempDir } from '../support/temp.js';
import { needs, needsRoot } from '../support/tools.js';

describe('elfnote exec', { skip: needs('gcc', 'sh', INSTALLED) }, () => {
  const scope = suiteScope();
  let shop: ReaderShop;
  let files: Closure;
  before(() => {
    shop = new ReaderShop(tempDir(scope));
    files = annotatedClosure(shop);
  });

  test('runs a program with the reader', () => {
    const result = elfnote(['exec', files.program], { env: { ELFNOTE_DEBUG: '1' } });
    assert.equal(result.status, 0);
    assert.equal(result.stdout, shop.plain(files.program));
    assert.deepEqual(sayings(result), ANSWERED);
  });

  test('passes arguments on as they are, without a shell', () => {
    const args = ['-n', '--help', '', '$HOME', '*', 'a b', '--', '--print-env'];
    for (const before of [['exec'], ['exec', '--']]) {
      const { stdout } = elfnoteOk([...before, 'printf', '<%s>', ...args]);
      assert.equal(stdout, args.map(arg => `<${arg}>`).join(''));
    }
  });

  test('passes standard input, output and error through', () => {
    const script = 'printf input | "$0" "$1" exec sh -c "cat; printf error >&2"';
    const { stdout, stderr } = runOk('sh', ['-c', script, process.execPath, BIN]);
    assert.deepEqual({ stdout, stderr }, { stdout: 'input', stderr: 'error' });
  });

  test('puts the reader behind an auditor that is there, once', () => {
    // One that is not there is left out by the loader, also when it starts Node.
    const other = '/none/auditor.so';
    const show = ['exec', 'sh', '-c', 'printf %s "$LD_AUDIT"'];
    assert.equal(elfnoteOk(show, { env: { LD_AUDIT: other } }).stdout, `${other}:${INSTALLED}`);
    const printed = (LD_AUDIT: string) =>
      elfnoteHereOk(['exec', '--print-env', 'sh'], { env: { LD_AUDIT } }).stdout.split('\n')[0];
    assert.equal(printed(''), `LD_AUDIT=${INSTALLED}`);
    assert.equal(printed(INSTALLED), `LD_AUDIT=${INSTALLED}`);
    assert.equal(printed(`${INSTALLED}:${other}`), `LD_AUDIT=${INSTALLED}:${other}`);
  });

  // A shell splits what it exports so.
  const skip = INSTALLED.includes(' ') && 'the clone is in a path with a blank';
  test('--print-env prints what a shell can export, and runs nothing', { skip }, () => {
    const both = `LD_AUDIT=${INSTALLED}\nGLIBC_TUNABLES=glibc.rtld.optional_static_tls=4096\n`;
    assert.equal(elfnoteHereOk(['exec', '--print-env']).stdout, both);
    // Nothing that it loads wants more than glibc keeps, but what it starts may.
    assert.equal(elfnoteHereOk(['exec', '--print-env', 'false']).stdout, both);
    const script = 'export $("$0" "$1" exec --print-env); exec env ELFNOTE_DEBUG=1 "$2"';
    const result = runOk('sh', ['-c', script, process.execPath, BIN, files.program]);
    assert.deepEqual(sayings(result).slice(-ANSWERED.length), ANSWERED);
  });

  test('--print-env says where a value has a blank, at which a shell would split it', () => {
    const { status, stdout, stderr } = elfnoteHere(['exec', '--print-env'], {
      env: { LD_AUDIT: '/no such.so' },
    });
    assert.equal(status, 0);
    assert.ok(stdout.startsWith(`LD_AUDIT=/no such.so:${INSTALLED}\n`));
    assert.match(stderr, /^elfnote: the value of LD_AUDIT has a blank, where a shell splits/m);
  });

  interface StaticTls {
    readonly program: string;
    /** Has the library ask for so many bytes. */
    readonly resize: (size: number) => void;
  }

  /** A program whose library has static thread-local storage, of which no byte is in the file. */
  const withStaticTls = (size: number, align = 8): StaticTls => {
    const source = `__thread char stls_buffer[64] __attribute__((aligned(${align})));\nvoid *stls_opens(const char *n) { (void)n; return stls_buffer; }\n`;
    const library = shop.library('stls', 'stls', { source, flags: ['-ftls-model=initial-exec'] });
    const program = shop.program('stls-program', { needs: [library] });
    const resize = (to: number) => writeFileSync(library, withTlsSize(readFileSync(library), to));
    resize(size);
    return { program, resize };
  };
  const starts = (program: string, env: Readonly<Record<string, string>> = {}) =>
    run(program, [], { env: { LD_AUDIT: INSTALLED, ...env } }).status === 0;

  test('a library with more static thread-local storage than glibc keeps with a module starts', () => {
    const { program, resize } = withStaticTls(0);
    for (const size of [1900, 1_000_000]) {
      resize(size);
      assert.equal(starts(program), false, `${size}`);
      assert.ok(elfnoteOk(['exec', program]).stdout.includes('/stls/libstls.so.1'), `${size}`);
      const variables = elfnoteHereOk(['exec', '--print-env', program]).stdout.trimEnd().split('\n');
      assert.match(variables[1] ?? '', /^GLIBC_TUNABLES=glibc.rtld.optional_static_tls=\d+$/);
      assert.equal(runOk('env', [...variables, program]).status, 0);
    }
  });

  test('a program that another one starts has enough too, as most want it', () => {
    const { program } = withStaticTls(3000);
    assert.ok(
      elfnoteOk(['exec', 'sh', '-c', '"$0"; exit $?', program]).stdout.includes('/stls/libstls.so.1'),
    );
  });

  test('a tunable that is there stays, but for a smaller one of this name', () => {
    const { program } = withStaticTls(3000);
    const tunables = (GLIBC_TUNABLES: string) =>
      /^GLIBC_TUNABLES=(.*)$/m.exec(
        elfnoteHereOk(['exec', '--print-env', program], { env: { GLIBC_TUNABLES } }).stdout,
      )?.[1];
    const name = 'glibc.rtld.optional_static_tls';
    const alone = tunables('') ?? '';
    assert.equal(tunables('glibc.malloc.arena_max=1'), `glibc.malloc.arena_max=1:${alone}`);
    assert.equal(tunables(`${name}=9999:glibc.malloc.arena_max=1`), `glibc.malloc.arena_max=1:${name}=9999`);
    assert.equal(tunables(`${name}=12`), alone);
  });

  for (const align of [8, 64]) {
    test(`build-cache --reader refuses, by name, the library that glibc refuses: aligned to ${align}`, () => {
      const { program, resize } = withStaticTls(0, align);
      const isRefused = (size: number) => {
        resize(size);
        const does = elfnoteHere(['build-cache', '--dry-run', '--reader', INSTALLED, program]);
        const message = /would not start with an audit module: \S+\/libstls.so.1 has \d+ bytes/;
        if (does.status !== 0) assert.match(does.stdout + does.stderr, message);
        return { refused: does.status !== 0, starts: starts(program) };
      };
      let [fits, fails] = [1024, 4096];
      while (fails - fits > 8) {
        const size = Math.floor((fits + fails) / 16) * 8;
        const found = isRefused(size);
        assert.equal(found.refused, !found.starts, `${size} bytes`);
        if (found.starts) fits = size;
        else fails = size;
      }
      assert.ok(fits > 1700 && fits < 2000, `${fits}`);
      resize(fails);
      assert.equal(elfnoteHere(['build-cache', '--force', '--reader', INSTALLED, program]).status, 0);
    });
  }

  test("exits with the program's status", () => {
    for (const status of [2, 255]) {
      assert.equal(elfnote(['exec', 'sh', '-c', `exit ${status}`]).status, status);
    }
  });

  // Node ignores SIGPIPE, elfnote listens for SIGTERM, and SIGKILL is like all others.
  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGPIPE'] as const) {
    test(`dies by ${signal} when the program does`, async () => {
      const name = signal.slice(3);
      const child = spawn(process.execPath, [BIN, 'exec', 'sh', '-c', `ulimit -c 0; kill -${name} $$`]);
      const [status, by] = await once(child, 'exit');
      assert.deepEqual({ status, by }, { status: null, by: signal });
    });
  }

  test('sends every signal on to the program that asks it to do something, each time', async () => {
    const names = ['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'WINCH', 'TERM'];
    const traps = [...new Set(names)].map(name => `trap 'echo ${name}' ${name}`).join('; ');
    // A shell's trap has its turn when what the shell waits for is over.
    const script = `${traps}; trap 'echo ALRM; exit 3' ALRM; echo ready; for i in $(seq 500); do sleep 0.02; done`;
    const child = spawn(process.execPath, [BIN, 'exec', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const rest = [...names, 'ALRM'];
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const next = rest.shift();
      if (next !== undefined) process.kill(child.pid ?? 0, `SIG${next}`);
    });
    const [status] = await once(child, 'close');
    assert.deepEqual(
      { status, said: said.trimEnd().split('\n') },
      { status: 3, said: ['ready', ...names, 'ALRM'] },
    );
  });

  test('127 for a program that is not there, 126 for one that cannot be run, each with one line', t => {
    const file = join(tempDir(t), 'file');
    writeFileSync(file, 'text');
    const runs = ['no-such-program', '/no/such/program', file].map(name => elfnoteHere(['exec', name]));
    assert.deepEqual(
      runs.map(({ status }) => status),
      [127, 127, 126],
    );
    assert.deepEqual(
      runs.map(({ stderr }) => stderr),
      [
        'elfnote: no-such-program: no such program\n',
        'elfnote: /no/such/program: no such program\n',
        `elfnote: ${file}: cannot be run: permission denied\n`,
      ],
    );
  });

  test('126 and one line for whatever keeps the system from starting a program', t => {
    const dir = tempDir(t);
    symlinkSync('loop', join(dir, 'loop'));
    writeFileSync(join(dir, 'script'), '');
    const runs = ['loop', 'script/below', 'n'.repeat(300)].map(name =>
      elfnoteHere(['exec', join(dir, name)]),
    );
    assert.deepEqual(
      runs.map(({ status, stderr }) => [status, stderr.replace(/^.*: cannot/, 'cannot')]),
      [
        [126, 'cannot be run: too many levels of symbolic links\n'],
        [126, 'cannot be run: a part of the path is not a directory\n'],
        [126, 'cannot be run: the name is too long\n'],
      ],
    );
  });

  test('127 for a program whose interpreter is not there, which is what is said', t => {
    const script = join(tempDir(t), 'script');
    writeFileSync(script, '#!/no/such/interpreter\n', { mode: 0o755 });
    const { status, stderr } = elfnoteHere(['exec', script]);
    assert.deepEqual(
      { status, stderr },
      {
        status: 127,
        stderr: `elfnote: ${script}: cannot be run: the interpreter that it names is not there\n`,
      },
    );
  });

  test('127 for a program that is not there with --print-env too, which prints nothing', () => {
    const { status, stdout, stderr } = elfnoteHere(['exec', '--print-env', 'no-such-program']);
    assert.deepEqual(
      { status, stdout, stderr },
      { status: 127, stdout: '', stderr: 'elfnote: no-such-program: no such program\n' },
    );
  });

  test('2 without a program', () => {
    const { status, stderr } = elfnoteHere(['exec']);
    assert.deepEqual(
      { status, stderr },
      { status: 2, stderr: "elfnote: missing required argument 'program'\n" },
    );
  });

  test('2, and how to build one, where there is no reader', t => {
    const dir = tempDir(t);
    for (const part of ['bin', 'dist', 'package.json'])
      cpSync(join(PROJECT, part), join(dir, part), { recursive: true });
    symlinkSync(join(PROJECT, 'node_modules'), join(dir, 'node_modules'));
    const { status, stdout, stderr } = run(process.execPath, [
      join(dir, 'bin/elfnote.js'),
      'exec',
      'echo',
      'ran',
    ]);
    assert.deepEqual({ status, stdout }, { status: 2, stdout: '' });
    assert.match(
      stderr,
      /^elfnote: \/\S+x86_64.so: this audit module is not there: 'npm run build:audit' builds it.*\n$/,
    );
  });

  test('takes the reader of the architecture that the program is for', () => {
    const { arch, program } = architecture('aarch64');
    const { stdout, stderr } = elfnoteHere(['exec', '--print-env', join(FIXTURES, 'root', program)]);
    assert.match(stdout + stderr, new RegExp(`/elfnote-audit-${arch}\\.so`));
  });

  const says = (path: string) => {
    const { status, stderr } = elfnote(['exec', path]);
    assert.equal(status, 0, stderr);
    return stderr;
  };

  test('says of a static program that no loader reads its notes, and runs it', () => {
    const path = join(FIXTURES, 'kinds/static');
    assert.equal(says(path), `elfnote: ${path}: is statically linked: no loader reads its notes\n`);
  });

  test('says that musl is not supported, and runs the program', { skip: needs('musl-gcc') }, t => {
    const path = join(tempDir(t), 'musl');
    const source = `${path}.c`;
    writeFileSync(source, 'int main(void) { return 0; }\n');
    runOk('musl-gcc', [source, '-o', path]);
    assert.match(
      says(path),
      /^elfnote: \/\S+\/musl: \/lib\/ld-musl-x86_64.so.1 is no glibc \(musl is not supported\).*\n$/,
    );
  });

  test('says that glibc before 2.35 gets slower, and runs the program', { skip: needs('patchelf') }, t => {
    const dir = tempDir(t);
    const path = join(dir, 'old');
    const loader = join(dir, 'ld.so');
    const own = runOk('patchelf', ['--print-interpreter', files.program]).stdout.trim();
    // Its version of 2.35 is known by another name.
    runOk('sed', [`s/GLIBC_2\\.35/GLIBC_2.OO/g;w${loader}`, '-n', own]);
    copyFileSync(files.program, path);
    chmodSync(loader, 0o755);
    runOk('patchelf', ['--set-interpreter', loader, path]);
    const { stderr } = elfnote(['exec', path]);
    assert.match(
      stderr,
      /\/ld.so is older than glibc 2.35: with an audit module, every call between libraries is slower/,
    );
  });

  test('says that a set-user-ID program ignores it', { skip: needsRoot() }, t => {
    const path = join(tempDir(t), 'privileged');
    copyFileSync(files.program, path);
    chmodSync(path, 0o4755);
    assert.match(says(path), /is set-user-ID or set-group-ID: the loader ignores LD_AUDIT/);
  });
});

/** Of a 64-bit file, little-endian: its PT_TLS asks for so many bytes. */
function withTlsSize(bytes: Buffer, size: number): Buffer {
  const [table, count] = [Number(bytes.readBigUInt64LE(32)), bytes.readUInt16LE(56)];
  const headers = Array.from({ length: count }, (_, i) => table + 56 * i);
  const at = headers.find(header => bytes.readUInt32LE(header) === 7);
  assert.ok(at !== undefined);
  bytes.writeBigUInt64LE(BigInt(size), at + 40);
  return bytes;
}
