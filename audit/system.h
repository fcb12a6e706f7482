/* What the module asks of the kernel: calls that the loader makes itself, so that a filter which lets it run does no harm. */
#ifndef ELFNOTE_SYSTEM_H
#define ELFNOTE_SYSTEM_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/*
 * One header an architecture: system_call(), which returns a negative error number, and the names of the directory
 * that glibc up to 2.36 searches below each directory there (_dl_important_hwcaps), beside "tls" and AT_PLATFORM.
 */
#if defined __x86_64__ && defined __LP64__
#include "arch/x86_64.h"
#elif defined __i386__
#include "arch/i386.h"
#elif defined __aarch64__ && defined __LP64__
#include "arch/aarch64.h"
#elif defined __arm__
#include "arch/arm.h"
#elif defined __riscv && __riscv_xlen == 64
#include "arch/riscv64.h"
#elif defined __powerpc64__
#include "arch/powerpc64.h"
#elif defined __s390x__
#include "arch/s390x.h"
#else
#error "no system call glue for this architecture"
#endif

/* A file descriptor, or the negative error number. */
static inline long open_file(const char *path, int flags) {
  return system_call(__NR_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC, 0);
}

static inline void close_file(long file) {
  system_call(__NR_close, file, 0, 0, 0);
}

/* Bytes read, or the negative error number. Where a register holds no offset, the file is positioned first. */
static inline long read_file(long file, void *to, size_t size, size_t offset) {
#if __SIZEOF_POINTER__ == 8
  return system_call(__NR_pread64, file, (long)to, (long)size, (long)offset);
#else
  if (offset != 0 && system_call(__NR_lseek, file, (long)offset, SEEK_SET, 0) < 0)
    return -EINVAL;
  return system_call(__NR_read, file, (long)to, (long)size, 0);
#endif
}

static inline long read_link(const char *path, char *to, size_t size) {
#ifdef __NR_readlink
  return system_call(__NR_readlink, (long)path, (long)to, (long)size, 0);
#else
  return system_call(__NR_readlinkat, AT_FDCWD, (long)path, (long)to, (long)size);
#endif
}

/* No page is smaller. */
enum { PAGE = 4096 };

/*
 * Whether memory may be read without a fault. The kernel copies a path before it looks at the directory that the path
 * is relative to, so the call opens nothing, and fails with EFAULT where there is nothing to read, also behind the end
 * of a truncated file.
 */
static inline bool readable(const void *start, size_t size) {
  enum { NO_DIRECTORY = -1 };
  uintptr_t page = (uintptr_t)start & -(uintptr_t)PAGE;
  uintptr_t last = (uintptr_t)start + size - 1;
  if (size == 0 || last < (uintptr_t)start)
    return false;
  for (;; page += PAGE) {
    if (system_call(__NR_openat, NO_DIRECTORY, (long)page, O_RDONLY | O_CLOEXEC, 0) == -EFAULT)
      return false;
    if (last - page < PAGE)
      return true;
  }
}

static inline void write_error(const struct iovec *parts, size_t count) {
  system_call(__NR_writev, STDERR_FILENO, (long)parts, (long)count, 0);
}

#endif
