/*
 * Does what its arguments say, then prints the name of every object that is loaded.
 *
 *   open:NAME        dlopen from here
 *   call:FUNCTION:NAME  has a library's function open it
 *   new:NAME         dlmopen in a new namespace, whose objects are printed
 *   threads:A,B,...  each name in a thread of its own, all at once
 *   user:ID          goes on with the rights of another user
 *   close            closes what was opened last
 *   title            writes over the environment, as programs do that set their process title
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;
static void *last;

static void opened(const char *name, void *handle) {
  if (handle == NULL)
    printf("%s: %s\n", name, dlerror());
  else
    last = handle;
}

static void open_elsewhere(char *argument) {
  char *name = strchr(argument, ':');
  *name++ = '\0';
  void *(*function)(const char *) = (void *(*)(const char *))dlsym(RTLD_DEFAULT, argument);
  opened(name, function(name));
}

static void open_new(const char *name) {
  struct link_map *map;
  void *handle = dlmopen(LM_ID_NEWLM, name, RTLD_NOW);
  opened(name, handle);
  if (handle == NULL || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0)
    return;
  for (; map != NULL; map = map->l_next)
    printf("new: %s\n", map->l_name);
}

static pthread_barrier_t barrier;

static void *open_in_thread(void *name) {
  pthread_barrier_wait(&barrier);
  return dlopen(name, RTLD_NOW);
}

static void open_at_once(char *names) {
  enum { MOST = 32 };
  pthread_t threads[MOST];
  char *name[MOST];
  unsigned count = 0;
  for (char *part; (part = strsep(&names, ",")) != NULL && count < MOST; count++)
    name[count] = part;
  pthread_barrier_init(&barrier, NULL, count);
  for (unsigned i = 0; i < count; i++)
    pthread_create(&threads[i], NULL, open_in_thread, name[i]);
  for (unsigned i = 0; i < count; i++) {
    void *handle;
    pthread_join(threads[i], &handle);
    opened(name[i], handle);
  }
}

static void set_title(void) {
  for (char **variable = environ; *variable != NULL; variable++)
    memset(*variable, 'x', strlen(*variable));
}

static int print_object(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  (void)data;
  if (strchr(info->dlpi_name, '/') != NULL)
    puts(info->dlpi_name);
  return 0;
}

/* What follows START in a text, or null. */
static char *after(char *text, const char *start) {
  size_t size = strlen(start);
  return strncmp(text, start, size) == 0 ? text + size : NULL;
}

static void act(char *action) {
  char *argument;
  if ((argument = after(action, "open:")) != NULL)
    opened(argument, dlopen(argument, RTLD_NOW));
  else if ((argument = after(action, "call:")) != NULL)
    open_elsewhere(argument);
  else if ((argument = after(action, "new:")) != NULL)
    open_new(argument);
  else if ((argument = after(action, "threads:")) != NULL)
    open_at_once(argument);
  else if ((argument = after(action, "user:")) != NULL) {
    if (seteuid((uid_t)atoi(argument)) != 0)
      perror(action);
  } else if (strcmp(action, "close") == 0)
    dlclose(last);
  else if (strcmp(action, "title") == 0)
    set_title();
}

int main(int argc, char *argv[]) {
  for (int i = 1; i < argc; i++)
    act(argv[i]);
  dl_iterate_phdr(print_object, NULL);
  return 0;
}
