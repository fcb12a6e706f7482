#include "text.h"

size_t length(const char *string) {
  size_t size = 0;
  while (string[size] != '\0')
    size++;
  return size;
}

struct bytes bytes_of(const char *string) {
  return (struct bytes){string, length(string)};
}

bool contains(struct bytes text, char c) {
  for (size_t i = 0; i < text.size; i++)
    if (text.start[i] == c)
      return true;
  return false;
}

bool same(struct bytes a, struct bytes b) {
  if (a.size != b.size)
    return false;
  for (size_t i = 0; i < a.size; i++)
    if (a.start[i] != b.start[i])
      return false;
  return true;
}

bool append(char *path, size_t *end, struct bytes text) {
  if (text.size >= PATH_SIZE - *end)
    return false;
  for (size_t i = 0; i < text.size; i++)
    path[(*end)++] = text.start[i];
  path[*end] = '\0';
  return true;
}

bool join(char path[PATH_SIZE], struct bytes dir, const char *name) {
  size_t end = 0;
  path[0] = '\0';
  if (!append(path, &end, dir))
    return false;
  bool needs_slash = dir.size > 0 && dir.start[dir.size - 1] != '/';
  return (!needs_slash || append(path, &end, bytes_of("/"))) && append(path, &end, bytes_of(name));
}

const char *after(const char *text, const char *start) {
  while (*start != '\0')
    if (*text++ != *start++)
      return NULL;
  return text;
}

/* Compilers make calls of these out of the assignment of structs, and would out of these loops, but for the barrier. */
#define BARRIER __asm__ volatile("" ::: "memory")

void *memset(void *to, int value, size_t size) {
  char *bytes = to;
  for (size_t i = 0; i < size; i++) {
    bytes[i] = (char)value;
    BARRIER;
  }
  return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
  char *bytes = to;
  const char *source = from;
  for (size_t i = 0; i < size; i++) {
    bytes[i] = source[i];
    BARRIER;
  }
  return to;
}
