import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { architectureOf } from '../../src/loader/architectures.js';
import { type ClosureEdge, type ClosureNode, closureNodes } from '../../src/loader/edges.js';
import { processorNamed } from '../../src/loader/hwcaps.js';
import type { Candidate } from '../../src/resolve/probe.js';
import type { ElfSpec } from '../support/elf-builder.js';
import { buildLdCache } from '../support/ld-cache-builder.js';
import { factsOf, LOADER, load, type Thing } from '../support/loader-world.js';
import { ELF, MemoryProbe } from '../support/memory-probe.js';

/** The nodes of a closure; directories whose files are given can be listed. */
function nodesOf(
  program: ElfSpec,
  things: Readonly<Record<string, Thing>>,
  storeRoots?: readonly string[],
  others: Readonly<Record<string, Candidate>> = {},
): ClosureNode[] {
  const architecture = architectureOf(factsOf(program).image);
  const closure = load(program, things);
  const trace = {
    ...closure,
    architecture,
    loader: LOADER,
    processor: processorNamed('none', architecture),
    file: '/bin/program',
    with: 'none',
    subdirectories: [''],
    counts: { opens: 0, stats: 0 },
  } as const;
  const files = Object.fromEntries(Object.keys(things).map(path => [path, ELF]));
  return closureNodes(trace, new MemoryProbe({ files: { ...files, ...others } }), storeRoots, '/work');
}

/** Each candidate as `kind owner component: what`. */
function candidatesOf(edge: ClosureEdge | undefined): string[] {
  return (edge?.candidates ?? []).map(candidate => {
    if (candidate.kind === 'system') return `system ${candidate.path}`;
    const { kind, owner, component } = candidate;
    return `${kind} ${owner} ${component}: ${candidate.kind === 'exact' ? candidate.path : candidate.why}`;
  });
}

const edge = (nodes: readonly ClosureNode[], node: number, n = 0) => nodes[node]?.edges[n];

describe('where a request may be met', () => {
  test('every directory of the run path that holds it, in order, and those that only run time can tell', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], runpath: '/one:relative:$ORIGIN/two:/absent:/three' },
      { '/one/libx.so': {}, '/bin/two/liba.so': {}, '/three/liba.so': {} },
    );
    assert.deepEqual(candidatesOf(edge(nodes, 0)), [
      'search 0 relative: relative',
      'exact 0 $ORIGIN/two: /bin/two/liba.so',
      'search 0 /absent: missing',
      'exact 0 /three: /three/liba.so',
    ]);
  });

  test('a mutable directory that does not hold it may come to hold it', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], runpath: '/var/x:/s/one' },
      { '/var/x/libx.so': {}, '/s/one/liba.so': {} },
      ['/s'],
    );
    assert.deepEqual(candidatesOf(edge(nodes, 0)), [
      'search 0 /var/x: mutable',
      'exact 0 /s/one: /s/one/liba.so',
    ]);
  });

  test('what ld.so.cache or a default directory gives comes last', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], runpath: '/one' },
      { '/one/libx.so': {}, '/lib/liba.so': {} },
    );
    assert.deepEqual(candidatesOf(edge(nodes, 0)), ['system /lib/liba.so']);
  });

  test('a name with a slash is a path, which no run path is asked for', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], rpath: '/one' },
      { '/one/liba.so': { needed: ['sub/libb.so'] }, '/one/sub/libb.so': {} },
    );
    const { candidates, dependsOnLoaders } = edge(nodes, 1) ?? {};
    assert.deepEqual({ candidates, dependsOnLoaders }, { candidates: [], dependsOnLoaders: false });
  });

  test('each object has its own requests, in order, with its run path and what it needs', () => {
    const nodes = nodesOf(
      { needed: ['liba.so', 'libb.so'], runpath: '/s' },
      { '/s/liba.so': { needed: ['libb.so'], runpath: '/s:/t' }, '/s/libb.so': {} },
    );
    assert.deepEqual(
      nodes.map(({ path, needed, runpath, edges }) => [
        path,
        needed,
        runpath,
        edges.map(({ outcome }) => outcome),
      ]),
      [
        ['/bin/program', ['liba.so', 'libb.so'], '/s', ['loaded', 'loaded']],
        ['/s/liba.so', ['libb.so'], '/s:/t', ['known']],
        ['/s/libb.so', [], undefined, []],
      ],
    );
  });

  test('inherited DT_RPATH is among the places, and the answer depends on who came first', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], rpath: '/p' },
      {
        '/p/liba.so': { needed: ['libb.so', 'libc.so'], rpath: '/a' },
        '/a/libb.so': {},
        '/p/libc.so': {},
      },
    );
    const [own, inherited] = [edge(nodes, 1, 0), edge(nodes, 1, 1)];
    const owner = nodes[1]?.index;
    assert.deepEqual(candidatesOf(own), [`exact ${owner} /a: /a/libb.so`]);
    assert.equal(own?.dependsOnLoaders, false);
    assert.deepEqual(candidatesOf(inherited), ['exact 0 /p: /p/libc.so']);
    assert.equal(inherited?.dependsOnLoaders, true);
  });

  test('with DT_RUNPATH nothing is inherited; a name with a slash has no candidates', () => {
    const nodes = nodesOf(
      { needed: ['liba.so', '/p/libd.so'], rpath: '/p' },
      { '/p/liba.so': { needed: ['libc.so'], runpath: '/a' }, '/p/libc.so': {}, '/p/libd.so': {} },
    );
    assert.deepEqual(candidatesOf(edge(nodes, 1)), ['search 3 /a: missing']);
    assert.equal(edge(nodes, 1)?.dependsOnLoaders, false);
    assert.deepEqual(candidatesOf(edge(nodes, 0, 1)), []);
  });

  test('a candidate is told with the tag and the directory that it is from, tokens expanded', () => {
    const thing = { '/bin/x/liba.so': {} };
    for (const [spec, tag] of [
      [{ needed: ['liba.so'], rpath: '$ORIGIN/x' }, 'DT_RPATH'],
      [{ needed: ['liba.so'], runpath: '$ORIGIN/x', rpath: '/y' }, 'DT_RUNPATH'],
    ] as const) {
      const place = { owner: 0, tag, component: '$ORIGIN/x', dir: '/bin/x' };
      assert.deepEqual(edge(nodesOf(spec, thing), 0)?.candidates, [
        { kind: 'exact', path: '/bin/x/liba.so', ...place },
      ]);
    }
  });

  test('a directory whose token has no value is none, and each counts once', () => {
    const spec = { e_machine: 0x9999, needed: ['liba.so'], runpath: '/s/$PLATFORM:/gone:/gone' };
    assert.deepEqual(candidatesOf(edge(nodesOf(spec, {}), 0)), ['search 0 /gone: missing']);
  });

  test('subdirectories for processors that hold it are for the loader', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], runpath: '/one' },
      { '/one/liba.so': {}, '/one/tls/liba.so': {} },
    );
    assert.deepEqual(candidatesOf(edge(nodes, 0)), ['search 0 /one: hwcaps']);
  });

  test('a file of another machine is no candidate, not even where its directory may change', () => {
    const program = { needed: ['liba.so'], runpath: '/var/x:/s' };
    const nodes = nodesOf(program, { '/s/liba.so': {} }, ['/s'], {
      '/var/x/liba.so': { ...ELF, e_machine: 183 },
    });
    assert.deepEqual(candidatesOf(edge(nodes, 0)), ['exact 0 /s: /s/liba.so']);
  });

  test('DT_RUNPATH of an object on the way is inherited by nobody', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], runpath: '/p' },
      { '/p/liba.so': { needed: ['libb.so'] }, '/p/libb.so': {}, '/lib/libb.so': {} },
    );
    assert.deepEqual(candidatesOf(edge(nodes, 1)), ['system /lib/libb.so']);
    assert.equal(edge(nodes, 1)?.dependsOnLoaders, false);
  });

  test('DT_RPATH of all on the way to the program is inherited, the nearest first', () => {
    const nodes = nodesOf(
      { needed: ['liba.so'], rpath: '/p' },
      {
        '/p/liba.so': { needed: ['libb.so'], rpath: '/a' },
        '/a/libb.so': { needed: ['libc.so'] },
        '/a/libc.so': {},
        '/p/libc.so': {},
      },
    );
    const owner = nodes[1]?.index;
    assert.deepEqual(candidatesOf(edge(nodes, 2)), [
      `exact ${owner} /a: /a/libc.so`,
      'exact 0 /p: /p/libc.so',
    ]);
  });

  test('what ld.so.cache gives is the system’s, what the run path gives is not', () => {
    const bytes = buildLdCache([{ name: 'liba.so', path: '/c/liba.so' }]);
    const nodes = nodesOf(
      { needed: ['liba.so', 'libb.so', 'libno.so'], runpath: '/s' },
      { '/etc/ld.so.cache': { bytes }, '/c/liba.so': {}, '/s/libb.so': {} },
    );
    assert.deepEqual(
      [0, 1, 2].map(n => candidatesOf(edge(nodes, 0, n))),
      [['system /c/liba.so'], ['exact 0 /s: /s/libb.so'], []],
    );
  });
});
