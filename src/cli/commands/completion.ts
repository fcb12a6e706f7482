import { Argument, Command } from 'commander';
import { GROUP } from './file-command.js';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const EXAMPLE = `
Example:
  $ elfnote completion bash > ~/.local/share/bash-completion/completions/elfnote
  $ elfnote completion zsh > "\${fpath[1]}/_elfnote"
  $ elfnote completion fish > ~/.config/fish/completions/elfnote.fish

The script is complete: nothing is run while you type.`;

export function completionCommand(): Command {
  return new Command('completion')
    .description('print a script that lets a shell complete commands and options')
    .addArgument(new Argument('<shell>', 'whose language it is in').choices(SHELLS))
    .optionsGroup(GROUP.common)
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', EXAMPLE)
    .action(async (shell: Shell) => {
      const { printCompletion } = await import('./print-completion.js');
      printCompletion(shell);
    });
}
