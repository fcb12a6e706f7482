#!/usr/bin/env node
import { statSync } from 'node:fs';
import module from 'node:module';

/**
 * Node 22 and later keep what they have compiled, here beside the closure notes: in a directory that is the user's own,
 * since whoever writes there says what runs. Node's own choice is below /tmp, where anybody may be first.
 */
function keepCompiled({ HOME = '' } = process.env) {
  if (module.enableCompileCache === undefined || !HOME.startsWith('/')) return;
  try {
    if (statSync(HOME).uid === process.getuid()) module.enableCompileCache(`${HOME}/.cache/elfnote/compiled`);
  } catch {}
}

keepCompiled();
await import('../dist/cli/main.js');
