/*
 * fuzz-closure NOTES SEED ROUNDS: the module's reader of closure notes on mutations of the notes in a file, in buffers
 * of exactly their size, below the sanitizers. With no rounds it looks every requester's answers up as they are and
 * prints them.
 */
#include "closure.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char original[1 << 20];
static size_t original_size;
static unsigned long found;
static struct bytes origin = {"/carrier/bin", 12};

static void check(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "broken: %s\n", what);
    abort();
  }
}

/* All that the module does with a list. */
static void read_list(const struct closure *closure, uint32_t requester, const char *soname, int print) {
  static struct edge edge;
  struct edges edges = find_edges(closure, requester, soname);
  check(edges.start <= edges.end && edges.end <= closure->edge_count, "edges lie in their table");
  for (uint32_t i = edges.start; i < edges.end; i++) {
    if (!read_edge(closure, i, soname, origin, &edge))
      continue;
    size_t size = strlen(edge.path);
    check(size < sizeof edge.path && edge.path[0] == '/', "a path is absolute, and ends");
    found++;
    if (print)
      printf("%u %s %c%s %s %u\n", requester, soname, edge.is_hint ? '?' : '=', edge.path,
             edge.is_before_library_path ? "before" : "after", edge.size);
  }
}

static void read_notes(const char *data, size_t size, int print) {
  static const char *const paths[] = {"", "/", "liba.so", "/nix/store/a/lib/liba.so", "/carrier/bin/../lib/libo.so",
                                      "/nix/store/b/lib/libb.so"};
  static const char *const sonames[] = {"liba.so", "libb.so", "libo.so", "lib", ""};
  enum { PATHS = sizeof paths / sizeof *paths, SONAMES = sizeof sonames / sizeof *sonames };
  char *notes = malloc(size > 0 ? size : 1);
  memcpy(notes, data, size);
  struct bytes descriptor = find_closure_descriptor((struct bytes){notes, size});
  struct closure closure;
  if (open_closure(descriptor, &closure)) {
    for (unsigned i = 0; i < PATHS; i++) {
      uint32_t object = find_object(&closure, paths[i], origin);
      check(object == NO_OBJECT || object < closure.object_count, "an object lies in its table");
      if (print && object != NO_OBJECT)
        printf("%s is %u, %x\n", paths[i], object, closure.checks[object]);
      for (unsigned j = 0; j < SONAMES && object != NO_OBJECT; j++)
        read_list(&closure, object, sonames[j], 0);
    }
    static const uint32_t objects[] = {0, 1, 2, 3, 4, 1000000, NO_OBJECT};
    for (unsigned i = 0; i < sizeof objects / sizeof *objects; i++)
      for (unsigned j = 0; j < SONAMES; j++)
        read_list(&closure, objects[i], sonames[j], print);
  }
  free(notes);
}

static uint64_t state;

static uint32_t random_below(uint32_t limit) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % limit;
}

static void mutate(char *bytes, size_t *size) {
  for (uint32_t count = random_below(4); count > 0; count--)
    bytes[random_below((uint32_t)*size)] = (char)(random_below(2) ? random_below(256) : 0);
  if (random_below(8) == 0)
    *size = random_below((uint32_t)*size);
  /* Strings to the very end of the buffer. */
  if (random_below(8) == 0 && *size > 140)
    memset(bytes + *size - 9, 'x', 9);
  /* An index, or a count. */
  for (uint32_t count = random_below(3); count > 0 && *size > 140; count--) {
    uint16_t word = (uint16_t)(random_below(2) ? random_below(8) : 0 - random_below(8));
    memcpy(bytes + 20 + 2 * random_below(50), &word, sizeof word);
  }
}

int main(int argc, char *argv[]) {
  if (argc != 4)
    return 2;
  FILE *file = fopen(argv[1], "rb");
  if (file == NULL)
    return 2;
  original_size = fread(original, 1, sizeof original, file);
  fclose(file);
  state = strtoull(argv[2], NULL, 10);
  unsigned long rounds = strtoul(argv[3], NULL, 10);
  if (rounds == 0)
    read_notes(original, original_size, 1);
  for (; rounds > 0; rounds--) {
    char bytes[4096];
    size_t size = original_size < sizeof bytes ? original_size : sizeof bytes;
    memcpy(bytes, original, size);
    mutate(bytes, &size);
    read_notes(bytes, size, 0);
  }
  if (argv[3][0] != '0')
    printf("%lu paths\n", found);
  return 0;
}
