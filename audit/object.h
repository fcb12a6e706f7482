/* Objects as the loader has them in memory. */
#ifndef ELFNOTE_OBJECT_H
#define ELFNOTE_OBJECT_H

#include "text.h"

#include <link.h>

/*
 * The descriptor of an object's note. Only an object with DT_RUNPATH has one that counts: without it the loader
 * looks first through DT_RPATH, also that of the objects which caused this one to be loaded.
 */
struct bytes read_note(const struct link_map *map);

#endif
