import { bashCompletion } from '../completion/bash.js';
import { fishCompletion } from '../completion/fish.js';
import { wordsOf } from '../completion/words.js';
import { zshCompletion } from '../completion/zsh.js';
import { printOut } from '../output.js';
import { createProgram } from '../program.js';
import type { Shell } from './completion.js';

const SCRIPTS = { bash: bashCompletion, fish: fishCompletion, zsh: zshCompletion } as const;

export function printCompletion(shell: Shell): void {
  printOut(SCRIPTS[shell](wordsOf(createProgram())));
}
