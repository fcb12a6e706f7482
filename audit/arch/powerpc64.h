/* sc: number in r0, result in r3, which is a positive error number where the kernel sets the summary overflow bit. */
#define CAPABILITY_SUBDIRECTORIES "altivec", "dfp"

static inline long system_call(long number, long a, long b, long c, long d) {
  register long r0 __asm__("r0") = number;
  register long r3 __asm__("r3") = a;
  register long r4 __asm__("r4") = b;
  register long r5 __asm__("r5") = c;
  register long r6 __asm__("r6") = d;
  __asm__ volatile("sc\n\tbns+ 1f\n\tneg 3, 3\n1:"
                   : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6)
                   :
                   : "memory", "cr0", "ctr", "xer", "r7", "r8", "r9", "r10", "r11", "r12");
  return r3;
}
