#define _GNU_SOURCE
#include "requester.h"

#include "process.h"
#include "system.h"

enum {
  /* The program, the file that was handed over, and plugins. What is beyond answers for itself alone. */
  MOST_CARRIERS = 16,
  /* A closure note in a file that is longer is not read. */
  FILE_SIZE = 131072,
};

static struct carrier carriers[MOST_CARRIERS];
static size_t carrier_count;

/* The loader asks for all libraries of an object one after the other. */
static struct requester current;

static const struct carrier *add_carrier(const struct link_map *map, struct bytes descriptor) {
  struct carrier *carrier = &carriers[carrier_count];
  if (carrier_count == MOST_CARRIERS || !open_closure(descriptor, &carrier->closure))
    return NULL;
  carrier->map = map;
  carrier->origin = origin_of(map);
  carrier_count++;
  return carrier;
}

/* Whether a closure note names the current requester, as it is now. */
static bool is_named_by(const struct carrier *carrier) {
  uint32_t check;
  uint32_t object =
      carrier->map == current.map ? CARRIER : find_object(&carrier->closure, current.map->l_name, carrier->origin);
  if (object == NO_OBJECT)
    return false;
  current.has_changed = !read_check(current.map, &check) || check != carrier->closure.checks[object];
  if (current.has_changed)
    return false;
  current.carrier = carrier;
  current.object = object;
  return true;
}

/* The note of a file that was made for a program which may not be changed: docs/loader.md, elfnote exec --cached. */
static struct bytes read_closure_file(const char *path) {
  static _Alignas(8) char notes[FILE_SIZE];
  struct bytes none = {0};
  long file = open_file(path, O_RDONLY);
  if (file < 0)
    return none;
  size_t size = 0;
  long got;
  while ((got = read_file(file, notes + size, sizeof notes - size, size)) > 0)
    size += (size_t)got;
  close_file(file);
  return size < sizeof notes ? find_closure_descriptor((struct bytes){notes, size}) : none;
}

static bool is_carrier(const struct link_map *map) {
  for (size_t i = 0; i < carrier_count; i++)
    if (carriers[i].map == map)
      return true;
  return false;
}

/* A child inherits the variable that names the file; the note in it says whether it is for this program. */
static struct bytes closure_of_program(struct bytes own) {
  const char *path = process.closure_file;
  process.closure_file = NULL;
  return own.size > 0 || path == NULL ? own : read_closure_file(path);
}

static void read_current(void) {
  bool is_new = !is_carrier(current.map);
  for (size_t i = 0; i < carrier_count; i++)
    if (is_named_by(&carriers[i]) && current.object != CARRIER)
      return;
  struct notes notes = read_notes(current.map);
  current.cache = notes.cache;
  current.run_path = read_run_path(current.map);
  if (!is_new)
    return;
  if (*current.map->l_name == '\0')
    notes.closure = closure_of_program(notes.closure);
  const struct carrier *carrier = add_carrier(current.map, notes.closure);
  /* Where the object that carries it has changed, its closure is another one. */
  if (carrier != NULL && !is_named_by(carrier))
    carrier_count--;
}

const struct requester *read_requester(const struct link_map *map) {
  if (current.map == map)
    return &current;
  current = (struct requester){.map = map};
  read_current();
  return &current;
}

void forget(const struct link_map *map) {
  size_t kept = 0;
  for (size_t i = 0; i < carrier_count; i++)
    if (carriers[i].map != map)
      carriers[kept++] = carriers[i];
  if (kept < carrier_count || current.map == map)
    current = (struct requester){0};
  carrier_count = kept;
}
