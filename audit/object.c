#define _GNU_SOURCE
#include "object.h"

#include "note.h"
#include "process.h"
#include "system.h"

#include <elf.h>

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

struct bytes read_note(const struct link_map *map) {
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
