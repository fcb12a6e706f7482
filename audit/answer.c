#define _GNU_SOURCE
#include "answer.h"

#include "note.h"
#include "object.h"
#include "process.h"
#include "system.h"

/* Whether the loader might look at PATH for a library in any directory: nothing else is opened on a note's word. */
static bool is_candidate(struct bytes path, const char *soname) {
  struct bytes name = bytes_of(soname);
  if (path.size <= name.size || path.start[path.size - name.size - 1] != '/')
    return false;
  return same((struct bytes){path.start + path.size - name.size, name.size}, name);
}

/* The loader's own look at the subdirectories of a directory is kept too: it notes what does not exist. */
static bool subdirectories_of_hint(struct bytes dir) {
  static char last[PATH_SIZE];
  static size_t last_size;
  static bool last_answer;
  if (!same(dir, (struct bytes){last, last_size})) {
    last_answer = may_have_capability_subdirectories(dir);
    last_size = 0;
    append(last, &last_size, dir);
  }
  return last_answer;
}

/* The loader asks for all libraries of an object one after the other. */
static struct {
  const struct link_map *map;
  struct bytes descriptor;
} last_note;

/* The one question: where does REQUESTER say that SONAME is? A path-list (docs/format.md), or nothing. */
static struct bytes find_paths(const struct link_map *requester, const char *soname) {
  if (last_note.map != requester) {
    last_note.descriptor = read_note(requester);
    last_note.map = requester;
  }
  return find_path_list(last_note.descriptor, soname);
}

/*
 * The first path of a list that is there, or null, with the reason, where the loader has to search. It lasts until
 * the next call: the loader copies it.
 */
static const char *choose(struct bytes list, const char *soname, const char **why) {
  static char path[PATH_SIZE];
  while (list.start != NULL) {
    struct bytes element = next_element(&list, "::");
    if (element.size >= PATH_SIZE)
      continue;
    struct bytes place = {element.start + 1, element.size > 0 ? element.size - 1 : 0};
    if (is_plain(place) && *element.start == '=' && is_candidate(place, soname)) {
      size_t end = 0;
      if (append(path, &end, place) && check_access(path, R_OK) == 0)
        return path;
    } else if (!is_plain(place) || *element.start != '?') {
      *why = "the note has an element that only the loader understands";
      return NULL;
    } else if (may_exist(place, soname) || subdirectories_of_hint(place)) {
      *why = "the note has a directory that the loader has to search";
      return NULL;
    }
  }
  *why = "no path of the note is there";
  return NULL;
}

const char *answer(const struct link_map *requester, const char *soname, const char **why) {
  struct bytes list = find_paths(requester, soname);
  if (list.size == 0) {
    *why = last_note.descriptor.size == 0 ? "there is no note to go by" : "the note does not name it";
    return NULL;
  }
  if (library_path_may_hold(soname)) {
    *why = "LD_LIBRARY_PATH may hold it";
    return NULL;
  }
  return choose(list, soname, why);
}

void forget(const struct link_map *map) {
  if (last_note.map == map)
    last_note.map = NULL;
}
