/* LD_LIBRARY_PATH, which comes before a note. */
#ifndef ELFNOTE_LIBRARY_PATH_H
#define ELFNOTE_LIBRARY_PATH_H

#include <stdbool.h>

/*
 * Copies LD_LIBRARY_PATH and looks at its directories once; false when the loader searches it in a way that is not
 * followed here.
 */
bool take_library_path(const char *value);

/*
 * Whether it may hold a library. Absolute directories of it have no capability subdirectories, or the module would
 * stand aside; relative ones move with the current directory.
 */
bool library_path_may_hold(const char *soname);

/* The program starts: from now on, what a directory held at the beginning says nothing more. */
void end_library_path_listing(void);

#endif
