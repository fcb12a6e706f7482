/* Objects as the loader has them in memory. */
#ifndef ELFNOTE_OBJECT_H
#define ELFNOTE_OBJECT_H

#include "text.h"

#include <link.h>
#include <stdint.h>

/* Descriptors of an object's notes; empty where there are none. They are as long in memory as the object. */
struct notes {
  struct bytes cache;
  struct bytes closure;
};

struct notes read_notes(const struct link_map *map);

/* Where an object has its libraries looked for. The loader passes over a DT_RPATH that stands beside a DT_RUNPATH. */
struct run_path {
  bool is_rpath;
  /* Null without a run path. */
  const char *text;
};

struct run_path read_run_path(const struct link_map *map);

/* What an object asks for, and where, as one number (docs/format.md); false where it cannot be read. */
bool read_check(const struct link_map *map, uint32_t *check);

/*
 * The directory that the loader takes for $ORIGIN in an object; empty where it cannot be known. It is as long in
 * memory as the object.
 */
struct bytes origin_of(const struct link_map *map);

#endif
