/* What there is at a path. */
#ifndef ELFNOTE_FILE_H
#define ELFNOTE_FILE_H

#include "text.h"

#include <stdint.h>

/* True also where it cannot be known, or where the loader would not simply go on. */
bool may_exist(struct bytes dir, const char *name);

/* Whether open(2) would succeed on a regular file. */
bool can_open(const char *path);

/* Whether the loader would load it: a shared object for this machine. */
bool is_library(const char *path);

/*
 * The same of a file of which SIZE, the low 32 bits, was written down: one of that size is taken for the same.
 * Zero stands for a size that is not known.
 */
bool is_library_of_size(const char *path, uint32_t size);

/* Whether the loader, which then has an order of its own, might search below DIR, which is there, too. */
bool may_have_capability_subdirectories(struct bytes dir);

/* Whether a name in a directory is that of a subdirectory which the loader might search. */
bool is_capability_subdirectory(struct bytes name);

#endif
