#define _GNU_SOURCE
#include "library_path.h"

#include "file.h"
#include "note.h"
#include "process.h"
#include "system.h"

#include <stdint.h>

enum {
  LIBRARY_PATH_SIZE = 32768,
  /* Directories that are looked at; those behind them are asked for each library. */
  MOST_DIRECTORIES = 512,
  /* With more directories than these, reading each once costs less than asking each for each library. */
  FEW_DIRECTORIES = 4,
  /* Directories of more than some two thousand names are not read to their end. */
  MOST_READS = 4,
  READ_SIZE = 16384,
};

/*
 * ASKED for each library; ABSENT, which the loader too finds out once; LISTED, so that it need not be asked for what
 * is in none of the lists.
 */
enum state { ASKED, ABSENT, LISTED };

static struct {
  /* A copy: programs that set their process title write over the environment. */
  char text[LIBRARY_PATH_SIZE];
  size_t size;
  unsigned char states[MOST_DIRECTORIES];
  /* Two bits are set for each name of a listed directory: whoever has not both is in none of them. */
  uint32_t names[2048];
  bool is_listing_over;
} library_path;

static uint32_t hash(struct bytes name) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < name.size; i++)
    hash = (hash ^ (unsigned char)name.start[i]) * 16777619u;
  return hash;
}

static uint32_t *word_of(uint32_t bit) {
  return &library_path.names[bit / 32];
}

static void add_name(struct bytes name) {
  uint32_t bits = hash(name);
  *word_of(bits >> 16) |= 1u << (bits >> 16) % 32;
  *word_of(bits & 0xffff) |= 1u << bits % 32;
}

static bool may_be_listed(const char *name) {
  uint32_t bits = hash(bytes_of(name));
  return *word_of(bits >> 16) >> (bits >> 16) % 32 & 1 && *word_of(bits & 0xffff) >> bits % 32 & 1;
}

/* As linux_dirent64 has it. */
struct entry {
  uint64_t inode;
  int64_t offset;
  uint16_t size;
  unsigned char type;
  char name[];
};

enum { HAS_CAPABILITIES = -1 };

/* Adds the names of one read; false for a subdirectory that the loader might search. */
static bool add_names(const char *buffer, size_t size) {
  for (size_t at = 0; at < size;) {
    const struct entry *entry = (const void *)(buffer + at);
    struct bytes name = bytes_of(entry->name);
    if (is_capability_subdirectory(name))
      return false;
    add_name(name);
    at += entry->size;
  }
  return true;
}

/* A state, or HAS_CAPABILITIES. A directory that may not be read, or is not read to its end, is asked. */
static int list(struct bytes dir) {
  static _Alignas(8) char buffer[READ_SIZE];
  char path[PATH_SIZE];
  if (!join(path, dir, "."))
    return ASKED;
  long file = open_file(path, O_RDONLY | O_DIRECTORY);
  if (file < 0)
    return file == -ENOENT || file == -ENOTDIR ? ABSENT : ASKED;
  int state = ASKED;
  bool is_empty = true;
  for (int reads = 0; reads < MOST_READS && state == ASKED; reads++) {
    long size = system_call(__NR_getdents64, file, (long)buffer, sizeof buffer, 0);
    if (size < 0 || (size == 0 && is_empty))
      break;
    is_empty = false;
    if (size == 0)
      state = LISTED;
    else if (!add_names(buffer, (size_t)size))
      state = HAS_CAPABILITIES;
  }
  close_file(file);
  return state;
}

/* The state of a directory, or HAS_CAPABILITIES. */
static int look_at(struct bytes dir, bool may_list) {
  int state = may_list ? list(dir) : ASKED;
  if (state != ASKED)
    return state;
  if (!may_exist(dir, "."))
    return ABSENT;
  return may_have_capability_subdirectories(dir) ? HAS_CAPABILITIES : ASKED;
}

bool take_library_path(const char *value) {
  struct bytes rest = bytes_of(value);
  if (rest.size > LIBRARY_PATH_SIZE || contains(rest, '$'))
    return false;
  library_path.size = rest.size;
  size_t directories = 1;
  for (size_t i = 0; i < rest.size; i++) {
    library_path.text[i] = value[i];
    directories += value[i] == ':' || value[i] == ';';
  }
  for (size_t i = 0; rest.start != NULL; i++) {
    struct bytes dir = next_element(&rest, ":;");
    if (!is_plain(dir))
      continue;
    int state = look_at(dir, directories > FEW_DIRECTORIES);
    if (state == HAS_CAPABILITIES)
      return false;
    if (i < MOST_DIRECTORIES)
      library_path.states[i] = (unsigned char)state;
  }
  return true;
}

bool library_path_may_hold(const char *soname) {
  struct bytes rest = {library_path.text, library_path.size};
  if (rest.size == 0)
    return false;
  bool may_skip_listed = !library_path.is_listing_over && !may_be_listed(soname);
  for (size_t i = 0; rest.start != NULL; i++) {
    struct bytes dir = next_element(&rest, ":;");
    enum state state = i < MOST_DIRECTORIES ? library_path.states[i] : ASKED;
    if (state == ABSENT || (state == LISTED && may_skip_listed))
      continue;
    if (may_exist(dir, soname))
      return true;
    if (!is_plain(dir) && may_exist(dir, ".") && may_have_capability_subdirectories(dir))
      return true;
  }
  return false;
}

void end_library_path_listing(void) {
  library_path.is_listing_over = true;
}
