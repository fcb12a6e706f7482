/** How the command line starts where nothing that V8 has compiled is kept for it; bin/elfnote.js loads this when it needs it. */
const { existsSync, readdirSync, statSync } = require('node:fs');
const nodeModule = require('node:module');
const { join } = require('node:path');

/** Why it cannot start; undefined where it can. Without this it would end in a stack. */
function whyNot(isBuilt, [major, minor] = process.versions.node.split('.').map(Number)) {
  if (major < 20 || (major === 20 && minor < 12))
    return `needs Node 20.12 or later, and this is ${process.versions.node}`;
  return isBuilt ? undefined : 'is not built yet: npm ci builds it';
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

module.exports = { keepCompiled, whyNot };
