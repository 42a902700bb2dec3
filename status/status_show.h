/*
 * status_show: --show and --end: asks a running instance, and prints its answer.
 *
 * On a terminal a table has its width; elsewhere everything, as wide as it is.
 */
#ifndef STATUS_STATUS_SHOW_H
#define STATUS_STATUS_SHOW_H

#include "host/why.h"

#include <stdbool.h>
#include <stddef.h>

struct status_show {
	const char *control; /* of the instance */
	const char *what;    /* "calls", "pairs" or "totals" */
	bool json;	     /* as the status page has it, one line */
	bool watch;	     /* again each second, until q or an interrupt; not with json */
};

/* Both: 0, or -1 with a sentence, also where the output could not be written; a call has ended all
 * the same then. */
int status_show_print(const struct status_show *show, struct why *why);
int status_show_end(const char *control, const char *call, struct why *why);

/* The terminal's columns, or 0: standard output is none. *rows, unless NULL: its rows. */
size_t status_show_width(size_t *rows);

#endif
