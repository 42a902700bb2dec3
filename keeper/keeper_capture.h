/*
 * keeper_capture: the files of --capture, which the worker may not make itself.
 *
 * It is given an empty one when it begins, when another one is configured, and whenever the last
 * one is full; what was there is FILE.1 from then on. So a worker that is not ours any more cannot
 * have older captures thrown away but by filling files. Nothing is read from them.
 *
 * A file is locked for as long as this module or the worker has it, see capture_file_create: so a
 * tap is refused it yet when the worker has given up, as its disk is full, until the next file or a
 * reload. Of those that a worker may still write to only the last one is known for ours: one
 * before it, where a reload goes back to that while its disk hangs, is taken for another process's,
 * and refused. Thread: main.
 */
#ifndef KEEPER_CAPTURE_H
#define KEEPER_CAPTURE_H

#include "host/capture_file.h"
#include "keeper/link.h"
#include "options.h"

#include <stdbool.h>

struct keeper_capture {
	int file;		     /* the one that the worker has; -1: none */
	bool fresh;		     /* it may have another one, whatever the size of that */
	struct capture_file_id last; /* the last one, which the worker may have longer than we */
};

#define KEEPER_CAPTURE_NONE ((struct keeper_capture){.file = -1})

/* Whether there can be a file as these options say: 0, or -1 with a sentence. With capture also
 * whether it is nobody else's; NULL: that is left out. */
int keeper_capture_check(const struct keeper_capture *capture, const struct options *options,
			 struct why *why);

/* A worker starts, or a configuration with another file, or another limit, is in use. */
void keeper_capture_begin(struct keeper_capture *capture);

/* LINK_CAPTURE: makes the answer, whose descriptor stays this module's. */
void keeper_capture_give(struct keeper_capture *capture, const struct options *options,
			 struct link_message *answer);

void keeper_capture_close(struct keeper_capture *capture);

#endif
