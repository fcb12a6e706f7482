/*
 * launch ROUNDS [VARIABLE=VALUE...] PROGRAM [ARGUMENT...] -- ...: runs each of the commands in turn, that many times,
 * and prints for each run the command's number and the nanoseconds from before it is started until it has ended.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static long now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* The environment, and the variables at the start of a command, which is moved behind them. */
static char **with(char ***command) {
  size_t count = 0, more = 0;
  while (environ[count] != NULL)
    count++;
  while (strchr((*command)[more], '=') != NULL)
    more++;
  char **copy = calloc(count + more + 1, sizeof *copy);
  memcpy(copy, environ, count * sizeof *copy);
  memcpy(copy + count, *command, more * sizeof *copy);
  *command += more;
  return copy;
}

static long run(char **command, const posix_spawn_file_actions_t *silent) {
  char **environment = with(&command);
  int status;
  pid_t child;
  long start = now();
  if (posix_spawn(&child, command[0], silent, NULL, command, environment) != 0 ||
      waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "%s did not succeed\n", command[0]);
    exit(1);
  }
  long end = now();
  free(environment);
  return end - start;
}

int main(int argc, char *argv[]) {
  posix_spawn_file_actions_t silent;
  posix_spawn_file_actions_init(&silent);
  posix_spawn_file_actions_addopen(&silent, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
  for (int i = 2; i < argc; i++)
    if (strcmp(argv[i], "--") == 0)
      argv[i] = NULL;
  while (rounds-- > 0)
    for (int i = 2, number = 0; i < argc; number++, i++) {
      printf("%d %ld\n", number, run(&argv[i], &silent));
      while (i < argc && argv[i] != NULL)
        i++;
    }
  return 0;
}
