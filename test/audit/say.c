/* What the module says of more parts than it has room for, below the sanitizers. */
#define _GNU_SOURCE
#include "process.h"

int main(void) {
  const char *const parts[] = {"1", "2", "3", "4", "5", "6", "7", "8\n", "9", "10"};
  say(parts, sizeof parts / sizeof *parts);
  return 0;
}
