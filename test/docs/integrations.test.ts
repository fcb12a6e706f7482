import assert from 'node:assert/strict';
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BIN, FIXTURES, PROJECT, ROOT, runOk } from '../support/cli.js';
import { nixosNotes } from '../support/readelf.js';
import { quoted } from '../support/starter.js';
import { tempDir } from '../support/temp.js';
import { needs } from '../support/tools.js';

/** The first block of a language in the page. */
function block(language: string): string {
  const page = readFileSync(join(PROJECT, 'docs/integrations.md'), 'utf8');
  const found = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'ms').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/integrations.md has no ${language}`);
  return found;
}

/** An installed package with one program, and a directory with the command `elfnote`. */
function install(t: { after(hook: () => void): void }) {
  const dir = tempDir(t);
  const [prefix, bin] = [join(dir, 'store/package'), join(dir, 'bin')];
  for (const made of [prefix, bin]) mkdirSync(made, { recursive: true });
  const program = join(prefix, 'program');
  cpSync(join(FIXTURES, 'kinds/pie-bfd'), program);
  const elfnote = join(bin, 'elfnote');
  const command = [process.execPath, BIN].map(quoted).join(' ');
  writeFileSync(
    elfnote,
    `#!/bin/sh\ncommand=$1\nshift\nexec ${command} "$command" --root ${quoted(ROOT)} "$@"\n`,
  );
  chmodSync(elfnote, 0o755);
  return { dir, prefix, program, bin, elfnote };
}

describe('docs/integrations.md', () => {
  test('the phase for Guix writes the notes of the outputs', { skip: needs('guile') }, t => {
    const { dir, prefix, program, elfnote } = install(t);
    const phases = block('scheme')
      .replace('#~', '')
      .replace('#+(file-append elfnote "/bin/elfnote")', JSON.stringify(elfnote));
    const script = `
      (define %standard-phases '())
      (define (%store-directory) ${JSON.stringify(join(dir, 'store'))})
      (define (invoke . command)
        (unless (zero? (apply system* command)) (error "failed" command)))
      (define-syntax modify-phases
        (syntax-rules (add-after)
          ((_ phases (add-after other name phase)) (cons (cons name phase) phases))))
      (define phases ${phases})
      ((assoc-ref phases 'write-elf-notes) #:inputs '() #:outputs '(("out" . ${JSON.stringify(prefix)})))`;
    const { stdout } = runOk('guile', ['--no-auto-compile', '-c', script], { env: { HOME: dir } });
    assert.match(stdout, /^\S+\/package: 1 file, 1 ELF; 1 written;/);
    assert.equal(nixosNotes(program).length, 1);
  });

  describe('the hook for Spack', { skip: needs('python3') }, () => {
    /** Spack's modules, as far as the hook uses them. */
    const MODULES = {
      'spack/__init__.py': '',
      'spack/store.py': 'class STORE:\n    root = "/store"\n',
      'spack/util/__init__.py': '',
      'spack/util/executable.py': `import shutil, subprocess

def which(name, required):
    path = shutil.which(name)
    return lambda *args: subprocess.run([path, *args], check=True)
`,
    };
    const postInstall = (t: { after(hook: () => void): void }, external: string) => {
      const { dir, prefix, program, bin } = install(t);
      mkdirSync(join(dir, 'spack/util'), { recursive: true });
      for (const [name, text] of Object.entries(MODULES)) writeFileSync(join(dir, name), text);
      writeFileSync(join(dir, 'write_elf_notes.py'), block('python'));
      const script = `
import write_elf_notes
class Spec:
    external, prefix = ${external}, ${JSON.stringify(prefix)}
    def satisfies(self, constraint):
        return constraint == "platform=linux"
write_elf_notes.post_install(Spec(), explicit=True)`;
      runOk('python3', ['-c', script], { cwd: dir, env: { PATH: `${bin}:${process.env.PATH}` } });
      return nixosNotes(program).length;
    };

    test('writes the notes of the prefix', t => assert.equal(postInstall(t, 'False'), 1));
    test('leaves a package alone that Spack has not installed', t => assert.equal(postInstall(t, 'True'), 0));
  });
});
