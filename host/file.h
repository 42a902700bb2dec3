/*
 * file: a small file's octets. Thread: any.
 */
#ifndef HOST_FILE_H
#define HOST_FILE_H

#include "host/why.h"

#include <stddef.h>

/* The whole of a regular file, *length octets with a NUL behind them; whoever calls frees it. NULL
 * and *length 0 with a sentence that names the path: the system's reason, it is no regular file (a
 * directory, a pipe, which nobody waits for), or it has more than max octets. */
char *file_read(const char *path, size_t max, size_t *length, struct why *why);

#endif
