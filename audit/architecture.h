/* Says for which architecture a compiler builds, by the name that the module gets: $(CC) -std=c11 -E -P. */
#ifndef __linux__
#error "the audit module is for Linux"
#elif defined __x86_64__ && defined __LP64__
x86_64
#elif defined __i386__
i386
#elif defined __aarch64__ && defined __LP64__
aarch64
#elif defined __arm__
arm
#elif defined __riscv && __riscv_xlen == 64
riscv64
#elif defined __powerpc64__ && defined __LITTLE_ENDIAN__
powerpc64le
#elif defined __powerpc64__
powerpc64
#elif defined __s390x__
s390x
#else
#error "the audit module is not written for this architecture"
#endif
