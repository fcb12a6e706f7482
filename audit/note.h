/*
 * The cache note (docs/format.md), read as hostile input: no function reads outside the bytes it is given, and
 * each ends after at most one pass over them.
 */
#ifndef ELFNOTE_NOTE_H
#define ELFNOTE_NOTE_H

#include "text.h"

#include <stdint.h>

/* A note is aligned to this, also where its integers have eight bytes. */
enum { NOTE_ALIGNMENT = 4 };

/*
 * The descriptor of the first note with that owner and type among the notes of a segment, which starts at a multiple
 * of four. OWNER_SIZE counts the NUL. A descriptor of a note that is not there is empty.
 */
struct bytes find_note(struct bytes notes, const char *owner, size_t owner_size, uint32_t type);

/*
 * The descriptor of the first cache note among the notes of a segment, which starts at a multiple of four.
 * Empty when there is none, or when a reader has to drop it: it does not end with two NUL bytes, or a name or a
 * path-list in it is empty.
 */
struct bytes find_descriptor(struct bytes notes);

/* The path-list of SONAME in a descriptor that find_descriptor gave. */
struct bytes find_path_list(struct bytes descriptor, const char *soname);

/*
 * Cuts the first element, up to one of two separators, off a list. As with strsep(3), an empty element follows a
 * separator at the end, and the start of a list is null when nothing is left.
 */
struct bytes next_element(struct bytes *list, const char separators[2]);

#endif
