/*
 * capture_tap: --tap: asks a running instance for messages and packets, and writes them to a file,
 * or to standard output, until it is interrupted or there is nothing more to see.
 *
 * The instance keeps for us what we do not read at once, as far as it has room, and tells in the
 * end how many packets we have missed. Thread: main; handles SIGINT and SIGTERM meanwhile.
 */
#ifndef CAPTURE_TAP_H
#define CAPTURE_TAP_H

#include "host/why.h"

#include <stdint.h>

struct capture_tap_config {
	const char *control; /* the instance's socket */
	const char *what;    /* a call, a client, all; the instance knows which there are */
	const char *path;    /* "-": standard output */
	uint64_t limit;	     /* octets of one file, see capture_file_create; 0: none */
};

struct capture_tap_figures {
	uint64_t packets; /* that have left, for a file or standard output */
	uint64_t lost;	  /* missed; after an error not known */
};

/* Returns when it is over. 0, or -1 with a sentence; figures are those until then. */
int capture_tap_run(const struct capture_tap_config *config, struct capture_tap_figures *figures,
		    struct why *why);

#endif
