/*
 * fastpath_maps: the eBPF half, loaded, and its maps as memory of this process.
 *
 * Records are written in place while packets pass: between fastpath_maps_write_begin and _end. One
 * writer a record. Thread: functions that open or make something the control thread's; records as
 * their owner says.
 */
#ifndef FASTPATH_MAPS_H
#define FASTPATH_MAPS_H

#include "fastpath/fastpath_shared.h"
#include "host/why.h"

#include <stdbool.h>

struct fastpath_maps;

/* Loads it; nothing passes through it yet. NULL with a sentence in why: kernel or rights lack. */
struct fastpath_maps *fastpath_maps_open(struct why *why);
void fastpath_maps_close(struct fastpath_maps *maps); /* NULL is fine */

int fastpath_maps_program(const struct fastpath_maps *maps, bool native); /* its descriptor */

/* Frames that go to this port leave by that interface. 0, or -1 with errno. */
int fastpath_maps_set_port(struct fastpath_maps *maps, uint32_t port, unsigned ifindex);

/* False: none was set, or its interface has been deleted or moved to another namespace since. */
bool fastpath_maps_has_port(const struct fastpath_maps *maps, uint32_t port);

/* The routes of one address of ours, FASTPATH_IDS of them, made at the first question. NULL: none
 * could be made (errno), or FASTPATH_LOCALS others are in use (ENOSPC). */
struct fastpath_route *fastpath_maps_routes(struct fastpath_maps *maps, uint32_t addr);

/* Another one of these is in use, or one is not any more. Where none is, they may be given to
 * another address. */
void fastpath_maps_use(struct fastpath_maps *maps, const struct fastpath_route *route, bool used);

struct fastpath_hop *fastpath_maps_hops(struct fastpath_maps *maps); /* FASTPATH_HOPS */

/* Room for the counters of a call, all zero. 0, or -1 with errno. */
int fastpath_maps_count_from_zero(struct fastpath_maps *maps, uint32_t slot);

struct fastpath_sum {
	uint64_t packets, octets;
	uint64_t seen_ns; /* the latest; CLOCK_MONOTONIC, up to three timer ticks early; 0: none */
};

/* The sums of what all CPUs have counted, by the side that packets came from. Any thread. */
void fastpath_maps_counts(const struct fastpath_maps *maps, uint32_t slot,
			  struct fastpath_sum from[static 2]);

static inline void fastpath_maps_write_begin(uint32_t *seq)
{
	__atomic_store_n(seq, *seq + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline void fastpath_maps_write_end(uint32_t *seq)
{
	__atomic_store_n(seq, *seq + 1, __ATOMIC_RELEASE);
}

#endif
