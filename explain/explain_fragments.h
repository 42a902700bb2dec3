/*
 * explain_fragments: IPv4 fragments put together (RFC 791), as many packets at once as memory is
 * set apart for; what never gets whole is told.
 *
 * Of fragments that overlap the first counts. Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_FRAGMENTS_H
#define EXPLAIN_EXPLAIN_FRAGMENTS_H

#include "explain/explain_index.h"
#include "explain/explain_link.h"

#include <stdbool.h>

enum {
	EXPLAIN_FRAGMENTS_MAX = 256,   /* packets at once */
	EXPLAIN_FRAGMENTS_WAIT_S = 30, /* for the rest of one */
};

struct explain_fragments {
	struct explain_index index;
	struct explain_fragments_packet *packets; /* EXPLAIN_FRAGMENTS_MAX of them */
	size_t next;				  /* the one that is given up next */
	/* One is given up. *packet is its first fragment if that came (else length is 0). */
	void (*lost)(void *context, const struct explain_packet *packet);
	void *context;
};

int explain_fragments_init(struct explain_fragments *fragments); /* 0, or -1 with errno */
void explain_fragments_clear(struct explain_fragments *fragments);

/* One fragment. True: *packet is now the whole packet, whose octets live until the next call. */
bool explain_fragments_take(struct explain_fragments *fragments, struct explain_packet *packet);

/* Nothing more comes. */
void explain_fragments_end(struct explain_fragments *fragments);

#endif
