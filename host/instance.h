/*
 * instance: one running daemon a network namespace (or a path), and where questions are asked: a
 * local stream socket.
 *
 * Thread: main.
 */
#ifndef HOST_INSTANCE_H
#define HOST_INSTANCE_H

#include "host/why.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * Binds and listens on "@NAME" (abstract: gone with its process, one a network namespace) or on a
 * path (mode 0600; a stale file of a dead instance is replaced, a live one's is not). Returns the
 * descriptor, or -1 with a sentence in why; where another instance holds it the sentence names its
 * pid: "already running as pid 4711 (control socket @pptpproxy)".
 */
int instance_open(const char *name, struct why *why);

/* Connects to the instance there; waits so many seconds where too many wait already, and leaves the
 * same limit on each later reading and writing. The descriptor (CLOEXEC), or -1 with a sentence:
 * "no instance at control socket @pptpproxy". */
int instance_call(const char *name, unsigned seconds, struct why *why);

/* Whether somebody listens at this name, without binding it; *pid is 0 where the system does not
 * tell whose it is. */
bool instance_find(const char *name, pid_t *pid);

/* Closes, and removes the file if the name is a path. A descriptor of -1 is fine. */
void instance_close(int fd, const char *name);

#endif
