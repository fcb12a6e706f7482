#include "closure.h"

#include "note.h"

static const char OWNER[] = "elfnote";
enum { TYPE = 2, VERSION = 1, IS_WIDE = 1 };

struct header {
  uint32_t version;
  uint32_t flags;
  uint32_t directory_count;
  uint32_t object_count;
  uint32_t edge_count;
  uint32_t string_size;
};

struct bytes find_closure_descriptor(struct bytes notes) {
  return find_note(notes, OWNER, sizeof OWNER, TYPE);
}

bool open_closure(struct bytes descriptor, struct closure *closure) {
  const struct header *header = (const void *)descriptor.start;
  if (descriptor.size < sizeof *header || (uintptr_t)header % _Alignof(struct header) != 0 ||
      header->version != VERSION || (header->flags & ~(uint32_t)IS_WIDE) != 0 || header->object_count == 0 ||
      header->string_size == 0)
    return false;
  size_t width = header->flags & IS_WIDE ? 4 : 2;
  uint64_t directories = header->directory_count, objects = header->object_count, edges = header->edge_count;
  uint64_t size = sizeof *header + 8 * objects + width * (directories + 3 * objects + 1 + edges) +
                  header->string_size;
  if (size != descriptor.size || descriptor.start[descriptor.size - 1] != '\0')
    return false;
  const char *at = descriptor.start + sizeof *header;
  *closure = (struct closure){
      .index_size = width,
      .directory_count = header->directory_count,
      .object_count = header->object_count,
      .edge_count = header->edge_count,
      .string_size = header->string_size,
      .checks = (const void *)at,
      .sizes = (const void *)(at + 4 * objects),
  };
  closure->directories = at + 8 * objects;
  closure->names = closure->directories + width * directories;
  closure->homes = closure->names + width * objects;
  closure->firsts = closure->homes + width * objects;
  closure->edges = closure->firsts + width * (objects + 1);
  closure->strings = closure->edges + width * edges;
  return true;
}

/* An element of one of the tables of indexes. */
static uint32_t index_at(const struct closure *closure, const char *table, uint32_t number) {
  if (closure->index_size == 4)
    return ((const uint32_t *)(const void *)table)[number];
  return ((const uint16_t *)(const void *)table)[number];
}

/* The last string ends at the descriptor's last byte, and so none is read beyond it. */
static const char *string_at(const struct closure *closure, uint32_t offset) {
  return closure->strings + (offset < closure->string_size ? offset : closure->string_size - 1);
}

static const char *name_of(const struct closure *closure, uint32_t object) {
  return string_at(closure, index_at(closure, closure->names, object));
}

/* A directory in up to two parts: what its first character stands for, and the rest. */
struct parts {
  struct bytes start;
  struct bytes rest;
};

static bool directory_at(const struct closure *closure, uint32_t number, struct bytes origin, struct parts *parts) {
  if (number >= closure->directory_count)
    return false;
  const char *text = string_at(closure, index_at(closure, closure->directories, number));
  const char *rest = after(text, "$ORIGIN");
  if (rest != NULL)
    *parts = (struct parts){origin, bytes_of(rest)};
  else if (*text == '+')
    *parts = (struct parts){bytes_of(string_at(closure, index_at(closure, closure->directories, 0))),
                            bytes_of(text + 1)};
  else
    *parts = (struct parts){bytes_of(text), {0}};
  return parts->start.size > 0 && parts->start.start[0] == '/';
}

/* What follows a directory and its slash in a path, or null. */
static const char *below(const char *path, struct parts parts) {
  const struct bytes both[] = {parts.start, parts.rest};
  char last = '\0';
  for (size_t part = 0; part < sizeof both / sizeof *both; part++)
    for (size_t i = 0; i < both[part].size; i++) {
      last = *path;
      if (*path++ != both[part].start[i])
        return NULL;
    }
  if (last == '/')
    return path;
  return *path == '/' ? path + 1 : NULL;
}

static int compare(const char *a, const char *b) {
  while (*a != '\0' && *a == *b) {
    a++;
    b++;
  }
  return (unsigned char)*a - (unsigned char)*b;
}

/* The first object, behind the carrier, whose name is not less than NAME. */
static uint32_t first_named(const struct closure *closure, const char *name) {
  uint32_t low = 1, high = closure->object_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (compare(name_of(closure, middle), name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

uint32_t find_object(const struct closure *closure, const char *path, struct bytes origin) {
  const char *name = path;
  for (const char *c = path; *c != '\0'; c++)
    if (*c == '/')
      name = c + 1;
  if (*name == '\0')
    return NO_OBJECT;
  for (uint32_t i = first_named(closure, name); i < closure->object_count; i++) {
    struct parts home;
    if (compare(name_of(closure, i), name) != 0)
      break;
    if (directory_at(closure, index_at(closure, closure->homes, i), origin, &home) && below(path, home) == name)
      return i;
  }
  return NO_OBJECT;
}

/* The upper bits of an edge: what kind it is, and whether the path-list goes on. */
struct bits {
  uint32_t is_hint;
  uint32_t has_more;
  uint32_t is_before_library_path;
};

static struct bits bits_of(const struct closure *closure) {
  unsigned width = 8 * (unsigned)closure->index_size;
  return (struct bits){1u << (width - 1), 1u << (width - 2), 1u << (width - 3)};
}

static uint32_t target_of(struct bits bits, uint32_t edge) {
  return edge & (bits.is_before_library_path - 1);
}

struct edges find_edges(const struct closure *closure, uint32_t requester, const char *soname) {
  if (requester >= closure->object_count)
    return (struct edges){0};
  struct bits bits = bits_of(closure);
  uint32_t end = index_at(closure, closure->firsts, requester + 1);
  if (end > closure->edge_count)
    end = closure->edge_count;
  for (uint32_t start = index_at(closure, closure->firsts, requester); start < end;) {
    uint32_t last = start;
    while (index_at(closure, closure->edges, last) & bits.has_more && last + 1 < end)
      last++;
    uint32_t edge = index_at(closure, closure->edges, last);
    uint32_t target = target_of(bits, edge);
    if (!(edge & bits.is_hint) && target < closure->object_count && compare(name_of(closure, target), soname) == 0)
      return (struct edges){start, last + 1};
    start = last + 1;
  }
  return (struct edges){0};
}

bool read_edge(const struct closure *closure, uint32_t number, const char *soname, struct bytes origin,
               struct edge *edge) {
  struct bits bits = bits_of(closure);
  struct parts directory;
  size_t end = 0;
  uint32_t word = index_at(closure, closure->edges, number);
  uint32_t target = target_of(bits, word);
  edge->is_hint = (word & bits.is_hint) != 0;
  edge->is_before_library_path = (word & bits.is_before_library_path) != 0;
  edge->size = 0;
  if (!edge->is_hint) {
    if (target >= closure->object_count || compare(name_of(closure, target), soname) != 0)
      return false;
    edge->size = closure->sizes[target];
    target = index_at(closure, closure->homes, target);
  }
  if (!directory_at(closure, target, origin, &directory) || !append(edge->path, &end, directory.start) ||
      !append(edge->path, &end, directory.rest))
    return false;
  if (edge->is_hint)
    return true;
  bool has_slash = edge->path[end - 1] == '/';
  return (has_slash || append(edge->path, &end, bytes_of("/"))) && append(edge->path, &end, bytes_of(soname));
}

/* Four bytes, the first one the lowest, on every machine. */
static uint32_t word_at(const char *at) {
  uint32_t word;
  __builtin_memcpy(&word, at, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap32(word);
#endif
  return word;
}

uint32_t add_number(uint32_t check, uint32_t number) {
  check = (check ^ number) * 0x9e3779b1u;
  return check ^ check >> 15;
}

uint32_t add_string(uint32_t check, const char *string, size_t limit) {
  size_t size = 0;
  for (; limit - size >= 4; size += 4) {
    uint32_t word = word_at(string + size);
    if ((word - 0x01010101u) & ~word & 0x80808080u)
      break;
    check = add_number(check, word);
  }
  uint32_t tail = 0;
  unsigned count = 0;
  for (; count < 4 && size + count < limit && string[size + count] != '\0'; count++)
    tail |= (uint32_t)(unsigned char)string[size + count] << 8 * count;
  return add_number(add_number(check, tail), (uint32_t)size + count);
}
