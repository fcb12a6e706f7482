// Builds the audit module: node audit/build.js [--target TRIPLET]... [--all] [--if-possible]. It runs before anything
// else of the package is built or installed, so it is plain JavaScript.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    /** What to build for, as cross compilers are named: aarch64-linux-gnu. */
    target: { type: 'string', multiple: true, default: [''] },
    /** For every architecture, as the package is published: build/SHA256SUMS says what came out, and by what. */
    all: { type: 'boolean', default: false },
    /** A failure is only said. */
    'if-possible': { type: 'boolean', default: false },
  },
});

const PUBLISHED = [
  'aarch64-linux-gnu',
  'arm-linux-gnueabihf',
  'i686-linux-gnu',
  'powerpc64le-linux-gnu',
  'riscv64-linux-gnu',
  's390x-linux-gnu',
  'x86_64-linux-gnu',
];

const BUILD = `${import.meta.dirname}/build`;

/** The compiler and its first arguments: CC and CFLAGS as make takes them. */
function compilerFor(target) {
  const { CC, CFLAGS } = process.env;
  const flags = words(CFLAGS);
  if (CC === undefined) return [target === '' ? 'cc' : `${target}-gcc`, ...flags];
  return [...words(CC), ...(target === '' ? [] : [`--target=${target}`]), ...flags];
}

function words(text = '') {
  return text.split(/\s+/).filter(word => word !== '');
}

/** What a command prints. */
function run([command, ...args]) {
  const options = { cwd: import.meta.dirname, encoding: 'utf8' };
  const { error, status, stdout, stderr } = spawnSync(command, args, options);
  if (error?.code === 'ENOENT') throw new Error(`${command} is not there`);
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} failed\n${stderr}`);
  return stdout;
}

/** @returns the module's name. */
function build(compiler) {
  const architecture = run([...compiler, '-std=c11', '-E', '-P', 'architecture.h']).trim();
  const name = `elfnote-audit-${architecture}.so`;
  const sources = readdirSync(import.meta.dirname)
    .filter(file => file.endsWith('.c'))
    .sort();
  mkdirSync(BUILD, { recursive: true });
  run([...compiler, '@cflags', '-o', `build/${name}`, ...sources]);
  return name;
}

/** The same everywhere: whatever CC and CFLAGS say, gcc by its full name. `sha256sum -c` passes over the comments. */
function buildAll() {
  rmSync(BUILD, { recursive: true, force: true });
  const lines = PUBLISHED.map(target => {
    const compiler = `${target}-gcc`;
    const name = build([compiler]);
    const hash = createHash('sha256')
      .update(readFileSync(`${BUILD}/${name}`))
      .digest('hex');
    const [version] = run([compiler, '--version']).split('\n');
    return `# ${version}\n${hash}  ${name}\n`;
  });
  writeFileSync(`${BUILD}/SHA256SUMS`, lines.join(''));
}

try {
  if (values.all) buildAll();
  else for (const target of values.target) build(compilerFor(target));
} catch (error) {
  process.stderr.write(`elfnote: the audit module was not built: ${error.message}\n`);
  if (!values['if-possible']) process.exitCode = 1;
}
