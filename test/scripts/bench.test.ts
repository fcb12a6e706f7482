import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { benchOptions } from '../../scripts/bench/options.js';
import { runOk } from '../support/cli.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

describe('npm run bench', { skip: needs('npm', 'sh') }, () => {
  for (const given of [['--peer', '/a/patchelf'], ['--peer=/a/patchelf'], ['--', '--peer', '/a/patchelf']]) {
    test(`takes the peer, however npm hands it on: ${given.join(' ')}`, t => {
      const dir = tempDir(t);
      const bench = `sh -c 'printf "%s\\n" "$npm_config_peer" "$@"' sh`;
      writeFileSync(join(dir, 'package.json'), JSON.stringify({ scripts: { bench } }));
      const { stdout } = runOk('npm', ['run', '--silent', 'bench', ...given], { cwd: dir });
      const [variable, ...args] = stdout.trimEnd().split('\n');
      const options = benchOptions(args, variable || undefined);
      assert.deepEqual(options, { peer: '/a/patchelf', small: 100_000, rounds: 5 });
    });
  }

  test('refuses an argument that no option takes', () => {
    assert.throws(() => benchOptions(['/a/patchelf']), /Unexpected argument/);
    // `npm run bench --peer`, and `npm run bench --rounds 3 --peer PATCHELF`.
    for (const args of [[], ['3', '/a/patchelf']])
      assert.throws(() => benchOptions(args, 'true'), /--peer needs one path/);
  });
});
