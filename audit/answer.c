#define _GNU_SOURCE
#include "answer.h"

#include "file.h"
#include "library_path.h"
#include "note.h"
#include "process.h"
#include "requester.h"
#include "system.h"

/* Whether the loader might look at PATH for a library in any directory: nothing else is opened on a note's word. */
static bool is_candidate(struct bytes path, const char *soname) {
  struct bytes name = bytes_of(soname);
  if (path.size <= name.size || path.start[path.size - name.size - 1] != '/')
    return false;
  return same((struct bytes){path.start + path.size - name.size, name.size}, name);
}

/* What a directory is, as far as the loader remembers it too: whether it is there, and has subdirectories to search. */
enum state { UNKNOWN, ABSENT, PLAIN, HAS_CAPABILITIES };

static uint64_t hash(struct bytes text) {
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < text.size; i++)
    hash = (hash ^ (unsigned char)text.start[i]) * 1099511628211u;
  return hash;
}

/* Of the last few directories that were asked for. */
static enum state state_of(struct bytes dir) {
  enum { MOST = 32 };
  static struct {
    uint64_t hash;
    enum state state;
  } known[MOST];
  static unsigned next;
  uint64_t key = hash(dir);
  for (unsigned i = 0; i < MOST; i++)
    if (known[i].state != UNKNOWN && known[i].hash == key)
      return known[i].state;
  unsigned slot = next++ % MOST;
  known[slot].hash = key;
  known[slot].state = !may_exist(dir, ".")                      ? ABSENT
                      : may_have_capability_subdirectories(dir) ? HAS_CAPABILITIES
                                                                : PLAIN;
  return known[slot].state;
}

static const char ONLY_THE_LOADER[] = "the note has an element that only the loader understands";
static const char TO_SEARCH[] = "the note has a directory that the loader has to search";
static const char IN_LIBRARY_PATH[] = "LD_LIBRARY_PATH may hold it";
static const char NOT_THERE[] = "no path of the note is there";

/* What an element of a path-list comes to. The loader has to search where it is FOUND and there is no path. */
enum outcome { FOUND, PASSED };

/* The file of a directory that has to be looked at: WHY is set where the loader has to search it itself. */
static enum outcome look_into(struct bytes dir, const char *soname, char path[PATH_SIZE], const char **why) {
  enum state state = state_of(dir);
  if (state == ABSENT || (state == PLAIN && !may_exist(dir, soname)))
    return PASSED;
  if (state != PLAIN || !join(path, dir, soname) || !is_library(path))
    *why = TO_SEARCH;
  return FOUND;
}

/* A directory as the loader joins it with a name. */
static struct bytes without_slashes(struct bytes dir) {
  while (dir.size > 1 && dir.start[dir.size - 1] == '/')
    dir.size--;
  return dir;
}

/* What follows $ORIGIN at the start of a directory; its start is null when there is anything else to expand. */
static struct bytes after_origin(struct bytes dir) {
  static const char *const forms[] = {"$ORIGIN", "${ORIGIN}"};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    struct bytes form = bytes_of(forms[i]);
    if (dir.size < form.size || !same((struct bytes){dir.start, form.size}, form))
      continue;
    struct bytes rest = {dir.start + form.size, dir.size - form.size};
    if ((rest.size == 0 || *rest.start == '/') && !contains(rest, '$'))
      return rest;
  }
  return (struct bytes){0};
}

/* A directory of a note, as the loader has it for the object that asks; false where only the loader can tell. */
static bool expand(char path[PATH_SIZE], struct bytes dir, const struct requester *requester, struct bytes *expanded) {
  size_t end = 0;
  struct bytes rest = after_origin(dir);
  if (rest.start == NULL) {
    *expanded = without_slashes(dir);
    return is_plain(dir);
  }
  struct bytes origin = origin_of(requester->map);
  if (origin.size == 0 || !append(path, &end, origin) || !append(path, &end, rest))
    return false;
  *expanded = without_slashes((struct bytes){path, end});
  return true;
}

/* Whether a directory is one of a DT_RPATH, as it is written there. */
static bool is_in_run_path(struct bytes dir, struct run_path run_path) {
  struct bytes rest = bytes_of(run_path.text);
  while (rest.start != NULL)
    if (same(without_slashes(next_element(&rest, "::")), without_slashes(dir)))
      return true;
  return false;
}

/* The directory of a path that ends with a slash and the soname. */
static struct bytes directory_of(struct bytes path, const char *soname) {
  size_t size = path.size - length(soname) - 1;
  return (struct bytes){path.start, size == 0 ? 1 : size};
}

/*
 * The first path of a cache note's list that is there, or null, with the reason, where the loader has to search. Of an
 * object without DT_RUNPATH the loader searches its own DT_RPATH before all else, and what is not in it later.
 */
static const char *choose_of_cache(struct bytes list, const char *soname, const struct requester *requester,
                                   char path[PATH_SIZE], const char **why) {
  static char directory[PATH_SIZE];
  while (list.start != NULL) {
    struct bytes element = next_element(&list, "::");
    struct bytes dir = {0};
    size_t end = 0;
    if (element.size >= PATH_SIZE)
      continue;
    struct bytes place = {element.start + 1, element.size > 0 ? element.size - 1 : 0};
    bool is_path = element.size > 0 && *element.start == '=' && is_plain(place) && is_candidate(place, soname);
    bool is_hint = element.size > 0 && *element.start == '?' && expand(directory, place, requester, &dir);
    bool is_own = is_path || is_hint;
    if (is_own && requester->run_path.is_rpath)
      is_own = is_in_run_path(is_path ? directory_of(place, soname) : place, requester->run_path);
    if (!is_own) {
      *why = ONLY_THE_LOADER;
      return NULL;
    }
    if (is_path && append(path, &end, place) && can_open(path))
      return path;
    if (is_hint && look_into(dir, soname, path, why) == FOUND)
      return *why == NULL ? path : NULL;
  }
  *why = NOT_THERE;
  return NULL;
}

/* The same of a closure note's list. */
static const char *choose_of_closure(struct edges edges, const char *soname, const struct requester *requester,
                                     char path[PATH_SIZE], const char **why) {
  static struct edge edge;
  const struct carrier *carrier = requester->carrier;
  bool is_behind_library_path = false;
  for (uint32_t i = edges.start; i < edges.end; i++) {
    size_t end = 0;
    if (!read_edge(&carrier->closure, i, soname, carrier->origin, &edge)) {
      *why = ONLY_THE_LOADER;
      return NULL;
    }
    if (!edge.is_before_library_path && !is_behind_library_path && library_path_may_hold(soname)) {
      *why = IN_LIBRARY_PATH;
      return NULL;
    }
    is_behind_library_path = !edge.is_before_library_path;
    struct bytes place = bytes_of(edge.path);
    if (edge.is_hint && look_into(place, soname, path, why) == FOUND)
      return *why == NULL ? path : NULL;
    if (!edge.is_hint && append(path, &end, place) &&
        (edge.size == TRUSTED || is_library_of_size(path, edge.size)))
      return path;
  }
  *why = NOT_THERE;
  return NULL;
}

const char *answer(const struct link_map *map, const char *soname, const char **why) {
  static char path[PATH_SIZE];
  const struct requester *requester = read_requester(map);
  if (requester->carrier != NULL) {
    struct edges edges = find_edges(&requester->carrier->closure, requester->object, soname);
    if (edges.start < edges.end)
      return choose_of_closure(edges, soname, requester, path, why);
  }
  struct bytes list = requester->run_path.text == NULL ? (struct bytes){0} : find_path_list(requester->cache, soname);
  if (list.size > 0 && (requester->run_path.is_rpath || !library_path_may_hold(soname)))
    return choose_of_cache(list, soname, requester, path, why);
  if (list.size > 0)
    *why = IN_LIBRARY_PATH;
  else if (requester->has_changed)
    *why = "it is not what it was when the note was made";
  else if (requester->carrier != NULL || requester->cache.size > 0)
    *why = "the note does not name it";
  else
    *why = "there is no note to go by";
  return NULL;
}
