import assert from 'node:assert/strict';
import { copyFileSync, cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { transformSync } from 'esbuild';
import * as api from '../../src/index.js';
import { FIXTURES, PROJECT, ROOT, runOk } from '../support/cli.js';
import { suiteScope, tempDir } from '../support/temp.js';

const TEXT = readFileSync(join(PROJECT, 'docs/api.md'), 'utf8');

/** Each example, and what it prints. */
const EXAMPLES = [...TEXT.matchAll(/```ts\n(.*?)```\n\n```console\n(.*?)```/gs)].map(
  ([, code = '', output = '']) => ({ code, output }),
);

describe('docs/api.md', () => {
  const scope = suiteScope();
  let dir: string;
  before(() => {
    dir = tempDir(scope);
    cpSync(ROOT, join(dir, 'root'), { recursive: true, verbatimSymlinks: true });
    copyFileSync(join(FIXTURES, 'kinds/pie-bfd'), join(dir, 'hello'));
    mkdirSync(join(dir, 'node_modules/@types'), { recursive: true });
    symlinkSync(PROJECT, join(dir, 'node_modules/elfnote'));
    symlinkSync(join(PROJECT, 'node_modules/@types/node'), join(dir, 'node_modules/@types/node'));
    writeFileSync(join(dir, 'package.json'), '{ "type": "module" }');
    EXAMPLES.forEach(({ code }, i) => {
      writeFileSync(join(dir, `example${i}.ts`), code);
    });
  });

  test('has an example for every block of code, and one of every function and class', () => {
    assert.equal(EXAMPLES.length, TEXT.match(/^```ts$/gm)?.length);
    const code = EXAMPLES.map(example => example.code).join('');
    assert.deepEqual(
      Object.keys(api).filter(name => !new RegExp(`\\b${name}\\b`).test(code)),
      [],
    );
  });

  test('has examples that a strict compiler takes, with the types of the package', () => {
    const options = {
      compilerOptions: {
        target: 'ES2023',
        module: 'NodeNext',
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        noEmit: true,
        types: ['node'],
      },
      include: ['*.ts'],
    };
    writeFileSync(join(dir, 'tsconfig.json'), JSON.stringify(options));
    runOk(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc'), '-p', dir]);
  });

  // One process for all: what an example prints is between two lines that name it.
  test('has examples that print what stands below them', () => {
    const lines = EXAMPLES.map((_, i) => `console.log('${line(i)}');\nawait import('./example${i}.mjs');\n`);
    writeFileSync(join(dir, 'all.mjs'), lines.join(''));
    EXAMPLES.forEach(({ code }, i) => {
      writeFileSync(join(dir, `example${i}.mjs`), transformSync(code, { loader: 'ts' }).code);
    });
    const { stdout } = runOk(process.execPath, ['all.mjs'], { cwd: dir });
    assert.equal(stdout, EXAMPLES.map(({ output }, i) => `${line(i)}\n${output}`).join(''));
  });
});

const line = (example: number): string => `-- example ${example} --`;
