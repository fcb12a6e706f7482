#define _GNU_SOURCE
#include "process.h"

#include "library_path.h"
#include "system.h"

#include <elf.h>

struct process process;

bool is_plain(struct bytes path) {
  return path.size > 0 && path.start[0] == '/' && !contains(path, '$');
}

void say(const char *const parts[], size_t count) {
  enum { MOST = 8 };
  struct iovec vectors[MOST];
  size_t filled = count < MOST ? count : MOST;
  for (size_t i = 0; i < filled; i++) {
    vectors[i].iov_base = (char *)(uintptr_t)parts[i];
    vectors[i].iov_len = length(parts[i]);
  }
  write_error(vectors, filled);
}

static void read_auxiliary_vector(const ElfW(auxv_t) * entry) {
  bool loader_has_base = false;
  for (; entry->a_type != AT_NULL; entry++) {
    ElfW(Addr) value = entry->a_un.a_val;
    switch (entry->a_type) {
    case AT_PHDR:
      process.program_headers.start = (const void *)value;
      break;
    case AT_PHNUM:
      process.program_headers.count = value;
      break;
    case AT_PLATFORM:
      process.platform = (const char *)value;
      break;
    case AT_BASE:
      loader_has_base = value != 0;
      break;
    case AT_SECURE:
      /* What such a program loads is not for the environment to say. */
      if (value != 0)
        process.aside = "the program runs in secure mode";
      break;
    }
  }
  if (!loader_has_base)
    process.aside = "the loader was started by hand, and may have a --library-path";
}

/*
 * The loader passes its own copies of what the kernel put on the stack; the auxiliary vector stands behind the
 * environment there. Of a variable that is set twice the loader takes the last.
 */
__attribute__((constructor)) static void start(int argc, char *argv[], char *environment[]) {
  (void)argc;
  (void)argv;
  const char *library_path = "";
  for (; *environment != NULL; environment++) {
    const char *value = after(*environment, "LD_LIBRARY_PATH=");
    if (value != NULL)
      library_path = value;
    /* A list would show the answer in place of the name. */
    if (after(*environment, "LD_TRACE_LOADED_OBJECTS=") != NULL)
      process.aside = "the loader lists the libraries under the names that are asked for";
    value = after(*environment, "ELFNOTE_CLOSURE=");
    if (value != NULL)
      process.closure_file = value;
    value = after(*environment, "ELFNOTE_DEBUG=");
    if (value != NULL)
      process.debug = value[0] == '1' && value[1] == '\0';
  }
  read_auxiliary_vector((const void *)(environment + 1));
  if (process.aside == NULL && *library_path != '\0' && !take_library_path(library_path))
    process.aside = "LD_LIBRARY_PATH has more to it than plain directories";
}
