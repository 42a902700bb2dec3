/*
 * explain: a capture file -> what happened in it, as text: control connections, calls, and what
 * looks wrong. The door of this room.
 *
 * A reader and nothing else: it needs no rights and no network, knows nothing of a running
 * instance, and takes the file for a stranger's. Memory is bounded by explain_case.h's limits.
 * Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

#include "host/why.h"

#include <stdio.h>

/* Reads the capture at this path ("-": standard input) and writes its story. progress: where to say
 * how far it is, if that takes long, or NULL. 0, whatever the story, and if the file is cut short,
 * too; or -1 with a sentence that names the file: it is missing, no capture, of a link that is not
 * known, or the story could not be written. */
int explain_file(const char *path, FILE *out, FILE *progress, struct why *why);

/* The same for a file that is open, which is closed in any case. */
int explain_open_file(FILE *file, const char *name, FILE *out, FILE *progress, struct why *why);

#endif
