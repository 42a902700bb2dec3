/*
 * sandbox_calls: the wall around system calls, seccomp; part of sandbox, whose header is the
 * manual.
 */
#ifndef HOST_SANDBOX_CALLS_H
#define HOST_SANDBOX_CALLS_H

#include "host/why.h"

/* 0: it is up, for all threads; 1: the kernel has none; -1 with why set. Needs
 * PR_SET_NO_NEW_PRIVS. */
int sandbox_calls_enter(int report_fd, struct why *why);

#endif
