/*
 * fastpath_memory: routes and counters as memory of the worker: mapped from descriptors that the
 * keeper gave. What is not there yet is asked for, and comes later.
 *
 * Thread: the control thread; fastpath_memory_counts any.
 */
#ifndef FASTPATH_MEMORY_H
#define FASTPATH_MEMORY_H

#include "fastpath/fastpath.h"

#include <stdbool.h>

struct fastpath_memory;

/* Maps what is there. The descriptors stay the caller's. NULL with a sentence in why. */
struct fastpath_memory *fastpath_memory_open(const struct fastpath_given *given,
					     fastpath_want *want, void *want_arg, struct why *why);
void fastpath_memory_close(struct fastpath_memory *memory); /* NULL is fine */

/* ---- room ---- */

/* Asks for the routes of one address of ours, FASTPATH_IDS of them, unless they are there or were
 * asked for. False: FASTPATH_LOCALS others are in use. */
bool fastpath_memory_want_routes(struct fastpath_memory *memory, uint32_t addr);

/* The same for the counters of the call with that slot. */
void fastpath_memory_want_counts(struct fastpath_memory *memory, uint32_t slot);

/* Whether they were asked for and there is no answer yet. */
bool fastpath_memory_routes_coming(const struct fastpath_memory *memory, uint32_t addr);
bool fastpath_memory_counts_coming(const struct fastpath_memory *memory, uint32_t slot);

/* The answer; as fastpath_granted. One to what was not asked is none. */
void fastpath_memory_granted(struct fastpath_memory *memory, const struct fastpath_request *request,
			     int fd);

/* ---- routes ---- */

/* Those of an address, FASTPATH_IDS of them; NULL: they are not there. */
struct fastpath_route *fastpath_memory_routes(const struct fastpath_memory *memory, uint32_t addr);

/* Those of the place with that number, below FASTPATH_LOCALS; *addr is whose, 0: nobody's. */
struct fastpath_route *fastpath_memory_place(const struct fastpath_memory *memory, uint32_t at,
					     uint32_t *addr);

/* Another one of these is in use, or one is not any more. Where none is, they may be given to
 * another address. */
void fastpath_memory_use(struct fastpath_memory *memory, const struct fastpath_route *route,
			 bool used);

/* ---- counters ---- */

/* False: there is no room for them. */
bool fastpath_memory_has_counts(const struct fastpath_memory *memory, uint32_t slot);
void fastpath_memory_count_from_zero(struct fastpath_memory *memory, uint32_t slot);

struct fastpath_sum {
	uint64_t packets, octets;
	uint64_t seen_ns; /* the latest; CLOCK_MONOTONIC, up to three timer ticks early; 0: none */
};

/* The sums of what all CPUs have counted, by the side that packets came from; all 0 where there is
 * no room for them. */
void fastpath_memory_counts(const struct fastpath_memory *memory, uint32_t slot,
			    struct fastpath_sum from[static 2]);

#endif
