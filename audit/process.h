/* What the process was started with. */
#ifndef ELFNOTE_PROCESS_H
#define ELFNOTE_PROCESS_H

#include "text.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

/* Written before la_version is called, and never again. */
extern struct process {
  /* Why the module leaves this process alone, or null. */
  const char *aside;
  bool debug;
  struct {
    const ElfW(Phdr) *start;
    size_t count;
  } program_headers;
  const char *platform;
  /* The file that holds the program's closure note where the program has none (ELFNOTE_CLOSURE), or null. */
  const char *closure_file;
} process;

/* A path that means the same to the loader, in every directory, as to the kernel. */
bool is_plain(struct bytes path);

/* One line on standard error in one write; for ELFNOTE_DEBUG=1. */
void say(const char *const parts[], size_t count);

#endif
