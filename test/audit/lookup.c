/*
 * lookup NOTES: how long the module takes for one library of a closure note, in nanoseconds of the processor, in the mean
 * over all of them; of many rounds the best, since the machine has other things to do.
 */
#define _POSIX_C_SOURCE 199309L
#include "closure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char notes[1 << 20];

static unsigned long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (unsigned long)time.tv_sec * 1000000000u + (unsigned long)time.tv_nsec;
}

int main(int argc, char *argv[]) {
  enum { ROUNDS = 200, MOST = 65536 };
  static struct { char path[256], soname[128]; } questions[MOST];
  static struct edge edge;
  struct bytes origin = {"/carrier", 8};
  struct closure closure;
  unsigned count = 0;
  FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
  if (file == NULL)
    return 2;
  size_t size = fread(notes, 1, sizeof notes, file);
  if (!open_closure(find_closure_descriptor((struct bytes){notes, size}), &closure))
    return 3;
  /* Standard input names what is asked: a requester and a soname a line. */
  while (count < MOST && scanf("%255s %127s", questions[count].path, questions[count].soname) == 2)
    count++;
  unsigned long found = 0, best = -1ul;
  for (unsigned round = 0; round < ROUNDS; round++) {
    unsigned long start = now();
    for (unsigned i = 0; i < count; i++) {
      uint32_t object = find_object(&closure, questions[i].path, origin);
      struct edges edges = find_edges(&closure, object, questions[i].soname);
      found += edges.start < edges.end && read_edge(&closure, edges.end - 1, questions[i].soname, origin, &edge);
    }
    unsigned long took = now() - start;
    best = took < best ? took : best;
  }
  printf("%lu %lu\n", best / (count > 0 ? count : 1), found / ROUNDS);
  return 0;
}
