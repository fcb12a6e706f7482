/**
 * Bundles the command line and the library, so that a command reads few files when it starts and an installation
 * fetches few packages. What is bundled is no dependency of the package; its licences go with it.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type ImportKind, type Plugin } from 'esbuild';
import { licencesOf } from './licences.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const COMMANDS = join(root, 'src/cli/commands');

/** Functions of modules that are big and needed late, if at all; elsewhere such a module of Node's is loaded at once. */
const LATE: readonly {
  readonly module: string;
  readonly importer: string;
  readonly names: readonly string[];
}[] = [
  // With it comes Node's network code. Commander uses it only for commands that are programs of their own.
  { module: 'node:child_process', importer: '/node_modules/commander/', names: ['spawn'] },
  { module: 'node:child_process', importer: join(root, 'src/'), names: ['spawnSync'] },
  { module: 'node:crypto', importer: join(root, 'src/'), names: ['createHash', 'hash'] },
  { module: 'node:timers/promises', importer: join(root, 'src/'), names: ['setImmediate'] },
  { module: 'node:tty', importer: join(root, 'src/'), names: ['isatty'] },
  // Of what reads section names, which elfnote reads itself.
  { module: 'assert', importer: '/node_modules/elfy/', names: ['equal'] },
  { module: 'js-sha256/build/sha256.js', importer: join(root, 'src/'), names: ['sha256'] },
];

const late: Plugin = {
  name: 'late',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^/ }, ({ importer, path, namespace }) => {
      const isLate = LATE.some(late => late.module === path && importer.includes(late.importer));
      return isLate && namespace !== 'late' ? { path, namespace: 'late', pluginData: importer } : undefined;
    });
    onLoad({ filter: /^/, namespace: 'late' }, ({ path }) => {
      const names = LATE.flatMap(late => (late.module === path ? late.names : []));
      return {
        contents: [
          `let module;`,
          ...names.map(
            name =>
              `export const ${name} = (...args) => (module ??= require(${JSON.stringify(path)})).${name}(...args);`,
          ),
          `export default { ${names.join()} };`,
        ].join('\n'),
        resolveDir: root,
      };
    });
  },
};

/** Commander's own index makes a command that nobody asks for, and esbuild copies its exports one by one. */
const COMMANDER = {
  argument: ['Argument'],
  command: ['Command'],
  error: ['CommanderError', 'InvalidArgumentError'],
  help: ['Help'],
  option: ['Option'],
};

const commander: Plugin = {
  name: 'commander',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^commander$/ }, ({ path }) => ({ path, namespace: 'commander' }));
    onLoad({ filter: /^/, namespace: 'commander' }, () => {
      const parts = Object.entries(COMMANDER).map(
        ([file, names]) =>
          `export const { ${names.join()} } = require('./node_modules/commander/lib/${file}.js');`,
      );
      return { contents: parts.join('\n'), resolveDir: root };
    });
  },
};

/**
 * Node's own modules, by `require`: an `import` of node:fs makes a copy of all that it exports, and loads its streams for
 * that.
 */
const builtins: Plugin = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, namespace }) => {
      return namespace === 'file' ? { path, namespace: 'builtin' } : { path, external: true };
    });
    onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => {
      return { contents: `module.exports = require(${JSON.stringify(path)});` };
    });
  },
};

/** What few commands need is a file of its own, and is not read elsewhere. */
const APART: Readonly<Record<string, string>> = {
  './logger.js': 'src/cli/logger.ts',
  'cli-progress': 'cli-progress',
  'fast-glob': 'fast-glob',
  '@dagrejs/dagre': '@dagrejs/dagre',
  'js-sha256/build/sha256.js': 'js-sha256/build/sha256.js',
};

const nameApart = (path: string) => path.replace(/^.*\//, '').replace(/\.js$/, '');

const apart: Plugin = {
  name: 'apart',
  setup({ onResolve }) {
    onResolve({ filter: /^/ }, ({ path, kind }) => {
      if (kind === 'entry-point' || !Object.hasOwn(APART, path)) return undefined;
      return { path: `./${nameApart(path)}.js`, external: true };
    });
  },
};

const bin: { bundleFor(command: string): string } = createRequire(import.meta.url)('../bin/elfnote.js');

/** What a bundle lacks; bin/elfnote.js starts no such command from it. */
interface Left {
  /** Commands whose options it has, for help, and what they do not. */
  readonly undone: readonly string[];
  /** Commands of which it has nothing. */
  readonly unknown: readonly string[];
  /** Commands that it has whole, and loads at once. */
  readonly whole: readonly string[];
}

const HEAVY = ['build-cache', 'exec', 'remove-cache', 'trace', 'verify'];

const PARTS: Readonly<Record<string, Left>> = {
  light: { undone: [...HEAVY, 'dump'], unknown: [], whole: [] },
  dump: { undone: [], unknown: [...HEAVY, 'completion', 'reader'], whole: ['dump'] },
};

/** @throws Error where bin/elfnote.js would start a command without what it does. */
function leavingOut(part: string, { undone, unknown }: Left): Plugin {
  const wrong = [...undone, ...unknown].filter(command => bin.bundleFor(command) === `${part}.js`);
  if (wrong.length > 0) throw new Error(`not in the ${part} bundle: ${wrong.join()}`);
  const isLeftOut = (kind: ImportKind, importer: string, path: string) =>
    kind === 'dynamic-import'
      ? dirname(importer) === COMMANDS && undone.includes(basename(importer, '.ts'))
      : path.startsWith('./commands/') && unknown.includes(basename(path, '.js'));
  return {
    name: `${part} alone`,
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^/ }, ({ kind, importer, path }) => {
        return isLeftOut(kind, importer, path) ? { path, namespace: 'left-out' } : undefined;
      });
      onLoad({ filter: /^/, namespace: 'left-out' }, () => ({ contents: 'module.exports = {};' }));
    },
  };
}

const WHAT_IT_DOES = /await import\('([^']+)'\)/;

/** Loads what a command does with all else, where it is the only one: what is loaded later has a function for each file. */
function atOnce(command: string): Plugin {
  const file = join(COMMANDS, `${command}.ts`);
  return {
    name: `${command} at once`,
    setup({ onLoad }) {
      onLoad({ filter: /^/, namespace: 'file' }, ({ path }) => {
        if (path !== file) return undefined;
        const text = readFileSync(file, 'utf8');
        const [, done] = text.match(WHAT_IT_DOES) ?? [];
        if (done === undefined) throw new Error(`${command} loads nothing`);
        return {
          contents: `import * as done from '${done}';\n${text.replace(WHAT_IT_DOES, 'done')}`,
          loader: 'ts',
        };
      });
    },
  };
}

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: true,
  metafile: true,
  legalComments: 'none',
} as const satisfies BuildOptions;

const PARAMETERS = 'exports,require,module,__filename,__dirname';

/**
 * Makes a CommonJS module that is a script as well, one that gives the module's function: bin/elfnote.js has no need to
 * write a function around so long a text. Double parentheses let V8 compile the function at once.
 */
const SCRIPT = {
  banner: { js: `(main=>typeof module=='object'?main(${PARAMETERS}):main)((function(${PARAMETERS}){` },
  footer: { js: '}))' },
};

rmSync(dist, { recursive: true, force: true });
const cli = {
  ...common,
  ...SCRIPT,
  entryPoints: {
    main: 'src/cli/main.ts',
    ...Object.fromEntries(Object.entries(APART).map(([path, from]) => [nameApart(path), from])),
  },
  outdir: join(dist, 'cli'),
  // Node starts sooner without its loader for ES modules.
  format: 'cjs',
  define: { 'import.meta.dirname': '__dirname' },
  supported: { 'dynamic-import': false },
  plugins: [commander, late, apart],
} as const satisfies BuildOptions;
const built = [
  await build(cli),
  ...(await Promise.all(
    Object.entries(PARTS).map(([part, left]) =>
      build({
        ...cli,
        entryPoints: { [part]: 'src/cli/main.ts' },
        plugins: [commander, late, leavingOut(part, left), ...left.whole.map(atOnce), apart],
      }),
    ),
  )),
  await build({
    ...common,
    entryPoints: { index: 'src/index.ts' },
    outdir: dist,
    format: 'esm',
    splitting: true,
    // CommonJS packages in the bundle ask for Node's modules this way.
    banner: {
      js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
    },
    plugins: [late, builtins],
  }),
];
writeFileSync(join(dist, 'cli/package.json'), '{"type":"commonjs"}\n');
const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), licencesOf(root, inputs));
