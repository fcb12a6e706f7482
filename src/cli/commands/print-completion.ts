import type { Command } from 'commander';
import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import { wordsOf } from '../completion/words.js';
import { zshCompletion } from '../completion/zsh.js';
import { printOut } from '../output.js';
import type { Shell } from './completion.js';

const SCRIPTS = { bash: bashCompletion, fish: fishCompletion, zsh: zshCompletion } as const;

export function printCompletion(shell: Shell, program: Command): void {
  printOut(SCRIPTS[shell](wordsOf(program)));
}
