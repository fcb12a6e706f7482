#define _GNU_SOURCE
#include "object.h"

#include "closure.h"
#include "note.h"
#include "process.h"
#include "system.h"

#include <elf.h>

/* Nothing that belongs to an object is further away from its dynamic section. */
enum { FAR = 1 << 30 };

/* The loader has read the dynamic section to its end. */
static const ElfW(Dyn) *find_dynamic(const struct link_map *map, ElfW(Sxword) tag) {
  for (const ElfW(Dyn) *entry = map->l_ld; entry != NULL && entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == tag)
      return entry;
  return NULL;
}

/*
 * Where an address of the dynamic section leads. The loader adds the load address to it, in place, but not in a
 * dynamic section that may not be written to, as RISC-V has it.
 */
static const char *address_of(const struct link_map *map, const ElfW(Dyn) *entry) {
  if (entry == NULL)
    return NULL;
  ElfW(Addr) address = entry->d_un.d_ptr;
  if (address < map->l_addr)
    address += map->l_addr;
  ElfW(Addr) dynamic = (ElfW(Addr))map->l_ld;
  ElfW(Addr) distance = address < dynamic ? dynamic - address : address - dynamic;
  return distance < FAR ? (const char *)address : NULL;
}

/* An object's program headers. */
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
 * Whether the page at the load address is the object's. Of an object linked to another address than 0 it is not, and
 * then it may be no memory at all. A table there, which the loader needs to load the object, says that it is; patchelf
 * moves tables away.
 */
static bool has_first_page(const struct link_map *map) {
  static const ElfW(Sxword) tables[] = {DT_GNU_HASH, DT_HASH, DT_SYMTAB, DT_STRTAB, DT_VERSYM, DT_RELA, DT_REL};
  if (map->l_addr == 0 || map->l_addr % PAGE != 0)
    return false;
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    ElfW(Addr) address = (ElfW(Addr))address_of(map, find_dynamic(map, tables[i]));
    if (address - map->l_addr < PAGE)
      return true;
  }
  return false;
}

/*
 * The program headers of an object: the kernel gave the program's; a library's first segment starts with the ELF
 * header where it was linked to address 0, as all but prelinked ones are. A table that was moved (patchelf, elfnote
 * --move-table) is at an address that differs from its offset by as much as the first segment's.
 */
static struct object read_object(const struct link_map *map) {
  struct object object = {map, process.program_headers.start, process.program_headers.count};
  if (has_headers(object))
    return object;
  object.count = 0;
  const ElfW(Ehdr) *header = (const void *)map->l_addr;
  if (map->l_addr == 0 || !(has_first_page(map) || readable(header, PAGE)) || !is_header(header))
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

/*
 * The file's bytes of a PT_NOTE as they stand in memory; empty when they do not lie inside one readable segment. Bytes
 * behind the end of a file that was cut off must not be touched. The loader has read the dynamic section, so what is
 * in front of it in the file is there.
 */
static struct bytes notes_at(struct object object, const ElfW(Phdr) *note) {
  if (note->p_align != NOTE_ALIGNMENT || note->p_vaddr % NOTE_ALIGNMENT != 0 || note->p_filesz == 0)
    return (struct bytes){0};
  for (size_t i = 0; i < object.count; i++) {
    const ElfW(Phdr) *load = &object.headers[i];
    if (load->p_type != PT_LOAD || !(load->p_flags & PF_R) || note->p_vaddr < load->p_vaddr ||
        note->p_filesz > load->p_filesz || note->p_vaddr - load->p_vaddr > load->p_filesz - note->p_filesz)
      continue;
    uint64_t end = (uint64_t)load->p_offset + (note->p_vaddr - load->p_vaddr) + note->p_filesz;
    const char *start = (const char *)(object.map->l_addr + note->p_vaddr);
    if (end > find_header(object, PT_DYNAMIC)->p_offset && !readable(start, note->p_filesz))
      return (struct bytes){0};
    return (struct bytes){start, note->p_filesz};
  }
  return (struct bytes){0};
}

struct notes read_notes(const struct link_map *map) {
  struct notes found = {0};
  struct object object = read_object(map);
  for (size_t i = 0; i < object.count; i++) {
    if (object.headers[i].p_type != PT_NOTE)
      continue;
    struct bytes notes = notes_at(object, &object.headers[i]);
    if (found.cache.size == 0)
      found.cache = find_descriptor(notes);
    if (found.closure.size == 0)
      found.closure = find_closure_descriptor(notes);
  }
  return found;
}

struct run_path read_run_path(const struct link_map *map) {
  const char *strings = address_of(map, find_dynamic(map, DT_STRTAB));
  const ElfW(Dyn) *runpath = find_dynamic(map, DT_RUNPATH);
  const ElfW(Dyn) *entry = runpath != NULL ? runpath : find_dynamic(map, DT_RPATH);
  if (entry == NULL || strings == NULL)
    return (struct run_path){0};
  return (struct run_path){runpath == NULL, strings + entry->d_un.d_val};
}

bool read_check(const struct link_map *map, uint32_t *check) {
  enum { HAS_RUNPATH = 1, HAS_RPATH = 2 };
  const char *strings = address_of(map, find_dynamic(map, DT_STRTAB));
  const ElfW(Dyn) *size = find_dynamic(map, DT_STRSZ);
  if (strings == NULL || size == NULL)
    return false;
  struct run_path run_path = read_run_path(map);
  size_t limit = size->d_un.d_val;
  *check = 0;
  for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_NEEDED && entry->d_un.d_val < limit)
      *check = add_string(*check, strings + entry->d_un.d_val, limit - entry->d_un.d_val);
  if (run_path.text != NULL && (size_t)(run_path.text - strings) < limit) {
    *check = add_number(*check, run_path.is_rpath ? HAS_RPATH : HAS_RUNPATH);
    *check = add_string(*check, run_path.text, limit - (size_t)(run_path.text - strings));
  }
  return true;
}

/* The directory of an absolute path, as the loader has it: as it is written. */
static struct bytes directory_of(const char *path) {
  size_t size = 0;
  for (size_t i = 0; path[i] != '\0'; i++)
    if (path[i] == '/')
      size = i;
  if (path[0] != '/')
    return (struct bytes){0};
  return (struct bytes){path, size == 0 ? 1 : size};
}

struct bytes origin_of(const struct link_map *map) {
  static char program[PATH_SIZE];
  if (*map->l_name != '\0')
    return directory_of(map->l_name);
  if (program[0] == '\0') {
    long size = read_link("/proc/self/exe", program, sizeof program - 1);
    program[size > 0 ? size : 0] = '\0';
  }
  return directory_of(program);
}
