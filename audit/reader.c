/*
 * A reader of cache notes for an unpatched glibc: an auditing module (rtld-audit(7)) that answers the loader's
 * question for a library from the note of the object that asks, as a patched loader would (docs/loader.md).
 *
 * The loader asks at LA_SER_ORIG, after it has looked among the loaded objects and before LD_LIBRARY_PATH. Only an
 * answer given there is the name that the object ends up with. So whatever comes before a note in a patched loader
 * is looked at here first, and where that is not plain, the name goes back unchanged and the loader searches as
 * ever. The same holds for everything else that is not understood.
 *
 * The module is loaded into every program, so it is freestanding: no libc, no allocation, no thread-local storage.
 * The loader holds its lock around every call, so the state here needs none.
 */
#define _GNU_SOURCE
#include "note.h"
#include "system.h"

#include <elf.h>
#include <link.h>

#define EXPORT __attribute__((visibility("default")))

/* An element of this many bytes or more is skipped by every reader. */
enum { PATH_SIZE = 4096, LIBRARY_PATH_SIZE = 32768 };

/* What the process was started with; written before la_version is called, and never again. */
static struct {
  /* Why the module leaves this process alone, or null. */
  const char *aside;
  bool debug;
  struct {
    const ElfW(Phdr) *start;
    size_t count;
  } program_headers;
  const char *platform;
  /* A copy: programs that set their process title write over the environment. */
  char library_path[LIBRARY_PATH_SIZE];
  size_t library_path_size;
} process;

static size_t length(const char *string) {
  size_t size = 0;
  while (string[size] != '\0')
    size++;
  return size;
}

static struct bytes bytes_of(const char *string) {
  return (struct bytes){string, length(string)};
}

static bool contains(struct bytes text, char c) {
  for (size_t i = 0; i < text.size; i++)
    if (text.start[i] == c)
      return true;
  return false;
}

static bool same(struct bytes a, struct bytes b) {
  if (a.size != b.size)
    return false;
  for (size_t i = 0; i < a.size; i++)
    if (a.start[i] != b.start[i])
      return false;
  return true;
}

/* Appends to a path of PATH_SIZE bytes; false when it does not fit. */
static bool append(char *path, size_t *end, struct bytes text) {
  if (text.size >= PATH_SIZE - *end)
    return false;
  for (size_t i = 0; i < text.size; i++)
    path[(*end)++] = text.start[i];
  path[*end] = '\0';
  return true;
}

/* Directory and name joined; an empty directory is the current one. False when that is too long. */
static bool join(char path[PATH_SIZE], struct bytes dir, const char *name) {
  size_t end = 0;
  path[0] = '\0';
  return append(path, &end, dir) && (dir.size == 0 || append(path, &end, bytes_of("/"))) &&
         append(path, &end, bytes_of(name));
}

/* A path that means the same to the loader, in every directory, as to the kernel. */
static bool is_plain(struct bytes path) {
  return path.size > 0 && path.start[0] == '/' && !contains(path, '$');
}

/* Whether the loader might look at PATH for a library in any directory: nothing else is opened on a note's word. */
static bool is_candidate(struct bytes path, const char *soname) {
  struct bytes name = bytes_of(soname);
  if (path.size <= name.size || path.start[path.size - name.size - 1] != '/')
    return false;
  return same((struct bytes){path.start + path.size - name.size, name.size}, name);
}

/* True also where it cannot be known, or where the loader would not simply go on. */
static bool may_exist(struct bytes dir, const char *name) {
  char path[PATH_SIZE];
  if (!join(path, dir, name))
    return true;
  long result = check_access(path, F_OK);
  return result != -ENOENT && result != -ENOTDIR;
}

/* Whether the loader, which then has an order of its own, might search below DIR too. */
static bool may_have_capability_subdirectories(struct bytes dir) {
  static const char *const names[] = {"glibc-hwcaps", "tls", CAPABILITY_SUBDIRECTORIES};
  if (!may_exist(dir, "."))
    return false;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (may_exist(dir, names[i]))
      return true;
  return process.platform != NULL && may_exist(dir, process.platform);
}

/* The loader's own look at the subdirectories of a directory is kept too: it notes what does not exist. */
static bool subdirectories_of_hint(struct bytes dir) {
  static char last[PATH_SIZE];
  static size_t last_size;
  static bool last_answer;
  if (!same(dir, (struct bytes){last, last_size})) {
    last_answer = may_have_capability_subdirectories(dir);
    last_size = 0;
    append(last, &last_size, dir);
  }
  return last_answer;
}

/*
 * Whether LD_LIBRARY_PATH, which comes before the note, may hold a library. Absolute directories of it have no
 * capability subdirectories, or the module would stand aside; relative ones move with the current directory.
 */
static bool library_path_may_hold(const char *soname) {
  struct bytes rest = {process.library_path, process.library_path_size};
  if (rest.size == 0)
    return false;
  while (rest.start != NULL) {
    struct bytes dir = next_element(&rest, ":;");
    if (may_exist(dir, soname))
      return true;
    if (!is_plain(dir) && may_have_capability_subdirectories(dir))
      return true;
  }
  return false;
}

/* An object as the loader has it in memory. */
struct object {
  const struct link_map *map;
  const ElfW(Phdr) *headers;
  size_t count;
};

static const ElfW(Phdr) *find_header(struct object object, ElfW(Word) type) {
  for (size_t i = 0; i < object.count; i++)
    if (object.headers[i].p_type == type)
      return &object.headers[i];
  return NULL;
}

/* The loader knows the address of the dynamic section; program headers that name it are the object's own. */
static bool has_headers(struct object object) {
  const ElfW(Phdr) *dynamic = find_header(object, PT_DYNAMIC);
  return dynamic != NULL && object.map->l_addr + dynamic->p_vaddr == (ElfW(Addr))object.map->l_ld;
}

static bool is_header(const ElfW(Ehdr) *header) {
  return same((struct bytes){(const char *)header->e_ident, SELFMAG}, (struct bytes){ELFMAG, SELFMAG}) &&
         header->e_phentsize == sizeof(ElfW(Phdr)) && header->e_phoff % _Alignof(ElfW(Phdr)) == 0;
}

/*
 * The program headers of an object: the kernel gave the program's; a library's first segment starts with the ELF
 * header where it was linked to address 0, as all but prelinked ones are. A table that was moved (patchelf, elfnote
 * --move-table) stands at an address that differs from its offset by as much as the first segment's.
 */
static struct object read_object(const struct link_map *map) {
  struct object object = {map, process.program_headers.start, process.program_headers.count};
  if (has_headers(object))
    return object;
  object.count = 0;
  const ElfW(Ehdr) *header = (const void *)map->l_addr;
  if (map->l_addr == 0 || !readable(header, PAGE) || !is_header(header))
    return object;
  size_t size = header->e_phnum * sizeof(ElfW(Phdr));
  object.headers = (const void *)(map->l_addr + (ElfW(Addr))header->e_phoff);
  if ((size > PAGE || header->e_phoff > PAGE - size) && !readable(object.headers, size))
    return object;
  object.count = header->e_phnum;
  if (!has_headers(object))
    object.count = 0;
  return object;
}

/* The loader has read the dynamic section to its end. */
static bool has_dynamic_tag(const struct link_map *map, ElfW(Sxword) tag) {
  for (const ElfW(Dyn) *entry = map->l_ld; entry != NULL && entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == tag)
      return true;
  return false;
}

/* The file's bytes of a PT_NOTE as they stand in memory; empty when they do not lie inside one readable segment. */
static struct bytes notes_of(struct object object, const ElfW(Phdr) *note) {
  if (note->p_align != 4 || note->p_vaddr % 4 != 0)
    return (struct bytes){0};
  for (size_t i = 0; i < object.count; i++) {
    const ElfW(Phdr) *load = &object.headers[i];
    if (load->p_type != PT_LOAD || !(load->p_flags & PF_R) || note->p_vaddr < load->p_vaddr ||
        note->p_filesz > load->p_filesz || note->p_vaddr - load->p_vaddr > load->p_filesz - note->p_filesz)
      continue;
    const char *start = (const char *)(object.map->l_addr + note->p_vaddr);
    return readable(start, note->p_filesz) ? (struct bytes){start, note->p_filesz} : (struct bytes){0};
  }
  return (struct bytes){0};
}

/*
 * The descriptor of an object's note. Only an object with DT_RUNPATH has one that counts: without it the loader
 * looks first through DT_RPATH, also that of the objects which caused this one to be loaded.
 */
static struct bytes read_note(const struct link_map *map) {
  if (!has_dynamic_tag(map, DT_RUNPATH))
    return (struct bytes){0};
  struct object object = read_object(map);
  for (size_t i = 0; i < object.count; i++) {
    if (object.headers[i].p_type != PT_NOTE)
      continue;
    struct bytes descriptor = find_descriptor(notes_of(object, &object.headers[i]));
    if (descriptor.size > 0)
      return descriptor;
  }
  return (struct bytes){0};
}

/* The loader asks for all libraries of an object one after the other. */
static struct {
  const struct link_map *map;
  struct bytes descriptor;
} last_note;

/* The one question: where does REQUESTER say that SONAME is? A path-list (docs/format.md), or nothing. */
static struct bytes find_paths(const struct link_map *requester, const char *soname) {
  if (last_note.map != requester) {
    last_note.descriptor = read_note(requester);
    last_note.map = requester;
  }
  return find_path_list(last_note.descriptor, soname);
}

/*
 * The first path of a list that is there, or null, with the reason, where the loader has to search. It lasts until
 * the next call: the loader copies it.
 */
static const char *choose(struct bytes list, const char *soname, const char **why) {
  static char path[PATH_SIZE];
  while (list.start != NULL) {
    struct bytes element = next_element(&list, "::");
    if (element.size >= PATH_SIZE)
      continue;
    struct bytes place = {element.start + 1, element.size > 0 ? element.size - 1 : 0};
    if (is_plain(place) && *element.start == '=' && is_candidate(place, soname)) {
      size_t end = 0;
      if (append(path, &end, place) && check_access(path, R_OK) == 0)
        return path;
    } else if (!is_plain(place) || *element.start != '?') {
      *why = "the note has an element that only the loader understands";
      return NULL;
    } else if (may_exist(place, soname) || subdirectories_of_hint(place)) {
      *why = "the note has a directory that the loader has to search";
      return NULL;
    }
  }
  *why = "no path of the note is there";
  return NULL;
}

static const char *answer(const struct link_map *requester, const char *soname, const char **why) {
  struct bytes list = find_paths(requester, soname);
  if (list.size == 0) {
    *why = last_note.descriptor.size == 0 ? "there is no note to go by" : "the note does not name it";
    return NULL;
  }
  if (library_path_may_hold(soname)) {
    *why = "LD_LIBRARY_PATH may hold it";
    return NULL;
  }
  return choose(list, soname, why);
}

/* One line on standard error in one write; for ELFNOTE_DEBUG=1. */
static void say(const char *const parts[], size_t count) {
  enum { MOST = 8 };
  struct iovec vectors[MOST];
  for (size_t i = 0; i < count && i < MOST; i++) {
    vectors[i].iov_base = (char *)(uintptr_t)parts[i];
    vectors[i].iov_len = length(parts[i]);
  }
  write_error(vectors, count);
}

static void say_answer(const struct link_map *requester, const char *soname, const char *path,
                       const char *why) {
  const char *who = *requester->l_name == '\0' ? "the program" : requester->l_name;
  const char *what = path != NULL ? path : "left to the loader: ";
  const char *const parts[] = {"elfnote: ", soname, " for ", who, ": ", what, path != NULL ? "" : why, "\n"};
  say(parts, sizeof parts / sizeof *parts);
}

/* What follows START in a text, or null. */
static const char *after(const char *text, const char *start) {
  while (*start != '\0')
    if (*text++ != *start++)
      return NULL;
  return text;
}

/* Copies LD_LIBRARY_PATH; false when the loader searches it in a way that is not followed here. */
static bool take_library_path(const char *value) {
  struct bytes rest = bytes_of(value);
  if (rest.size > LIBRARY_PATH_SIZE || contains(rest, '$'))
    return false;
  for (size_t i = 0; i < rest.size; i++)
    process.library_path[i] = value[i];
  process.library_path_size = rest.size;
  while (rest.start != NULL) {
    struct bytes dir = next_element(&rest, ":;");
    if (is_plain(dir) && may_have_capability_subdirectories(dir))
      return false;
  }
  return true;
}

static void read_auxiliary_vector(const ElfW(auxv_t) * entry) {
  bool loader_has_base = false;
  for (; entry->a_type != AT_NULL; entry++) {
    ElfW(Addr) value = entry->a_un.a_val;
    switch (entry->a_type) {
    case AT_PHDR:
      process.program_headers.start = (const void *)value;
      break;
    case AT_PHNUM:
      process.program_headers.count = value;
      break;
    case AT_PLATFORM:
      process.platform = (const char *)value;
      break;
    case AT_BASE:
      loader_has_base = value != 0;
      break;
    case AT_SECURE:
      /* access(2) asks for the real user, and open(2) for the effective one. */
      if (value != 0)
        process.aside = "the program runs in secure mode";
      break;
    }
  }
  if (!loader_has_base)
    process.aside = "the loader was started by hand, and may have a --library-path";
}

/*
 * The loader passes its own copies of what the kernel put on the stack; the auxiliary vector stands behind the
 * environment there. Of a variable that is set twice the loader takes the last.
 */
__attribute__((constructor)) static void start(int argc, char *argv[], char *environment[]) {
  (void)argc;
  (void)argv;
  const char *library_path = "";
  for (; *environment != NULL; environment++) {
    const char *value = after(*environment, "LD_LIBRARY_PATH=");
    if (value != NULL)
      library_path = value;
    /* A list would show the answer in place of the name. */
    if (after(*environment, "LD_TRACE_LOADED_OBJECTS=") != NULL)
      process.aside = "the loader lists the libraries under the names that are asked for";
    value = after(*environment, "ELFNOTE_DEBUG=");
    if (value != NULL)
      process.debug = value[0] == '1' && value[1] == '\0';
  }
  read_auxiliary_vector((const void *)(environment + 1));
  if (process.aside == NULL && *library_path != '\0' && !take_library_path(library_path))
    process.aside = "LD_LIBRARY_PATH has more to it than plain directories";
}

/* Version 2 differs from 1 only in what glibc passes to hooks that this module does not have. 0: leave it out. */
EXPORT unsigned int la_version(unsigned int version) {
  enum { NEWEST_KNOWN = 2 };
  if (process.aside != NULL) {
    const char *const parts[] = {"elfnote: stands aside: ", process.aside, "\n"};
    if (process.debug)
      say(parts, sizeof parts / sizeof *parts);
    return 0;
  }
  return version < NEWEST_KNOWN ? version : NEWEST_KNOWN;
}

/* No flags: symbols are bound as without an auditor. The cookie stays what glibc made it, the object's address. */
EXPORT unsigned int la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie) {
  (void)namespace;
  (void)cookie;
  /* It may stand where one was that has been closed. */
  if (last_note.map == map)
    last_note.map = NULL;
  return 0;
}

EXPORT char *la_objsearch(const char *name, uintptr_t *cookie, unsigned int flag) {
  if (flag == LA_SER_ORIG && !contains(bytes_of(name), '/')) {
    const struct link_map *requester = (const void *)*cookie;
    const char *why = NULL;
    const char *path = answer(requester, name, &why);
    if (process.debug)
      say_answer(requester, name, path, why);
    if (path != NULL)
      return (char *)(uintptr_t)path;
  }
  return (char *)(uintptr_t)name;
}
