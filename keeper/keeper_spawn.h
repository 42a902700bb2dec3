/*
 * keeper_spawn: executes a program of ours with a letter. Thread: any.
 */
#ifndef KEEPER_SPAWN_H
#define KEEPER_SPAWN_H

#include <sys/types.h>

/* Inherits all descriptors that are not closed on exec, but not the supervisor's socket, with no
 * signal blocked or handled. output: becomes standard output and standard error; -1: those stay. 0,
 * or an errno. */
int keeper_spawn(pid_t *pid, const char *path, char **words, int letter_fd, int output);

/* Becomes that program, supervised as we are, with all signals blocked as they are. Returns an
 * errno only. */
int keeper_spawn_in_place(const char *path, char **words, int letter_fd);

#endif
