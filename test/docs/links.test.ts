import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { PROJECT } from '../support/cli.js';

const markdownIn = (dir: string) =>
  readdirSync(join(PROJECT, dir))
    .filter(name => name.endsWith('.md'))
    .map(name => join(dir, name));

const PAPERS = [...markdownIn('.'), ...markdownIn('docs'), 'fixtures/README.md'];

/** As GitHub names a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-');
}

const anchorsOf = (text: string) =>
  [...text.matchAll(/^#+ +(.*)$/gm)].map(([, heading = '']) => anchor(heading));

test('every link between the papers leads to a file, and to a heading of it', () => {
  const links = PAPERS.flatMap(paper => {
    const text = readFileSync(join(PROJECT, paper), 'utf8').replace(/^```.*?^```/gms, '');
    return [...text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].map(
      ([, file = '', heading]) => ({
        paper,
        to: file === '' ? paper : join(dirname(paper), file),
        heading,
      }),
    );
  });
  assert.ok(links.length > 40, `${links.length} links`);
  const broken = links.filter(({ to, heading }) => {
    if (!existsSync(join(PROJECT, to))) return true;
    return heading !== undefined && !anchorsOf(readFileSync(join(PROJECT, to), 'utf8')).includes(heading);
  });
  assert.deepEqual(broken, []);
});

test('the index of the documents names each of them', () => {
  const index = readFileSync(join(PROJECT, 'docs/README.md'), 'utf8');
  const missing = markdownIn('docs').filter(
    paper => paper !== 'docs/README.md' && !index.includes(`(${paper.slice('docs/'.length)})`),
  );
  assert.deepEqual(missing, []);
});
