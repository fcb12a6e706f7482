#!/usr/bin/env node
const { readFileSync, statSync } = require('node:fs');
const nodeModule = require('node:module');
const { join } = require('node:path');
const { Script } = require('node:vm');

const CLI = join(__dirname, '../dist/cli');
const MAIN = join(CLI, 'main.js');
/** What V8 has compiled is for its own version, and V8 itself does not look at the processor. */
const COMPILED = join(CLI, 'compiled', `${process.version}-${process.platform}-${process.arch}`);

/** What the build has compiled for a command, so that nothing is compiled before it starts. */
function compiledFor(command) {
  const name = /^[a-z-]+$/.test(command) ? command : 'other';
  for (const file of new Set([name, 'other'])) {
    try {
      return readFileSync(join(COMPILED, file));
    } catch {}
  }
  return undefined;
}

/** As Node loads a CommonJS module, but for what is compiled already. */
function load(cachedData) {
  const source = readFileSync(MAIN, 'latin1');
  const script = new Script(`(function(exports,require,module,__filename,__dirname){\n${source}\n})`, {
    // It is among what is compiled, and no machine's path belongs there.
    filename: 'elfnote/dist/cli/main.js',
    lineOffset: -1,
    cachedData,
  });
  const main = new module.constructor(MAIN, module);
  main.filename = MAIN;
  script.runInThisContext().call(main.exports, main.exports, id => main.require(id), main, MAIN, CLI);
  return { script, main: main.exports.main };
}

/**
 * Node 22 and later keep what they have compiled, here beside the closure notes: in a directory that is the user's own,
 * since whoever writes there says what runs. Node's own choice is below /tmp, where anybody may be first.
 */
function keepCompiled({ HOME = '' } = process.env) {
  if (nodeModule.enableCompileCache === undefined || !HOME.startsWith('/')) return;
  try {
    if (statSync(HOME).uid === process.getuid())
      nodeModule.enableCompileCache(`${HOME}/.cache/elfnote/compiled`);
  } catch {}
}

function mainOf() {
  // Node knows the source maps of what it has loaded itself.
  const compiled = process.sourceMapsEnabled ? undefined : compiledFor(process.argv[2]);
  if (compiled !== undefined) return load(compiled).main;
  keepCompiled();
  return require(MAIN).main;
}

// At once: to take a large heap apart piece by piece is work for nobody.
if (require.main === module) mainOf()().then(() => process.exit());

module.exports = { load, ELFNOTE: __filename, COMPILED };
