/**
 * Bundles the command line, the library and their worker threads, so that a command reads few files when it starts and
 * an installation fetches few packages. What is bundled is no dependency of the package; its licences go with it.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { licencesOf } from './licences.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

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
  // It starts its threads from files of its own, and stays a dependency.
  external: ['tinypool'],
  // CommonJS packages in the bundle ask for Node's modules this way.
  banner: {
    js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);",
  },
} as const satisfies BuildOptions;

rmSync(dist, { recursive: true, force: true });
const worker = 'src/batch/worker.ts';
const built = [
  await build({ ...common, entryPoints: { main: 'src/cli/main.ts', worker }, outdir: join(dist, 'cli') }),
  await build({ ...common, entryPoints: { index: 'src/index.ts', worker }, outdir: dist }),
];
const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs));
writeFileSync(join(dist, 'THIRD-PARTY-LICENSES.txt'), licencesOf(root, inputs));
