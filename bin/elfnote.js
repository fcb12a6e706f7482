#!/usr/bin/env node
const { existsSync, readdirSync, readFileSync, statSync, writeSync } = require('node:fs');
const { join } = require('node:path');
const { Script } = require('node:vm');

const CLI = join(__dirname, '../dist/cli');
/** What V8 has compiled is for its own version, and V8 itself does not look at the processor. */
const COMPILED = join(CLI, 'compiled', `${process.version}-${process.platform}-${process.arch}`);

/** Little is read for these: what they need is in a bundle of its own, which lacks what the other commands do. */
const LIGHT = new Set(['--help', '--version', '-V', '-h', 'completion', 'dump', 'help', 'reader']);
const bundleFor = command => (LIGHT.has(command) ? './light.js' : './main.js');

function tryRead(...path) {
  try {
    return readFileSync(join(...path));
  } catch {
    return undefined;
  }
}

/**
 * The V8 of Node 20 optimizes what runs often so early, and takes so long over what it inlines and over a loop's first round,
 * that a run over hundreds of files pays for it and ends before it has gained anything. Later ones wait by themselves. In
 * bytes of bytecode, that run and that are inlined into one function; the other values are V8's own.
 */
const LATE = '--interrupt-budget=400000 --max-inlined-bytecode-size-cumulative=150 --no-turbo-loop-peeling';
const EARLY = '--interrupt-budget=67584 --max-inlined-bytecode-size-cumulative=920 --turbo-loop-peeling';
const OVER_MANY_FILES = new Set(['build-cache', 'remove-cache', 'verify']);
let v8;
let isLate = false;

function optimizeLate(late) {
  v8 ??= require('node:v8');
  v8.setFlagsFromString(late ? LATE : EARLY);
  isLate = late;
}

/** What was compiled for other flags, of Node's own modules too, V8 compiles anew. That takes three times as long. */
function whileEarly(load) {
  if (!isLate) return load();
  optimizeLate(false);
  try {
    return load();
  } finally {
    optimizeLate(true);
  }
}

/**
 * Loads the command line as Node loads CommonJS modules, but for what is compiled already.
 *
 * @param compiled a directory with what V8 has compiled of each file.
 */
function load(bundle, compiled) {
  const scripts = new Map();
  const loaded = new Map();
  const loadFile = name => {
    const path = join(CLI, name);
    const script = new Script(readFileSync(path, 'latin1'), {
      // It is among what is compiled, and no machine's path belongs there.
      filename: join('elfnote/dist/cli', name),
      cachedData: compiled === undefined ? undefined : tryRead(compiled, name),
    });
    scripts.set(name, script);
    const module = { exports: {} };
    loaded.set(name, module);
    script.runInThisContext()(module.exports, ask, module, path, CLI);
    return module.exports;
  };
  const ask = name => {
    if (loaded.has(name)) return loaded.get(name).exports;
    return whileEarly(() => (name.startsWith('./') ? loadFile(name) : require(name)));
  };
  return { scripts, main: ask(bundle).main };
}

/** Undefined also where it may not be looked at. */
function changed(file) {
  try {
    return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
  } catch {
    return undefined;
  }
}

/**
 * The directory for a command, or that for any; undefined where another Node has built elfnote. V8 knows a source by its
 * length alone, so nothing counts that is older than a file that somebody has edited since.
 */
function compiledFor(command, bundle, built) {
  const places = [/^[a-z-]+$/.test(command) ? command : 'other', 'other'].map(name => join(COMPILED, name));
  return places.find(place => changed(join(place, bundle)) >= built);
}

/** What is not there yet nobody else has written to. */
function isOwnAlone(directory) {
  const stats = statSync(directory, { throwIfNoEntry: false });
  return stats === undefined || (stats.uid === process.getuid() && (stats.mode & 0o022) === 0);
}

/**
 * Node 22 and later keep what they have compiled, here beside the closure notes: in a directory that is the user's own,
 * since whoever writes there says what runs, and which no group may write to, whatever the umask. Node's own choice is
 * below /tmp, where anybody may be first.
 */
function keepCompiled({ HOME = '' } = process.env) {
  const nodeModule = require('node:module');
  if (nodeModule.enableCompileCache === undefined || !HOME.startsWith('/')) return;
  try {
    const cache = `${HOME}/.cache/elfnote`;
    const kept = `${cache}/compiled`;
    if (statSync(HOME).uid !== process.getuid()) return;
    // One for each version of Node, and each may be older than its parent's mode.
    const versions = existsSync(kept) ? readdirSync(kept).map(name => join(kept, name)) : [];
    if (![cache, kept, ...versions].every(isOwnAlone)) return;
    const mask = process.umask(0o077);
    try {
      nodeModule.enableCompileCache(kept);
    } finally {
      process.umask(mask);
    }
  } catch {}
}

function mainOf(command, bundle, built) {
  // Node knows the source maps of what it has loaded itself.
  const compiled = process.sourceMapsEnabled ? undefined : compiledFor(command, bundle, built);
  if (compiled !== undefined) return load(bundle, compiled).main;
  keepCompiled();
  return require(join(CLI, bundle)).main;
}

/** Without this a Node that is too old, and a clone that is not built, would end in a stack. */
function whyNot(built, [major, minor] = process.versions.node.split('.').map(Number)) {
  if (major < 20 || (major === 20 && minor < 12))
    return `needs Node 20.12 or later, and this is ${process.versions.node}`;
  return built === undefined ? 'is not built yet: npm ci builds it' : undefined;
}

function start([, , command = ''] = process.argv) {
  const bundle = bundleFor(command);
  const built = changed(join(CLI, bundle));
  const why = whyNot(built);
  if (why === undefined) {
    const main = mainOf(command, bundle, built);
    if (OVER_MANY_FILES.has(command) && process.versions.v8.startsWith('11.')) optimizeLate(true);
    return main();
  }
  writeSync(2, `elfnote: ${why}\n`);
  process.exitCode = 2;
  return Promise.resolve();
}

// At once: to take a large heap apart piece by piece is work for nobody.
if (require.main === module) start().then(() => process.exit());

module.exports = { bundleFor, load, optimizeLate, whileEarly, COMPILED, LATE };
