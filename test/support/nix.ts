import { mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BIN, PROJECT, type RunResult, run } from './cli.js';
import { tempDir } from './temp.js';
import { needs, toolPath } from './tools.js';

export const NEEDS_NIX = needs('nix-build', 'nix-store', 'nix-instantiate', 'bash', 'gcc', 'patchelf');

/** A Nix store of its own, in a temporary directory: no daemon, no sandbox, no network, no build users. */
export class NixStore {
  /** The store directory, `/nix/store` elsewhere. */
  readonly dir: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(scope: { after(hook: () => void): void }) {
    const base = tempDir(scope);
    this.dir = join(base, 'store');
    const conf = join(base, 'etc');
    mkdirSync(conf);
    // There are no other machines to ask; Nix's own hook takes longer to say so.
    const hook = join(conf, 'build-hook');
    writeFileSync(hook, "#!/bin/sh\necho '# decline-permanently' >&2\nexec cat >/dev/null\n", {
      mode: 0o755,
    });
    const settings = ['sandbox = false', 'substitute = false', 'build-users-group =', `build-hook = ${hook}`];
    writeFileSync(join(conf, 'nix.conf'), `${settings.join('\n')}\n`);
    this.#env = {
      HOME: base,
      NIX_CONF_DIR: conf,
      NIX_DATA_DIR: join(base, 'share'),
      NIX_LOCALSTATE_DIR: join(base, 'var'),
      NIX_LOG_DIR: join(base, 'log'),
      NIX_REMOTE: 'local',
      NIX_STATE_DIR: join(base, 'var/nix'),
      NIX_STORE_DIR: this.dir,
    };
  }

  run(command: string, ...args: readonly string[]): RunResult {
    return run(command, args, { env: this.#env });
  }

  /** @param expression in the scope of test/nix/packages.nix. */
  tryBuild(expression: string, ...options: readonly string[]): RunResult {
    return this.run('nix-build', '--no-out-link', ...options, '-E', inPackages(expression));
  }

  /** Builds what has to succeed. */
  build(expression: string, ...options: readonly string[]): { path: string; log: string } {
    const { status, stdout, stderr } = this.tryBuild(expression, ...options);
    if (status !== 0) throw new Error(`nix-build: exit ${status}\n${stderr}`);
    return { path: stdout.trim(), log: stderr };
  }

  /** The value of an expression, as JSON. */
  evaluate(expression: string): unknown {
    const args = ['--eval', '--read-write-mode', '--strict', '--json', '-E', inPackages(expression)];
    const { status, stdout, stderr } = this.run('nix-instantiate', ...args);
    if (status !== 0) throw new Error(`nix-instantiate: exit ${status}\n${stderr}`);
    return JSON.parse(stdout);
  }

  /** An expression in the scope of test/nix/packages.nix. */
  inPackages(expression: string): string {
    return inPackages(expression);
  }

  /** The names of the store paths that a path refers to, without their hashes and sorted. */
  references(path: string): string[] {
    const { stdout } = this.run('nix-store', '--query', '--references', path);
    return stdout
      .split('\n')
      .filter(line => line !== '')
      .map(line => line.slice(this.dir.length + 1 + '32 characters of hash and a dash '.length))
      .sort();
  }
}

function inPackages(expression: string): string {
  const tool = (name: string) => realpathSync(toolPath(name) ?? name);
  const args = {
    shell: tool('bash'),
    path: `${dirname(process.execPath)}:/usr/bin:/bin`,
    node: process.execPath,
    cli: BIN,
  };
  const given = Object.entries(args).map(([name, value]) => `${name} = ${JSON.stringify(value)};`);
  const packages = JSON.stringify(`${PROJECT}/test/nix/packages.nix`);
  return `with import ${packages} { ${given.join(' ')} }; ${expression}`;
}
