/*
 * command: starts a program that is not ours: without a shell, with nothing of ours but its output,
 * as another user. Thread: main.
 */
#ifndef HOST_COMMAND_H
#define HOST_COMMAND_H

#include "host/user.h"

#include <sys/types.h>

/*
 * words[0] is the program's path. Standard input is /dev/null, standard output and standard error
 * are output, no other descriptor is open; a process group of its own; no signal blocked, handled
 * or ignored. as: whom it becomes; NULL: it stays who we are. 0, or an errno: it was not executed,
 * and there is no process.
 */
int command_start(pid_t *pid, char *const *words, char *const *environment, int output,
		  const struct user *as);

#endif
