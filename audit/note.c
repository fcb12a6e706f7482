#include "note.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>

enum { CACHE_NOTE_TYPE = 0x63a86cb6 };
static const char CACHE_NOTE_OWNER[] = "NixOS";

/* SIZE rounded up to a note's alignment, but never beyond LIMIT: the last note's padding may be missing. */
static size_t padded(size_t size, size_t limit) {
  size_t missing = -size % NOTE_ALIGNMENT;
  return missing > limit - size ? limit : size + missing;
}

static struct bytes skip(struct bytes from, size_t count) {
  return (struct bytes){from.start + count, from.size - count};
}

static bool equal(const char *a, const char *b, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (a[i] != b[i])
      return false;
  return true;
}

/* Cuts a string and its NUL off; the caller knows that there is a NUL. */
static struct bytes next_string(struct bytes *from) {
  struct bytes string = {from->start, 0};
  while (from->start[string.size] != '\0')
    string.size++;
  *from = skip(*from, string.size + 1);
  return string;
}

static bool well_formed(struct bytes descriptor) {
  if (descriptor.size < 2 || descriptor.start[descriptor.size - 1] != '\0' ||
      descriptor.start[descriptor.size - 2] != '\0')
    return false;
  /* Every string but the last, empty one comes in pairs, so the NUL bytes checked above end all of them. */
  while (descriptor.size > 1)
    if (next_string(&descriptor).size == 0 || next_string(&descriptor).size == 0)
      return false;
  return descriptor.size == 1;
}

struct bytes find_note(struct bytes notes, const char *owner, size_t owner_size, uint32_t type) {
  while (notes.size >= sizeof(ElfW(Nhdr))) {
    const ElfW(Nhdr) *header = (const void *)notes.start;
    notes = skip(notes, sizeof *header);
    if (header->n_namesz > notes.size)
      break;
    const char *name = notes.start;
    notes = skip(notes, padded(header->n_namesz, notes.size));
    if (header->n_descsz > notes.size)
      break;
    if (header->n_type == type && header->n_namesz == owner_size && equal(name, owner, owner_size))
      return (struct bytes){notes.start, header->n_descsz};
    notes = skip(notes, padded(header->n_descsz, notes.size));
  }
  return (struct bytes){0};
}

struct bytes find_descriptor(struct bytes notes) {
  struct bytes descriptor = find_note(notes, CACHE_NOTE_OWNER, sizeof CACHE_NOTE_OWNER, CACHE_NOTE_TYPE);
  return well_formed(descriptor) ? descriptor : (struct bytes){0};
}

struct bytes find_path_list(struct bytes descriptor, const char *soname) {
  while (descriptor.size > 1) {
    struct bytes name = next_string(&descriptor);
    struct bytes list = next_string(&descriptor);
    /* The NUL of the name is compared too, so SONAME is never read beyond its own. */
    if (equal(name.start, soname, name.size + 1))
      return list;
  }
  return (struct bytes){0};
}

struct bytes next_element(struct bytes *list, const char separators[2]) {
  struct bytes element = {list->start, 0};
  while (element.size < list->size) {
    char c = list->start[element.size];
    if (c == separators[0] || c == separators[1]) {
      *list = skip(*list, element.size + 1);
      return element;
    }
    element.size++;
  }
  *list = (struct bytes){0};
  return element;
}
