/*
 * lookup NOTES: how many steps the module takes for one library of a closure note, in the mean over those that standard
 * input names. A step is a basic block of closure.c, which is compiled so that each calls what is below.
 */
#include "closure.h"

#include <stdio.h>

static unsigned long steps;

void __sanitizer_cov_trace_pc(void);
void __sanitizer_cov_trace_pc(void) { steps++; }

int main(int argc, char *argv[]) {
  static char notes[1 << 20], path[256], soname[128];
  static struct edge edge;
  struct bytes origin = {"/carrier", 8};
  struct closure closure;
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL)
    return 2;
  size_t size = fread(notes, 1, sizeof notes, file);
  if (!open_closure(find_closure_descriptor((struct bytes){notes, size}), &closure))
    return 3;
  unsigned long count = 0, found = 0;
  steps = 0;
  /* A requester and a soname a line. */
  for (; scanf("%255s %127s", path, soname) == 2; count++) {
    uint32_t object = find_object(&closure, path, origin);
    struct edges edges = find_edges(&closure, object, soname);
    found += edges.start < edges.end && read_edge(&closure, edges.end - 1, soname, origin, &edge);
  }
  printf("%lu %lu\n", steps / (count > 0 ? count : 1), found);
  return 0;
}
