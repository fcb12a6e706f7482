/* What the process was started with, and where LD_LIBRARY_PATH makes it look. */
#ifndef ELFNOTE_PROCESS_H
#define ELFNOTE_PROCESS_H

#include "text.h"

#include <link.h>
#include <stdbool.h>
#include <stddef.h>

enum { LIBRARY_PATH_SIZE = 32768 };

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
  /* A copy: programs that set their process title write over the environment. */
  char library_path[LIBRARY_PATH_SIZE];
  size_t library_path_size;
} process;

/* A path that means the same to the loader, in every directory, as to the kernel. */
bool is_plain(struct bytes path);

/* True also where it cannot be known, or where the loader would not simply go on. */
bool may_exist(struct bytes dir, const char *name);

/* Whether the loader, which then has an order of its own, might search below DIR too. */
bool may_have_capability_subdirectories(struct bytes dir);

/*
 * Whether LD_LIBRARY_PATH, which comes before the note, may hold a library. Absolute directories of it have no
 * capability subdirectories, or the module would stand aside; relative ones move with the current directory.
 */
bool library_path_may_hold(const char *soname);

/* One line on standard error in one write; for ELFNOTE_DEBUG=1. */
void say(const char *const parts[], size_t count);

#endif
