/* What the reader asks of the kernel; the module has no libc to ask. */
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

/* The same on every architecture, since Linux 5.8. */
enum { NR_FACCESSAT2 = 439, EFFECTIVE_USER = 0x200 };

/*
 * Zero, or the negative error number: access(2) of a path, as the effective user, who is the one that open(2) asks
 * about. An older kernel knows the real user alone.
 */
static inline long check_access(const char *path, int mode) {
  static bool is_old;
  long result = is_old ? -ENOSYS : system_call(NR_FACCESSAT2, AT_FDCWD, (long)path, mode, EFFECTIVE_USER);
  if (result != -ENOSYS)
    return result;
  is_old = true;
  return system_call(__NR_faccessat, AT_FDCWD, (long)path, mode, 0);
}

static inline void write_error(const struct iovec *parts, size_t count) {
  system_call(__NR_writev, STDERR_FILENO, (long)parts, (long)count, 0);
}

/* No page is smaller. */
enum { PAGE = 4096 };

/*
 * Whether memory may be read without a fault. The kernel copies the signal set before it looks at the impossible
 * "how", so the call changes nothing and fails with EFAULT where there is nothing to read, also behind the end of
 * a truncated file.
 */
static inline bool readable(const void *start, size_t size) {
  enum { IMPOSSIBLE_HOW = -1, SIGNAL_SET_SIZE = 8 };
  uintptr_t page = (uintptr_t)start & -(uintptr_t)PAGE;
  uintptr_t last = (uintptr_t)start + size - 1;
  if (size == 0 || last < (uintptr_t)start)
    return false;
  for (;; page += PAGE) {
    if (system_call(__NR_rt_sigprocmask, IMPOSSIBLE_HOW, (long)page, 0, SIGNAL_SET_SIZE) == -EFAULT)
      return false;
    if (last - page < PAGE)
      return true;
  }
}

#endif
