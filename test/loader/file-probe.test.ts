import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs, { mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, mock, test } from 'node:test';
import { FileLoaderProbe } from '../../src/loader/file-probe.js';
import { runOk } from '../support/cli.js';
import { buildElf } from '../support/elf-builder.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

const ELF = buildElf({ needed: ['x'], e_machine: 183, e_flags: 7 }).bytes;

/** `/lib/liba.so`, `/link` to it and `/loop` to itself; `/text` is no ELF file. */
function world(t: Parameters<typeof tempDir>[0]): string {
  const root = tempDir(t);
  mkdirSync(join(root, 'lib'));
  writeFileSync(join(root, 'lib/liba.so'), ELF);
  writeFileSync(join(root, 'text'), 'GROUP ( /lib/libc.so.6 )\n');
  symlinkSync('/lib/liba.so', join(root, 'link'));
  symlinkSync('loop', join(root, 'loop'));
  return root;
}

describe('what the loader asks of a file system below a root', () => {
  test('a file that cannot be read has the system’s code', t => {
    const probe = new FileLoaderProbe(world(t));
    assert.deepEqual(probe.readFile('/lib'), { code: 'EISDIR' });
    assert.deepEqual(probe.readFile('/gone'), { code: 'ENOENT' });
    assert.deepEqual(probe.readFile('/link'), ELF);
  });

  test('real paths are paths below it', t => {
    const probe = new FileLoaderProbe(world(t));
    assert.equal(probe.realPath('/link'), '/lib/liba.so');
    assert.equal(probe.realPath('/gone'), undefined);
  });

  test('access says why not, and a directory is one', t => {
    const probe = new FileLoaderProbe(world(t));
    for (const path of ['/lib', '/text', '/link']) assert.equal(probe.access(path), undefined, path);
    assert.equal(probe.access('/gone'), 'ENOENT');
    assert.deepEqual(
      ['/lib', '/text', '/gone'].map(path => probe.isDirectory(path)),
      [true, false, false],
    );
  });

  test('two names of a file open as one object, with what its header says', t => {
    const probe = new FileLoaderProbe(world(t));
    const [one, other] = [probe.open('/lib/liba.so'), probe.open('/link')];
    assert.ok(one.kind === 'opened' && other.kind === 'opened');
    assert.equal(one.identity, other.identity);
    const machine = { is64: true, littleEndian: true, e_type: 3, e_machine: 183, e_flags: 7 };
    assert.deepEqual(one.candidate, { kind: 'elf', ...machine });
  });

  test('what is no library opens as broken, and what is not there fails', t => {
    const probe = new FileLoaderProbe(world(t));
    const whyOf = (path: string) => {
      const opened = probe.open(path);
      return opened.kind === 'failed' ? opened.code : opened.fault;
    };
    assert.equal(whyOf('/lib'), 'is a directory');
    assert.equal(whyOf('/text'), 'is not an ELF file');
    assert.equal(whyOf('/gone'), 'ENOENT');
  });
});

test('a pipe that nobody writes to, a device and what is too large are not read, nor waited for', {
  skip: needs('mkfifo'),
}, t => {
  const dir = tempDir(t);
  runOk('mkfifo', [join(dir, 'pipe')]);
  writeFileSync(join(dir, 'large'), '');
  truncateSync(join(dir, 'large'), 2 ** 40);
  const probe = new FileLoaderProbe();
  assert.deepEqual(probe.readFile(join(dir, 'pipe')), { code: 'EINVAL' });
  assert.deepEqual(probe.readFile('/dev/zero'), { code: 'EINVAL' });
  assert.deepEqual(probe.readFile(join(dir, 'large')), { code: 'EFBIG' });
});

test('a file of /proc, whose size nobody knows, is read to its end', {
  skip: needs('/proc/self/maps'),
}, () => {
  const read = new FileLoaderProbe().readFile('/proc/self/maps');
  assert.ok(Buffer.isBuffer(read) && read.length > 0 && read.at(-1) === 0x0a);
});

test('a path opens by its bytes, which need not be UTF-8', t => {
  const dir = tempDir(t);
  const paths = ['liba\xff.so', 'liba\xfe.so'].map(name => `${dir}/${name}`);
  for (const path of paths) writeFileSync(Buffer.from(path, 'latin1'), ELF);
  const probe = new FileLoaderProbe();
  const identities = paths.map(path => {
    const opened = probe.open(path);
    assert.ok(opened.kind === 'opened' && opened.facts !== undefined, path);
    return opened.identity;
  });
  assert.notEqual(identities[0], identities[1]);
  assert.deepEqual(probe.open(`${dir}/liba\xfd.so`), { kind: 'failed', code: 'ENOENT' });
});

describe('what a file is opened for', () => {
  test('is told once: what was there stays so, and what was not is looked for again', t => {
    const later = join(world(t), 'later');
    const probe = new FileLoaderProbe();
    assert.equal(probe.open(later).kind, 'failed');
    writeFileSync(later, ELF);
    assert.equal(probe.open(later).kind, 'opened');
    rmSync(later);
    assert.equal(probe.open(later).kind, 'opened');
    assert.equal(probe.anew().open(later).kind, 'failed');
  });

  test('a directory, text and a device are broken, a damaged object is one without facts', t => {
    const root = world(t);
    const damaged = buildElf({ needed: ['x'] });
    damaged.setWord(damaged.phdr(1, 'p_filesz'), 1 << 30);
    writeFileSync(join(root, 'damaged'), damaged.bytes);
    const probe = new FileLoaderProbe();
    const seen = ['lib', 'text', 'damaged'].map(name => probe.open(join(root, name)));
    for (const opened of [...seen, probe.open('/dev/null')]) {
      assert.ok(opened.kind === 'opened' && opened.facts === undefined);
      const { candidate, fault } = opened;
      assert.equal(candidate.kind, opened === seen[2] ? 'elf' : 'broken');
      assert.ok(fault !== undefined && fault !== '');
      if (candidate.kind === 'broken') assert.equal(candidate.why, fault);
    }
  });

  test('a pipe, a device and a socket are told without opening them', { skip: needs('mkfifo') }, async t => {
    const root = world(t);
    runOk('mkfifo', [join(root, 'pipe')]);
    const server = createServer().listen(join(root, 'socket'));
    await once(server, 'listening');
    const open = mock.method(fs, 'openSync');
    syncBuiltinESMExports();
    try {
      const probe = new FileLoaderProbe();
      for (const path of [join(root, 'pipe'), '/dev/null']) {
        const opened = probe.open(path);
        assert.ok(opened.kind === 'opened');
        assert.equal(opened.fault, 'is not a regular file');
        assert.deepEqual(probe.readFile(path), { code: 'EINVAL' });
      }
      assert.deepEqual(probe.open(join(root, 'socket')), { kind: 'failed', code: 'ENXIO' });
      assert.equal(open.mock.callCount(), 0);
    } finally {
      mock.restoreAll();
      syncBuiltinESMExports();
      server.close();
    }
  });

  test('a directory, a pipe and a device that may not be read end no search: ld.so goes on', {
    skip: needs('mkfifo'),
  }, t => {
    const root = world(t);
    runOk('mkfifo', [join(root, 'pipe')]);
    mock.method(fs, 'accessSync', () => {
      throw Object.assign(new Error('EACCES'), { code: 'EACCES' });
    });
    syncBuiltinESMExports();
    try {
      const probe = new FileLoaderProbe();
      for (const path of [join(root, 'lib'), join(root, 'pipe'), '/dev/null'])
        assert.deepEqual(probe.open(path), { kind: 'failed', code: 'EACCES' });
    } finally {
      mock.restoreAll();
      syncBuiltinESMExports();
    }
  });

  test('it is closed again', t => {
    const probe = new FileLoaderProbe(world(t));
    const before = readdirSync('/proc/self/fd').length;
    for (const path of ['/lib/liba.so', '/text']) for (let i = 0; i < 8; i++) probe.anew().open(path);
    assert.ok(readdirSync('/proc/self/fd').length < before + 8);
  });
});

test('without a root a link to itself is told by its code', t => {
  const probe = new FileLoaderProbe();
  const loop = join(world(t), 'loop');
  assert.deepEqual(probe.open(loop), { kind: 'failed', code: 'ELOOP' });
  assert.deepEqual(probe.readFile(loop), { code: 'ELOOP' });
  assert.equal(probe.access(loop), 'ELOOP');
});
