/*
 * sandbox_files: the wall around files, Landlock; part of sandbox, whose header is the manual.
 */
#ifndef HOST_SANDBOX_FILES_H
#define HOST_SANDBOX_FILES_H

#include "host/why.h"

#include <stddef.h>

/* 0: it is up, for this thread and those that it starts; 1: the kernel has none; -1 with why set.
 * Needs PR_SET_NO_NEW_PRIVS. */
int sandbox_files_enter(const char *const *readable, size_t count, struct why *why);

#endif
