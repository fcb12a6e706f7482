/*
 * The closure note (docs/format.md), read as hostile input: no function reads outside the descriptor it is given, and
 * none allocates.
 */
#ifndef ELFNOTE_CLOSURE_H
#define ELFNOTE_CLOSURE_H

#include "text.h"

#include <stdint.h>

/* A descriptor whose tables lie inside it; what they hold is checked where it is used. */
struct closure {
  /* Two or four bytes. */
  size_t index_size;
  uint32_t directory_count;
  uint32_t object_count;
  uint32_t edge_count;
  uint32_t string_size;
  const uint32_t *checks;
  const uint32_t *sizes;
  const char *directories;
  const char *names;
  const char *homes;
  const char *firsts;
  const char *edges;
  const char *strings;
};

/* Objects: the one that carries the note comes first; NO_OBJECT is none. */
enum { CARRIER = 0 };
#define NO_OBJECT UINT32_MAX

/* In place of a size: the path is answered without a look. */
#define TRUSTED UINT32_MAX

/* The closure note among the notes of a segment. */
struct bytes find_closure_descriptor(struct bytes notes);

/* False for a descriptor of another version, or one that is not what its counts say. */
bool open_closure(struct bytes descriptor, struct closure *closure);

/* The object of a path as the loader knows it. ORIGIN is the directory of the object that carries the note. */
uint32_t find_object(const struct closure *closure, const char *path, struct bytes origin);

/* The path-list of a soname: edges from START to END; both are equal when there is none. */
struct edges {
  uint32_t start;
  uint32_t end;
};

struct edges find_edges(const struct closure *closure, uint32_t requester, const char *soname);

/* One element of a path-list: an object's file, or a directory to search for the soname. */
struct edge {
  bool is_hint;
  /* It is of a DT_RPATH, which the loader searches before LD_LIBRARY_PATH. */
  bool is_before_library_path;
  /* What the file's size was, TRUSTED, or zero. */
  uint32_t size;
  /* The path, or the directory. */
  char path[PATH_SIZE];
};

/* False for an edge that leads nowhere, or to a file of another name than SONAME. */
bool read_edge(const struct closure *closure, uint32_t number, const char *soname, struct bytes origin,
               struct edge *edge);

/* What a requester asks for and where, as one number: each string in turn, and what kind the last one is. */
uint32_t add_string(uint32_t check, const char *string, size_t limit);
uint32_t add_number(uint32_t check, uint32_t number);

#endif
