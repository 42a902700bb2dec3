/*
 * background: the daemon's fork, with an exit status that means something.
 *
 * background_begin forks before threads and sockets exist; the parent waits and exits 0 once the
 * child calls background_ready, or 1 if the child ends before. The child is a session leader's
 * child without a terminal and keeps standard error until it is ready, so that an error at the
 * start is seen where the command was typed. The working directory stays as it is: relative paths
 * (log, pid file, control socket, commands) keep their meaning for the daemon's whole life. Thread:
 * main, before any other thread.
 */
#ifndef HOST_BACKGROUND_H
#define HOST_BACKGROUND_H

#include "host/why.h"

/* Opens /dev/null for each of the descriptors 0 to 2 that is closed, lest a socket becomes one of
 * them. To be called first in main; background_begin does it too. */
int background_standard_descriptors(struct why *why);

/* Returns in the child only. -1 with why set: could not fork. */
int background_begin(struct why *why);

/* Lets the parent exit 0 and turns descriptors 0 to 2 into /dev/null. A no-op unless
 * background_begin was called. -1 with why set: there is no /dev/null, or the parent is gone (it
 * was interrupted), so nobody wants the daemon any more. */
int background_ready(struct why *why);

/* Writes the pid and a newline to a file, made anew by rename so that a reader never sees half of
 * it. */
int background_pid_file_write(const char *path, struct why *why);
void background_pid_file_remove(
    const char *path); /* only if it still holds our pid; NULL is fine */

#endif
