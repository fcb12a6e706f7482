/* svc 0: number in r7 (of no other use because of -fomit-frame-pointer), result in r0. */
#define CAPABILITY_SUBDIRECTORIES "vfp", "neon"

static inline long system_call(long number, long a, long b, long c, long d) {
  register long r7 __asm__("r7") = number;
  register long r0 __asm__("r0") = a;
  register long r1 __asm__("r1") = b;
  register long r2 __asm__("r2") = c;
  register long r3 __asm__("r3") = d;
  __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3) : "memory");
  return r0;
}
