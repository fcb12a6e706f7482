import { writeFileSync } from 'node:fs';
import { runOk } from './cli.js';
import type { Target } from './workshop.js';

/** For gcc: whatever is undefined in C ends the program. */
export const SANITIZED: readonly string[] = [
  '-g',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fsanitize=address,undefined',
  '-fno-sanitize-recover=all',
];

/** Says its word on standard error whenever the loader asks where a library is, and changes nothing. */
const SOURCE = `#define _GNU_SOURCE
#include <link.h>
#include <unistd.h>
unsigned int la_version(unsigned int version) { return version; }
char *la_objsearch(const char *name, uintptr_t *cookie, unsigned int flag) {
  if (flag == LA_SER_ORIG) write(2, WORD, sizeof WORD - 1);
  return (char *)name;
}
`;

/** Builds an audit module that says \`word\` and a newline. */
export function buildAuditModule(target: Target, file: string, word: string): string {
  writeFileSync(`${file}.c`, SOURCE);
  runOk(target.cc, ['-shared', '-fPIC', `-DWORD="${word}\\n"`, `${file}.c`, '-o', file]);
  return file;
}
