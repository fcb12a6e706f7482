/* svc 0: number in r1, result in r2. */
#define CAPABILITY_SUBDIRECTORIES "zarch", "ldisp", "eimm", "dfp", "highgprs", "te", "vx", "vxe", "vxe2"

static inline long system_call(long number, long a, long b, long c, long d) {
  register long r1 __asm__("r1") = number;
  register long r2 __asm__("r2") = a;
  register long r3 __asm__("r3") = b;
  register long r4 __asm__("r4") = c;
  register long r5 __asm__("r5") = d;
  __asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5) : "memory");
  return r2;
}
