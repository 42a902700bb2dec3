/*
 * explain: capture files -> what happened in them, as text: control connections, calls, and what
 * looks wrong. The door of this room.
 *
 * A reader and nothing else: it needs no rights and no network, knows nothing of a running
 * instance, and takes the files for strangers'. Memory is bounded by explain_case.h's limits.
 * Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_H
#define EXPLAIN_EXPLAIN_H

#include "host/why.h"

#include <stdio.h>

/* Reads the captures at these paths ("-": standard input), of which there is one at least, as if
 * they were one, by the time of their frames, and writes the story. progress: where to say how far
 * it is, if that takes long, or NULL. 0, whatever the story, and if a file is cut short, too; or -1
 * with a sentence that names the file: it is missing, named twice, no capture, of a link that is
 * not known, or the story could not be written. */
int explain_files(char *const *paths, size_t count, FILE *out, FILE *progress, struct why *why);

/* The same for one file that is open, which is closed in any case. */
int explain_open_file(FILE *file, const char *name, FILE *out, FILE *progress, struct why *why);

#endif
