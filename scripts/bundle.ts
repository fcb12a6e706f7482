/**
 * Bundles the command line and the library, so that a command reads few files when it starts and
 * an installation fetches few packages. What is bundled is no dependency of the package; its licences go with it.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { licencesOf } from './licences.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

/** Functions of Node's modules that are big and needed late, if at all; elsewhere such a module is loaded at once. */
const LATE: readonly {
  readonly module: string;
  readonly importer: string;
  readonly names: readonly string[];
}[] = [
  // With it comes Node's network code. Commander uses it only for commands that are programs of their own.
  { module: 'node:child_process', importer: '/node_modules/commander/', names: ['spawn'] },
  { module: 'node:crypto', importer: join(root, 'src/'), names: ['createHash', 'hash', 'randomBytes'] },
];

/**
 * Node's own modules, by `require`: an `import` of node:fs makes a copy of all that it exports, and loads its streams for
 * that.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ importer, path, namespace }) => {
      if (namespace === 'builtin') return { path, external: true };
      const isLate = LATE.some(late => late.module === path && importer.includes(late.importer));
      return { path, namespace: 'builtin', suffix: isLate ? '?late' : '' };
    });
    onLoad({ filter: /^/, namespace: 'builtin' }, ({ path, suffix }) => {
      const module = `require(${JSON.stringify(path)})`;
      const names = LATE.flatMap(late => (suffix === '?late' && late.module === path ? late.names : []));
      const late = names.map(name => `exports.${name} = (...args) => ${module}.${name}(...args);`);
      return { contents: late.length > 0 ? late.join('\n') : `module.exports = ${module};` };
    });
  },
};

const common = {
  absWorkingDir: root,
  bundle: true,
  // What a command does not need is a file of its own, and is not read.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: true,
  metafile: true,
  legalComments: 'none',
  plugins: [builtins],
  // CommonJS packages in the bundle ask for Node's modules this way.
  banner: {
    js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
  },
} as const satisfies BuildOptions;

rmSync(dist, { recursive: true, force: true });
const built = [
  await build({ ...common, entryPoints: { main: 'src/cli/main.ts' }, outdir: join(dist, 'cli') }),
  await build({ ...common, entryPoints: { index: 'src/index.ts' }, outdir: dist }),
];
// Node asks for the nearest package.json to know what a file is in; this one is read faster.
writeFileSync(join(dist, 'cli/package.json'), '{"type":"module"}\n');
const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), licencesOf(root, inputs));
