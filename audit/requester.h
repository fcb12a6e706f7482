/* Who asks for a library, and which notes answer for it. */
#ifndef ELFNOTE_REQUESTER_H
#define ELFNOTE_REQUESTER_H

#include "closure.h"
#include "object.h"

/* A closure note and the object that carries it. */
struct carrier {
  const struct link_map *map;
  struct bytes origin;
  struct closure closure;
};

struct requester {
  const struct link_map *map;
  /* The closure note that names it, or null, and the number of its object there. */
  const struct carrier *carrier;
  uint32_t object;
  /* The descriptor of its own cache note, and the run path that it was made for. */
  struct bytes cache;
  struct run_path run_path;
  /* A closure note names it that was made before its DT_NEEDED or its run path changed. */
  bool has_changed;
};

/* Valid until the next call. */
const struct requester *read_requester(const struct link_map *map);

/* An object is closed, or another one is at its address: what was known of it is true no more. */
void forget(const struct link_map *map);

#endif
