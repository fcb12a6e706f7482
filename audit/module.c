/*
 * A reader of cache notes for an unpatched glibc: an auditing module (rtld-audit(7)) that answers the loader's
 * question for a library from the note of the object that asks, as a patched loader would (docs/loader.md).
 *
 * The loader asks at LA_SER_ORIG, after it has looked among the loaded objects and before LD_LIBRARY_PATH. Only an
 * answer given there is the name that the object ends up with. So whatever comes before a note in a patched loader
 * is looked at here first, and where that is not plain, the name goes back unchanged and the loader searches as
 * ever. The same holds for everything else that is not understood.
 *
 * The module is loaded into every program, so it is freestanding: no libc, no allocation, no thread-local storage.
 * The loader holds its lock around every call, so the state here needs none.
 */
#define _GNU_SOURCE
#include "answer.h"
#include "library_path.h"
#include "process.h"
#include "requester.h"

#include <link.h>

#define EXPORT __attribute__((visibility("default")))

static void say_answer(const struct link_map *requester, const char *soname, const char *path,
                       const char *why) {
  const char *who = *requester->l_name == '\0' ? "the program" : requester->l_name;
  const char *what = path != NULL ? path : "left to the loader: ";
  const char *const parts[] = {"elfnote: ", soname, " for ", who, ": ", what, path != NULL ? "" : why, "\n"};
  say(parts, sizeof parts / sizeof *parts);
}

/* Version 2 differs from 1 only in what glibc passes to hooks that this module does not have. 0: leave it out. */
EXPORT unsigned int la_version(unsigned int version) {
  enum { NEWEST_KNOWN = 2 };
  if (process.aside != NULL) {
    const char *const parts[] = {"elfnote: stands aside: ", process.aside, "\n"};
    if (process.debug)
      say(parts, sizeof parts / sizeof *parts);
    return 0;
  }
  return version < NEWEST_KNOWN ? version : NEWEST_KNOWN;
}

/* No flags: symbols are bound as without an auditor. The cookie stays what glibc made it, the object's address. */
EXPORT unsigned int la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie) {
  (void)namespace;
  (void)cookie;
  /* It may be where one was that has been closed. */
  forget(map);
  return 0;
}

/* All that the program needs is loaded, and it starts. */
EXPORT void la_preinit(uintptr_t *cookie) {
  (void)cookie;
  end_library_path_listing();
}

EXPORT unsigned int la_objclose(uintptr_t *cookie) {
  forget((const void *)*cookie);
  return 0;
}

EXPORT char *la_objsearch(const char *name, uintptr_t *cookie, unsigned int flag) {
  if (flag == LA_SER_ORIG && !contains(bytes_of(name), '/')) {
    const struct link_map *requester = (const void *)*cookie;
    const char *why = NULL;
    const char *path = answer(requester, name, &why);
    if (process.debug)
      say_answer(requester, name, path, why);
    if (path != NULL)
      return (char *)(uintptr_t)path;
  }
  return (char *)(uintptr_t)name;
}
