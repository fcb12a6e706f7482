/** Runs test files in one process and ends with the first test that fails: a mutant needs no second one. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const files = process.argv.slice(2).map(file => pathToFileURL(resolve(file)).href);
// Static imports: all tests are there before the first one runs, and the hooks at the end of a file wait for all.
const script = files.map(file => `import ${JSON.stringify(file)};`).join('\n');
const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
let failed = false;
createInterface({ input: child.stdout }).on('line', line => {
  if (!/^\s*not ok /.test(line)) return;
  failed = true;
  child.kill('SIGKILL');
});
child.on('close', code => {
  process.exitCode = failed ? 1 : (code ?? 1);
});
