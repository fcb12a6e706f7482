/* fuzz SEED ROUNDS: the reader's parser on mutated notes, in buffers of exactly their size, below the sanitizers. */
#include "note.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char DESCRIPTOR[] =
    "liba.so.1\0=/store/a/liba.so.1:?/run/lib\0libb.so\0=/b/libb.so:=/c/libb.so\0";
static const char *const NAMES[] = {"liba.so.1", "libb.so", "lib", "liba.so.1.2", "", "=/b/libb.so"};
static unsigned long found;

static void check(int condition, const char *what) {
  if (!condition) {
    fprintf(stderr, "broken: %s\n", what);
    abort();
  }
}

static int within(struct bytes part, const char *start, size_t size) {
  return part.size == 0 || (part.start >= start && part.size <= size - (size_t)(part.start - start));
}

static void read_elements(struct bytes list) {
  const char *start = list.start;
  size_t size = list.size, seen = 0;
  while (list.start != NULL) {
    struct bytes element = next_element(&list, ":;");
    check(within(element, start, size), "an element lies in its list");
    seen += element.size + 1;
  }
  check(seen == size + 1, "the elements and their separators are the whole list");
}

static void read_notes(const uint8_t *data, size_t size) {
  /* Its end, and what is behind it, are the sanitizer's. */
  char *notes = malloc(size > 0 ? size : 1);
  if (size > 0)
    memcpy(notes, data, size);
  struct bytes descriptor = find_descriptor((struct bytes){notes, size});
  check(within(descriptor, notes, size), "the descriptor lies in the notes");
  for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
    struct bytes list = find_path_list(descriptor, NAMES[i]);
    check(within(list, descriptor.start, descriptor.size), "the list lies in the descriptor");
    if (list.size > 0) {
      found++;
      read_elements(list);
    }
  }
  free(notes);
}

static uint64_t state;

static uint32_t random_below(uint32_t limit) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % limit;
}

static size_t put_note(char *to, const char *owner, uint32_t type, const char *descriptor, uint32_t size) {
  Elf64_Nhdr header = {(uint32_t)strlen(owner) + 1, size, type};
  char *at = to;
  memcpy(at, &header, sizeof header);
  at += sizeof header;
  memcpy(at, owner, header.n_namesz);
  at += (header.n_namesz + 3) & ~3u;
  memcpy(at, descriptor, size);
  return (size_t)(at - to) + ((size + 3) & ~3u);
}

static void mutate(uint8_t *bytes, size_t *size) {
  for (uint32_t count = random_below(5); count > 0; count--)
    bytes[random_below((uint32_t)*size)] = (uint8_t)(random_below(2) ? random_below(256) : 0);
  if (random_below(4) == 0)
    *size = random_below((uint32_t)*size);
  if (random_below(8) == 0 && *size >= 12) {
    uint32_t word = 0 - random_below(40);
    memcpy(bytes + 4 * random_below(3), &word, sizeof word);
  }
}

int main(int argc, char *argv[]) {
  if (argc != 3)
    return 2;
  state = strtoull(argv[1], NULL, 10);
  for (unsigned long round = strtoul(argv[2], NULL, 10); round > 0; round--) {
    uint8_t bytes[512] = {0};
    size_t size = random_below(2) ? put_note((char *)bytes, "GNU", NT_GNU_BUILD_ID, "0123456789", 10) : 0;
    size += put_note((char *)bytes + size, "NixOS", 0x63a86cb6, DESCRIPTOR, sizeof DESCRIPTOR);
    mutate(bytes, &size);
    read_notes(bytes, size);
  }
  printf("%lu lists\n", found);
  return 0;
}
