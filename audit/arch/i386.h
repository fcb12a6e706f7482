/* int $0x80: number and result in eax. */
#define CAPABILITY_SUBDIRECTORIES "sse2", "i586", "i686"

static inline long system_call(long number, long a, long b, long c, long d) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d) : "memory");
  return result;
}
