/**
 * The program of the matrix, as C source. It touches what a careless edit breaks without a word: relocated
 * pointers, thread-local storage, zeroed data, constructors, notes, and unwinding over
 * `.eh_frame_hdr` or `.ARM.exidx`.
 * With `LIBRARY` it is a library with an entry `use`; with `PAYLOAD` it also opens what is appended to its file.
 * `NO_UNWIND` is for C libraries that gcc's own unwinder was not built for.
 */
export const MAIN_C = `#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
int a(void);
int b(void);
static const char *const words[] = {"zero", "one", "two"};
static __thread int local = 5;
static int zeroes[5000];
static int up;
__attribute__((constructor)) static void begin(void) { up = 1; }
#ifdef NO_UNWIND
static int frames(int depth) { return depth + 1; }
#else
#include <unwind.h>
static _Unwind_Reason_Code count(struct _Unwind_Context *c, void *n) { (void)c; ++*(int *)n; return _URC_NO_REASON; }
__attribute__((noinline)) static int frames(int depth) {
  int n = 0;
  if (depth > 0) { n = frames(depth - 1); __asm__ volatile("" : "+r"(n)); return n; }
  _Unwind_Backtrace(count, &n);
  return n;
}
#endif
/* The 4-aligned notes of all objects whose owner is GNU: the build-id and the like. */
static int notes(struct dl_phdr_info *info, size_t size, void *found) {
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    const char *at = (const char *)(info->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;
    while (p->p_type == PT_NOTE && p->p_align == 4 && at + sizeof(ElfW(Nhdr)) < end) {
      const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
      const char *name = at + sizeof *note;
      if (note->n_namesz == 4 && name[0] == 'G' && name[1] == 'N' && name[2] == 'U') ++*(int *)found;
      at = name + ((note->n_namesz + 3) & ~3u) + ((note->n_descsz + 3) & ~3u);
    }
  }
  return 0;
}
#ifdef PAYLOAD
int payload(void);
#endif
#ifdef LIBRARY
int use(void) {
#else
int main(void) {
#endif
  int found = 0;
  dl_iterate_phdr(notes, &found);
  printf("a=%d b=%d %s local=%d zero=%d up=%d unwound=%d notes=%d\\n",
         a(), b(), words[up], local, zeroes[4999], up, frames(5) > 5, found);
#ifdef PAYLOAD
  return payload();
#else
  return 0;
#endif
}
`;

export const SAYS = 'a=33 b=22 one local=5 zero=0 up=1 unwound=1\n';

/** Libraries: `a` needs `b`. */
export const A_C = 'int b(void); int a(void) { return 11 + b(); }\n';
export const B_C = 'int b(void) { return 22; }\n';

/** Loads the library named by its argument and calls its entry. */
export const DRIVER_C = `#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv) {
  void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW) : 0;
  int (*use)(void) = handle ? (int (*)(void))dlsym(handle, "use") : 0;
  if (!use) { puts(dlerror()); return 3; }
  return use();
}
`;

/** A program with gigabytes of zeroes, the last of which it touches. */
export const BSS_C = `static char big[1UL << 31];
__attribute__((constructor)) static void touch(void) {
  volatile char *p = big;
  p[(1UL << 31) - 1] = 1;
  p[0] = p[(1UL << 31) - 1];
}
`;

export const PAYLOAD_TEXT = 'the payload is whole';

/** How `payload()` finds what belongs to the program: 1 zip, 2 AppImage, 3 PyInstaller, 4 a note as Node's SEA. */
export const PAYLOAD_C = `#define _GNU_SOURCE
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static unsigned char *bytes;
static long size;
static unsigned long le(long at, int n) { unsigned long v = 0; for (int i = n; i-- > 0;) v = v << 8 | bytes[at + i]; return v; }
static int say(long at, long length) {
  if (at < 0 || at + length > size || strncmp((char *)bytes + at, "th", 2) && strncmp((char *)bytes + at, "Th", 2)) { puts("no payload"); return 0; }
  printf("%.*s\\n", (int)length, (char *)bytes + at);
  return 0;
}
#if PAYLOAD == 4
static int find(struct dl_phdr_info *info, size_t n, void *found) {
  (void)n;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *p = &info->dlpi_phdr[i];
    const char *at = (const char *)(info->dlpi_addr + p->p_vaddr), *end = at + p->p_memsz;
    while (p->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) < end) {
      const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
      const char *name = at + sizeof *note, *desc = name + ((note->n_namesz + 3) & ~3u);
      if (note->n_namesz == 9 && !strcmp(name, "NODE_SEA")) {
        unsigned long sum = 0;
        for (unsigned long j = 0; j < note->n_descsz; j++) sum += (unsigned char)desc[j];
        *(unsigned long *)found = sum;
      }
      at = desc + ((note->n_descsz + 3) & ~3u);
    }
  }
  return 0;
}
#endif
int payload(void) {
#if PAYLOAD == 4
  unsigned long sum = 0;
  dl_iterate_phdr(find, &sum);
  printf("sum %lu\\n", sum);
  return 0;
#else
  FILE *f = fopen("/proc/self/exe", "rb");
  fseek(f, 0, SEEK_END);
  size = ftell(f);
  rewind(f);
  bytes = malloc(size);
  if (fread(bytes, 1, size, f) != (size_t)size) return 4;
  fclose(f);
#if PAYLOAD == 1
  for (long end = size - 22; end >= 0; end--) {
    if (memcmp(bytes + end, "PK\\5\\6", 4) || end + 22 + (long)le(end + 20, 2) != size) continue;
    long directory = end - (long)le(end + 12, 4), start = directory - (long)le(end + 16, 4);
    long local = start + (long)le(directory + 42, 4);
    return say(local + 30 + (long)le(local + 26, 2) + (long)le(local + 28, 2), (long)le(local + 22, 4));
  }
  return say(-1, 0);
#elif PAYLOAD == 2
  const Elf64_Ehdr *e = (const Elf64_Ehdr *)bytes;
  return say((long)(e->e_shoff + e->e_shnum * e->e_shentsize), ${PAYLOAD_TEXT.length});
#else
  static const char cookie[] = "MEI\\014\\013\\012\\013\\016";
  for (long at = size - 24; at >= 0 && at >= size - 4096; at--) {
    if (memcmp(bytes + at, cookie, 8)) continue;
    long length = bytes[at + 8] << 24 | bytes[at + 9] << 16 | bytes[at + 10] << 8 | bytes[at + 11];
    return say(at + 24 - length, ${PAYLOAD_TEXT.length});
  }
  return say(-1, 0);
#endif
#endif
}
`;

export const GO = `package main

// int a(void);
// int b(void);
import "C"
import "fmt"

func main() { fmt.Printf("a=%d b=%d\\n", C.a(), C.b()) }
`;

export const RUST = `#[link(name = "a")]
extern "C" { fn a() -> i32; }
#[link(name = "b")]
extern "C" { fn b() -> i32; }
fn main() { unsafe { println!("a={} b={}", a(), b()); } }
`;
