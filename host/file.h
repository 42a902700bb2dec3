/*
 * file: a small file's octets, and whether one could be written. Thread: any.
 */
#ifndef HOST_FILE_H
#define HOST_FILE_H

#include "host/why.h"

#include <stddef.h>

/* The whole of a regular file, *length octets with a NUL behind them; whoever calls frees it. NULL
 * and *length 0 with a sentence that names the path: the system's reason, it is no regular file (a
 * directory, a pipe, which nobody waits for), or it has more than max octets. */
char *file_read(const char *path, size_t max, size_t *length, struct why *why);

/* Whether these could be done now, by a look that opens nothing: 0, or -1 with errno. */
int file_check_new(const char *path);	 /* to make a file there, or replace one by another name */
int file_check_append(const char *path); /* to write to what is there, or else make it */

#endif
