// Builds the audit module: node audit/build.js [--target TRIPLET]... [--if-possible]. It runs when the package is
// installed, before anything else of it is built, so it is plain JavaScript.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    /** What to build for, as cross compilers are named: aarch64-linux-gnu. */
    target: { type: 'string', multiple: true, default: [''] },
    /** A failure is only said. */
    'if-possible': { type: 'boolean', default: false },
  },
});

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

function build(target) {
  const compiler = compilerFor(target);
  const architecture = run([...compiler, '-std=c11', '-E', '-P', 'architecture.h']).trim();
  const module = `build/elfnote-audit-${architecture}.so`;
  const sources = readdirSync(import.meta.dirname)
    .filter(name => name.endsWith('.c'))
    .sort();
  mkdirSync(`${import.meta.dirname}/build`, { recursive: true });
  run([...compiler, '@cflags', '-o', module, ...sources]);
}

try {
  for (const target of values.target) build(target);
} catch (error) {
  process.stderr.write(`elfnote: the audit module was not built: ${error.message}\n`);
  if (!values['if-possible']) process.exitCode = 1;
}
