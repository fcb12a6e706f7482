/* What the loader is told. */
#ifndef ELFNOTE_ANSWER_H
#define ELFNOTE_ANSWER_H

#include <link.h>

/*
 * The path of SONAME for a requester, or null, with the reason, where the loader has to search. It lasts until the
 * next call: the loader copies it.
 */
const char *answer(const struct link_map *map, const char *soname, const char **why);

#endif
