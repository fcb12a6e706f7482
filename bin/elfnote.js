#!/usr/bin/env node
// Node compiles this file anew at each start: what is seldom needed is in a file of its own.
const { closeSync, openSync, readSync, statSync, writeSync } = require('node:fs');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

const CLI = `${dirname(__dirname)}/dist/cli`;
/** What V8 has compiled is for its own version, and V8 itself does not look at the processor. */
const COMPILED = `${CLI}/compiled/${process.version}-${process.platform}-${process.arch}`;

/** Little is read for these: what they need is in bundles of their own, which lack what the other commands do. */
const LIGHT = ['--help', '--version', '-V', '-h', 'completion', 'help', 'reader'];

function bundleFor(command) {
  if (command === 'dump') return 'dump.js';
  return LIGHT.includes(command) ? 'light.js' : 'main.js';
}

/**
 * The V8 of Node 20 optimizes what runs often so early, and takes so long over what it inlines and over a loop's first round,
 * that a run over hundreds of files pays for it and ends before it has gained anything. Later ones wait by themselves. In
 * bytes of bytecode, that run and that are inlined into one function; the other values are V8's own.
 */
const LATE = '--interrupt-budget=270000 --max-inlined-bytecode-size-cumulative=150 --no-turbo-loop-peeling';
const EARLY = '--interrupt-budget=67584 --max-inlined-bytecode-size-cumulative=920 --turbo-loop-peeling';
const OVER_MANY_FILES = ['build-cache', 'remove-cache', 'verify'];
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

/** Exact, as the command line asks too, so that Node compiles what answers once. Undefined where it may not be looked at. */
function look(path) {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** For all that is read, one after the other: new memory costs more than what is read into it. */
let room;

/** @returns bytes that the next call writes over. */
function read(path, size) {
  // What V8 has compiled of a source is larger, and comes next.
  if (!(size <= room?.length)) room = Buffer.allocUnsafeSlow(2 * size);
  const fd = openSync(path);
  try {
    return room.subarray(0, readSync(fd, room, 0, size, 0));
  } finally {
    closeSync(fd);
  }
}

/**
 * What V8 has compiled of a source. It knows that by its length alone, so nothing counts that is older than a file that
 * somebody has edited since.
 */
function tryKept(path, source) {
  const kept = look(path);
  if (!(kept?.mtimeNs >= source.mtimeNs)) return undefined;
  try {
    return read(path, Number(kept.size));
  } catch {
    return undefined;
  }
}

/**
 * Loads the command line as Node loads CommonJS modules, but for what is compiled already.
 *
 * @param compiled a directory with what V8 has compiled of each file.
 * @param built what `look` says of the bundle, where it has been asked.
 */
function load(bundle, compiled, built) {
  const scripts = new Map();
  const loaded = new Map();
  const loadFile = (name, known) => {
    const path = `${CLI}/${name}`;
    const stats = known ?? statSync(path, { bigint: true });
    const bytes = read(path, Number(stats.size));
    // Not documented, and quicker, since it asks for no encoding.
    const source = bytes.latin1Slice?.() ?? bytes.toString('latin1');
    const script = new Script(source, {
      // It is among what is compiled, and no machine's path belongs there.
      filename: `elfnote/dist/cli/${name}`,
      cachedData: compiled === undefined ? undefined : tryKept(`${compiled}/${name}`, stats),
    });
    scripts.set(name, script);
    const module = { exports: {} };
    loaded.set(name, module);
    script.runInThisContext()(module.exports, ask, module, path, CLI);
    return module;
  };
  const ask = name => {
    if (!name.startsWith('./')) return whileEarly(() => require(name));
    const file = name.slice(2);
    return (loaded.get(file) ?? whileEarly(() => loadFile(file))).exports;
  };
  return { scripts, main: loadFile(bundle, built).exports.main };
}

/** The directory for a command, or that for any; undefined where another Node has built elfnote. */
function compiledFor(command, bundle, built) {
  for (const name of [command, 'other']) {
    if (!name.includes('/') && look(`${COMPILED}/${name}/${bundle}`)?.mtimeNs >= built.mtimeNs)
      return `${COMPILED}/${name}`;
  }
  return undefined;
}

function start(command = '') {
  const bundle = bundleFor(command);
  const built = look(`${CLI}/${bundle}`);
  // Node knows the source maps of what it has loaded itself.
  const compiled =
    built === undefined || process.sourceMapsEnabled ? undefined : compiledFor(command, bundle, built);
  let main;
  if (compiled === undefined) {
    const { keepCompiled, whyNot } = require('./plain.js');
    const why = whyNot(built !== undefined);
    if (why !== undefined) {
      writeSync(2, `elfnote: ${why}\n`);
      process.exitCode = 2;
      return Promise.resolve();
    }
    keepCompiled();
    ({ main } = require(`${CLI}/${bundle}`));
  } else ({ main } = load(bundle, compiled, built));
  if (OVER_MANY_FILES.includes(command) && process.versions.v8.startsWith('11.')) optimizeLate(true);
  return main();
}

// At once: to take a large heap apart piece by piece is work for nobody.
if (require.main === module) start(process.argv[2]).then(() => process.exit());

module.exports = { bundleFor, load, optimizeLate, whileEarly, COMPILED, LATE };
