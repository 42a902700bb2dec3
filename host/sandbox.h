/*
 * sandbox: what a process may still do once it only talks to the network: no program started, no
 * file written that is not open already, none read but the few that it needs, nobody else's
 * process touched, no other kind of socket made.
 *
 * Two walls. Landlock judges paths: it does not matter which system call opens one. The filter of
 * system calls (seccomp) judges numbers and arguments, and whoever makes one that is not on its
 * list dies. Neither can be taken down again, and whatever the process starts has both.
 */
#ifndef HOST_SANDBOX_H
#define HOST_SANDBOX_H

#include "host/why.h"

#include <stddef.h>

struct sandbox_config {
	/* Files, and directories with all that is below, that may be read beside the usual ones
	 * (sandbox_files.c has those); each must be there, and paths are looked up once, now. */
	const char *const *readable;
	size_t readable_count;
	/* Also gets the line about a forbidden call; -1 for none. Stays the caller's, and open. */
	int report_fd;
};

/* What a kernel may lack. */
enum { SANDBOX_LACKS_FILES = 1, SANDBOX_LACKS_CALLS = 2 };

/*
 * Enters it. Call it after user_become and process_follow_parent, whose calls are not on the list,
 * and before any other thread starts: the filter takes in all threads there are, Landlock only the
 * calling one and those that it starts later. What is open stays usable: log, listeners, raw
 * sockets. Returns 0; or which walls this kernel does not have (SANDBOX_LACKS_..., worth a line in
 * the log), the others being up; or -1 with a sentence in why: the process is not safe, and should
 * end.
 *
 * A forbidden call writes one line, "forbidden system call 59 (execve)", to standard error and to
 * report_fd, if these take it at once, and the process dies by SIGSYS. A thread that blocks SIGSYS
 * dies without the line: block all others only. Nobody may handle SIGSYS any more.
 *
 * Sockets that can still be made: TCP and UDP, local ones (syslog), and NETLINK_ROUTE to ask with;
 * TCP ports can be bound only as the system chooses them, where Landlock is of version 4 or more.
 * Signals go to the process's own threads only. Memory cannot become executable, so no library
 * can be loaded later. With a sanitizer the walls are lower, see sandbox_files.c, sandbox_calls.c.
 */
int sandbox_enter(const struct sandbox_config *config, struct why *why);

#endif
