/*
 * control_pairs: what has become of each pair's clients and dials, for whoever looks.
 *
 * A pair is known by its text, so it keeps its figures over a reload that has it again, and as they
 * lie in the kept memory, over workers and versions. One that a reload leaves out goes once its
 * last connection has ended.
 *
 * Thread: control thread.
 */
#ifndef CONTROL_PAIRS_H
#define CONTROL_PAIRS_H

#include "host/kept.h"
#include "pair.h"

#include <stddef.h>
#include <stdint.h>

enum {
	CONTROL_PAIRS_MAX = 4096, /* further ones have no figures */
	CONTROL_PAIR_ERROR_MAX = 160,
};

enum control_pair_state { CONTROL_PAIR_UNTRIED, CONTROL_PAIR_UP, CONTROL_PAIR_DOWN };

/* Of one pair, in the section KEPT_PAIRS: single words, and text whose last octet is 0 always. */
struct control_pair {
	char listen[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX]; /* listen "": nobody's */
	uint32_t state;					 /* enum control_pair_state */
	uint64_t accepted, connected, failed;		 /* clients; dials */
	uint64_t last_error_at;				 /* monotonic ms; 0: none */
	char last_error[CONTROL_PAIR_ERROR_MAX];	 /* cut */
};

struct control_pairs;

struct control_pairs *control_pairs_new(struct kept *kept); /* kept NULL: the heap. NULL: errno */
void control_pairs_free(struct control_pairs *pairs);	    /* NULL is fine */

/* These are the configuration's from now on, by their place in it. 0, or -1 without memory: those
 * from before stay. */
int control_pairs_use(struct control_pairs *pairs, const struct pair *all, size_t count);

/* Of the configuration's, by place. NULL: beyond CONTROL_PAIRS_MAX, or without memory. */
struct control_pair *control_pairs_at(const struct control_pairs *pairs, uint32_t place);

/* A connection that came by it takes it, and puts it back when it ends. NULL: as above. */
struct control_pair *control_pairs_take(struct control_pairs *pairs, uint32_t place);
void control_pairs_put(struct control_pairs *pairs, struct control_pair *pair); /* NULL is fine */

/* What the next process takes it by; 0: none. */
uint32_t control_pairs_number(const struct control_pairs *pairs, const struct control_pair *pair);
struct control_pair *control_pairs_take_number(struct control_pairs *pairs, uint32_t number);

/* The dial's outcome; error NULL: it has succeeded. pair NULL is fine. */
void control_pairs_dialled(struct control_pair *pair, const char *error, uint64_t now);

/* Connections that have it. */
size_t control_pairs_connections(const struct control_pairs *pairs,
				 const struct control_pair *pair);

#endif
