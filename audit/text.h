/* Bytes and strings; the module has no libc for them. */
#ifndef ELFNOTE_TEXT_H
#define ELFNOTE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Some bytes of somebody else's; empty stands for "there is none". */
struct bytes {
  const char *start;
  size_t size;
};

size_t length(const char *string);
struct bytes bytes_of(const char *string);
bool contains(struct bytes text, char c);
bool same(struct bytes a, struct bytes b);

/* What follows START in a text, or null. */
const char *after(const char *text, const char *start);

/* An element of this many bytes or more is skipped by every reader. */
enum { PATH_SIZE = 4096 };

/* Appends to a path of PATH_SIZE bytes; false when it does not fit. */
bool append(char *path, size_t *end, struct bytes text);

/* Directory and name joined; an empty directory is the current one. False when that is too long. */
bool join(char path[PATH_SIZE], struct bytes dir, const char *name);

#endif
