import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClosureNoteOptions, closureNoteOf } from '../../src/loader/closure-note.js';
import type { ClosureEdge, ClosureNode, EdgeCandidate } from '../../src/loader/edges.js';
import { type ClosureNote, checkOf } from '../../src/note/closure.js';
import type { RuntimeReason } from '../../src/resolve/components.js';

const exact = (component: string, path: string, owner = 0): EdgeCandidate => ({
  kind: 'exact',
  path,
  owner,
  tag: 'DT_RUNPATH',
  component,
  dir: path.slice(0, path.lastIndexOf('/')),
});
const search = (component: string, dir: string | undefined = component, owner = 0): EdgeCandidate => ({
  kind: 'search',
  why: 'missing',
  owner,
  tag: 'DT_RUNPATH',
  component,
  dir,
});
const system = (path: string): EdgeCandidate => ({ kind: 'system', path });

function edge(
  name: string,
  candidates: readonly EdgeCandidate[],
  more: Partial<Pick<ClosureEdge, 'tag' | 'dependsOnLoaders'>> = {},
): ClosureEdge {
  const [tag, dependsOnLoaders] = [more.tag ?? 'needed', more.dependsOnLoaders ?? false];
  return { tag, name, outcome: 'loaded', result: undefined, candidates, dependsOnLoaders };
}

/** Nodes by their indexes, the carrier first; each needs what its edges ask for. */
function node(index: number, path: string, ...edges: readonly ClosureEdge[]): ClosureNode {
  const needed = edges.flatMap(({ tag, name }) => (tag === 'needed' ? [name] : []));
  return { index, path, needed, runpath: '/s', rpath: undefined, edges };
}

function noteOf(
  nodes: readonly ClosureNode[],
  options: Partial<ClosureNoteOptions> = {},
): ClosureNote['objects'] {
  return closureNoteOf(nodes, { sizeOf: path => path.length, ...options }).objects;
}

/** Each answer as `object name: steps`: `=path` or `?directory`, with `^` for what is before LD_LIBRARY_PATH. */
function answers(nodes: readonly ClosureNode[], options: Partial<ClosureNoteOptions> = {}): string[] {
  return noteOf(nodes, options).flatMap(({ path, answers }) =>
    answers.map(({ soname, steps }) => {
      const texts = steps.map(step => {
        const text = step.kind === 'hint' ? `?${step.dir}` : `=${step.path}`;
        return step.beforeLibraryPath ? `^${text}` : text;
      });
      return `${path} ${soname}: ${texts.join(' ')}`;
    }),
  );
}

/** The only answer to a program that asks for one library. */
function answer(candidates: readonly EdgeCandidate[], options: Partial<ClosureNoteOptions> = {}): string {
  return answers([node(0, '/bin/program', edge('liba.so', candidates))], options).join();
}

const A = exact('/s', '/s/liba.so');

describe('the objects of a closure note', () => {
  test('are the carrier, without path and size, and every file that is an answer, with what it asks for', () => {
    const program = node(0, '/bin/program', edge('liba.so', [A]));
    const library = node(3, '/s/liba.so', edge('libb.so', [exact('/t', '/t/libb.so', 3)]));
    const [own, known, file, ...more] = noteOf([program, library]);
    assert.deepEqual(
      { ...own, answers: [] },
      { path: '', check: checkOf(program), size: undefined, answers: [] },
    );
    assert.deepEqual([known?.path, known?.check, known?.size], ['/s/liba.so', checkOf(library), 10]);
    assert.equal(known?.answers[0]?.soname, 'libb.so');
    assert.deepEqual(file, { path: '/t/libb.so', check: 0, size: 10, answers: [] });
    assert.deepEqual(more, []);
  });

  test('are none that nobody comes to by the note', () => {
    const other = node(3, '/lib/libc.so', edge('libd.so', [exact('/s', '/s/libd.so', 3)]));
    const paths = noteOf([node(0, '/bin/program', edge('libc.so', [system('/lib/libc.so')])), other]);
    assert.deepEqual(
      paths.map(({ path }) => path),
      ['', '/s/libd.so'],
    );
  });

  test('have the sizes of their files, where these are known by the paths of the trace', () => {
    const asked: string[] = [];
    const sizeOf = (path: string) => {
      asked.push(path);
      return undefined;
    };
    const program = node(0, '/s/bin/program', edge('liba.so', [exact('$ORIGIN', '/s/bin/liba.so')]));
    const nodes = [
      program,
      node(3, '/s/bin/liba.so', edge('libb.so', [exact('$ORIGIN', '/s/bin/libb.so', 3)])),
    ];
    const sizes = noteOf(nodes, { sizeOf }).map(({ size }) => size);
    assert.deepEqual(sizes, [undefined, undefined, undefined]);
    assert.deepEqual(asked, ['/s/bin/liba.so', '/s/bin/libb.so']);
  });
});

describe('what is answered', () => {
  test('is what is needed or declared to dlopen, and nothing else', () => {
    for (const tag of ['needed', 'dlopen', 'preload', 'auxiliary', 'filter'] as const) {
      const isAnswered = answers([node(0, '/bin/program', edge('liba.so', [A], { tag }))]).length === 1;
      assert.equal(isAnswered, tag === 'needed' || tag === 'dlopen', tag);
    }
  });

  test('what is needed and declared to dlopen is answered once', () => {
    const edges = [edge('liba.so', [A]), edge('liba.so', [A], { tag: 'dlopen' })];
    assert.deepEqual(answers([node(0, '/bin/program', ...edges)]), [' liba.so: =/s/liba.so']);
  });

  test('is no name with a slash or a token, and nothing that depends on who asked first', () => {
    for (const name of ['./liba.so', '$LIB.so'])
      assert.deepEqual(answers([node(0, '/bin/program', edge(name, [A]))]), [], name);
    const inherited = edge('liba.so', [A], { dependsOnLoaders: true });
    assert.deepEqual(answers([node(0, '/bin/program', inherited)]), []);
  });

  test('goes up to the first file: directories before it are told, what is behind it is not', () => {
    const candidates = [search('/h//'), A, search('/i'), exact('/t', '/t/liba.so')];
    assert.equal(answer(candidates), ' liba.so: ?/h =/s/liba.so');
    assert.equal(answer([search('/')]), '');
    assert.equal(answer([search('/'), A]), ' liba.so: ?/ =/s/liba.so');
  });

  test('passes over a directory whose token has no value, and stops at one that only run time can tell', () => {
    const behind = (why: RuntimeReason, dir: string | undefined) =>
      answer([{ kind: 'search', why, owner: 0, tag: 'DT_RUNPATH', component: '', dir }, A]);
    assert.equal(behind('token', undefined), ' liba.so: =/s/liba.so');
    assert.equal(behind('empty', '/work'), '');
    assert.equal(behind('relative', '/work'), '');
    assert.equal(behind('missing', 'relative'), '');
  });

  test('what is of DT_RPATH is before LD_LIBRARY_PATH', () => {
    const place = { owner: 0, tag: 'DT_RPATH', component: '/s', dir: '/s' } as const;
    const candidates = [
      { kind: 'search', why: 'missing', ...place },
      { kind: 'exact', path: '/s/liba.so', ...place },
    ] as const;
    assert.equal(answer(candidates), ' liba.so: ^?/s ^=/s/liba.so');
  });
});

describe('what is found from the directory of the carrier', () => {
  test('stays relative to it, also by way of a library that is', () => {
    const program = node(
      0,
      '/opt/bin/program',
      edge('liba.so', [
        search('$ORIGIN/../h//', '/opt/h'),
        exact(`\${ORIGIN}/../lib/`, '/opt/bin/../lib/liba.so'),
      ]),
    );
    const path = '/opt/bin/../lib/liba.so';
    const library = node(3, path, edge('libb.so', [exact('$ORIGIN/x', '/opt/bin/../lib/x/libb.so', 3)]));
    const [first, second, ...more] = answers([program, library]);
    assert.equal(first, ' liba.so: ?$ORIGIN/../h =$ORIGIN/../lib/liba.so');
    assert.equal(second, '$ORIGIN/../lib/liba.so libb.so: =$ORIGIN/../lib/x/libb.so');
    assert.deepEqual(more, []);
  });

  test('is not what a library elsewhere finds from its own, nor a directory with another token or name', () => {
    const library = node(3, '/s/liba.so', edge('libb.so', [exact('$ORIGIN/x', '/s/x/libb.so', 3)]));
    assert.deepEqual(answers([node(0, '/bin/program', edge('liba.so', [A])), library]).slice(1), [
      '/s/liba.so libb.so: =/s/x/libb.so',
    ]);
    const unknown = exact('$ORIGIN', '/y/liba.so', 99);
    assert.equal(answer([unknown]), ' liba.so: =/y/liba.so');
    for (const component of ['$ORIGIN/$LIB', '$ORIGINAL', '/x/$ORIGIN', '$LIB/$ORIGIN'])
      assert.equal(answer([exact(component, '/y/liba.so')]), ' liba.so: =/y/liba.so', component);
  });

  test('a path that is found so in one way is relative wherever it is an answer', () => {
    const program = node(
      0,
      '/opt/program',
      edge('liba.so', [exact('/opt', '/opt/liba.so'), exact('$ORIGIN', '/opt/liba.so')]),
      edge('libb.so', [exact('$ORIGIN', '/opt/libb.so')]),
      edge('libc.so', [exact('/opt', '/opt/libb.so')]),
    );
    assert.deepEqual(answers([program]), [
      ' liba.so: =$ORIGIN/liba.so',
      ' libb.so: =$ORIGIN/libb.so',
      ' libc.so: =$ORIGIN/libb.so',
    ]);
  });
});

describe('with store directories', () => {
  const storeRoots = ['/store', '/more/'];

  test('only what is in them is recorded, or found from the carrier', () => {
    const isRecorded = (component: string, path: string) =>
      answer([exact(component, path)], { storeRoots }) !== '';
    assert.ok(isRecorded('/store/a', '/store/a/liba.so'));
    assert.ok(isRecorded('/more', '/more/liba.so'));
    assert.ok(isRecorded('$ORIGIN', '/opt/liba.so'));
    assert.ok(!isRecorded('/stores', '/stores/liba.so'));
    assert.ok(!isRecorded('/opt/store', '/opt/store/liba.so'));
  });

  test('what comes behind an answer that is not recorded is none either', () => {
    assert.equal(
      answer([exact('/opt', '/opt/liba.so'), exact('/store', '/store/liba.so')], { storeRoots }),
      '',
    );
  });

  test('an object outside of them says nothing, not even of what is inside', () => {
    const outside = node(3, '/opt/liba.so', edge('libb.so', [exact('/store', '/store/libb.so', 3)]));
    const program = node(0, '/bin/program', edge('liba.so', [exact('/opt', '/opt/liba.so')]));
    assert.deepEqual(
      noteOf([program, outside], { storeRoots }).map(({ path }) => path),
      [''],
    );
  });

  test('with system libraries all is recorded, and what ld.so.cache gives where no directory comes before', () => {
    const options = { storeRoots, systemLibraries: true };
    assert.equal(answer([exact('/opt', '/opt/liba.so')], options), ' liba.so: =/opt/liba.so');
    assert.equal(answer([system('/lib/liba.so')], options), ' liba.so: =/lib/liba.so');
    assert.equal(answer([search('/h'), system('/lib/liba.so')], options), '');
    assert.equal(answer([system('/lib/liba.so')], { storeRoots }), '');
    assert.equal(answer([system('/lib/liba.so')], { systemLibraries: true }), '');
  });
});
