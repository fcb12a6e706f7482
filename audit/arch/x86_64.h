/* syscall: number and result in rax; rcx and r11 are lost. */
#define CAPABILITY_SUBDIRECTORIES "haswell", "xeon_phi", "avx512_1", "x86_64"

static inline long system_call(long number, long a, long b, long c, long d) {
  register long r10 __asm__("r10") = d;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
}
