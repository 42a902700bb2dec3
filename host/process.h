/*
 * process: ties to other processes. Thread: main.
 */
#ifndef HOST_PROCESS_H
#define HOST_PROCESS_H

#include "host/why.h"

#include <sys/types.h>

/*
 * Has the kernel kill this process (SIGKILL) as soon as its parent is gone. To be called after the
 * last change of user, as that undoes it, by a process whose parent started it from its main
 * thread: what counts is the end of the thread that forked.
 *
 * parent is the pid that the parent knows itself by. -1 with a sentence in why: the parent has gone
 * already, or the system refuses; then nothing would end this process, so it had better end.
 */
int process_follow_parent(pid_t parent, struct why *why);

#endif
