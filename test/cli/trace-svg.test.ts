import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runOk } from '../support/cli.js';
import { elfnoteHereOk } from '../support/cli-here.js';
import { closure, ReaderShop } from '../support/reader-shop.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

test('a browser shows every object and request of trace --svg, and needs nothing else', {
  skip: needs('gcc', 'chromium'),
}, t => {
  const dir = tempDir(t);
  const files = closure(new ReaderShop(tempDir(t)));
  const picture = join(dir, 'trace.svg');
  elfnoteHereOk(['trace', '--svg', picture, files.program]);
  const svg = readFileSync(picture, 'utf8');
  assert.doesNotMatch(svg, /(?:href|src)=|url\(|<script|@import/);
  const dom = inBrowser(dir, svg);
  assert.deepEqual(dom, {
    error: '',
    titles: 6,
    labels: ['ld-linux-x86-64.so.2', 'libc.so.6', 'libone.so.1', 'libthree.so.1', 'libtwo.so.1', 'program'],
    edges: 8,
    overlaps: 0,
    outside: 0,
  });
});

/** What a browser makes of a picture: it is parsed, laid out and measured there. */
function inBrowser(dir: string, svg: string): unknown {
  const script = `
    const doc = new DOMParser().parseFromString(source, 'image/svg+xml');
    const error = doc.querySelector('parsererror');
    document.body.append(document.importNode(doc.documentElement, true));
    const view = document.querySelector('svg').getBoundingClientRect();
    const boxes = [...document.querySelectorAll('.object rect')].map(rect => rect.getBoundingClientRect());
    const texts = [...document.querySelectorAll('.object text')];
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const within = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
    document.body.textContent = JSON.stringify({
      error: error === null ? '' : error.textContent,
      titles: document.querySelectorAll('.object title').length,
      labels: texts.map(text => text.textContent).sort(),
      edges: document.querySelectorAll('path.edge').length,
      overlaps: boxes.filter((box, i) => boxes.slice(i + 1).some(other => meet(box, other))).length,
      outside: boxes.filter(box => !within(box, view)).length
        + texts.filter((text, i) => !within(text.getBoundingClientRect(), boxes[i])).length,
    });`;
  const page = join(dir, 'page.html');
  const source = JSON.stringify(svg).replaceAll('</', '<\\/');
  writeFileSync(
    page,
    `<!doctype html><meta charset="utf-8"><body><script>const source = ${source};${script}</script>`,
  );
  const profile = join(dir, 'profile');
  const flags = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
  ];
  const { stdout } = runOk(
    'chromium',
    [...flags, `--user-data-dir=${profile}`, '--dump-dom', `file://${page}`],
    {
      deadline: 60_000,
    },
  );
  const [, text = ''] = /<body>(.*)<\/body>/s.exec(stdout) ?? [];
  rmSync(profile, { recursive: true, force: true });
  return JSON.parse(text.replaceAll('&lt;', '<').replaceAll('&amp;', '&'));
}
