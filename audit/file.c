#define _GNU_SOURCE
#include "file.h"

#include "process.h"
#include "system.h"

#include <elf.h>
#include <link.h>
#include <sys/stat.h>

struct found {
  bool is_regular;
  /* Every user may read it, so that there is no need to try. */
  bool is_open_to_all;
  uint64_t size;
};

#if __SIZEOF_POINTER__ == 8

/* glibc's struct stat is the kernel's there. Zero, or the negative error number. */
static long find(const char *path, struct found *found) {
  enum { ALL_MAY_READ = S_IRUSR | S_IRGRP | S_IROTH };
  struct stat status;
  long error = system_call(__NR_newfstatat, AT_FDCWD, (long)path, (long)&status, 0);
  if (error == 0)
    *found = (struct found){S_ISREG(status.st_mode), (status.st_mode & ALL_MAY_READ) == ALL_MAY_READ,
                            (uint64_t)status.st_size};
  return error;
}

#else

/* The loader's call is another one in each of its versions there, but for openat. */
static long find(const char *path, struct found *found) {
  long file = open_file(path, O_PATH);
  if (file < 0)
    return file;
  close_file(file);
  *found = (struct found){true, false, 0};
  return 0;
}

#endif

bool may_exist(struct bytes dir, const char *name) {
  char path[PATH_SIZE];
  struct found found;
  if (!join(path, dir, name))
    return true;
  long error = find(path, &found);
  return error != -ENOENT && error != -ENOTDIR;
}

static bool try_to_open(const char *path) {
  long file = open_file(path, O_RDONLY);
  if (file >= 0)
    close_file(file);
  return file >= 0;
}

bool can_open(const char *path) {
  struct found found;
  return find(path, &found) == 0 && found.is_regular && (found.is_open_to_all || try_to_open(path));
}

/* The linker's name for the start of this module, whose own header says what it was built for. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

bool is_library(const char *path) {
  enum { SAME_IDENT = EI_VERSION + 1 };
  ElfW(Ehdr) header;
  long file = open_file(path, O_RDONLY);
  if (file < 0)
    return false;
  long size = read_file(file, &header, sizeof header, 0);
  close_file(file);
  return size == (long)sizeof header && header.e_type == ET_DYN && header.e_machine == __ehdr_start.e_machine &&
         same((struct bytes){(const char *)header.e_ident, SAME_IDENT},
              (struct bytes){(const char *)__ehdr_start.e_ident, SAME_IDENT});
}

bool is_library_of_size(const char *path, uint32_t size) {
  struct found found;
  if (find(path, &found) != 0)
    return false;
  bool is_same = size != 0 && (uint32_t)found.size == size && found.is_regular && found.is_open_to_all;
  return is_same || is_library(path);
}

static const char *const CAPABILITIES[] = {"glibc-hwcaps", "tls", CAPABILITY_SUBDIRECTORIES};
enum { CAPABILITY_COUNT = sizeof CAPABILITIES / sizeof *CAPABILITIES };

bool may_have_capability_subdirectories(struct bytes dir) {
  for (size_t i = 0; i < CAPABILITY_COUNT; i++)
    if (may_exist(dir, CAPABILITIES[i]))
      return true;
  return process.platform != NULL && may_exist(dir, process.platform);
}

bool is_capability_subdirectory(struct bytes name) {
  for (size_t i = 0; i < CAPABILITY_COUNT; i++)
    if (same(name, bytes_of(CAPABILITIES[i])))
      return true;
  return process.platform != NULL && same(name, bytes_of(process.platform));
}
