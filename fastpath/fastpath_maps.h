/*
 * fastpath_maps: the eBPF half, loaded, its maps, and the arrays within them, of which workers are
 * given the descriptors.
 *
 * What is written in memory that workers have, too, is never read back. Thread: the keeper's main
 * thread; the hops' records are the hop thread's.
 */
#ifndef FASTPATH_MAPS_H
#define FASTPATH_MAPS_H

#include "fastpath/fastpath.h"
#include "fastpath/fastpath_letter.h"
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

struct fastpath_hop *fastpath_maps_hops(struct fastpath_maps *maps); /* FASTPATH_HOPS */

/* Has the routes of that number be those of an address of ours: made, where it is the next one.
 * Their descriptor, or -1 with errno, as fastpath_keeper_grant. */
int fastpath_maps_routes(struct fastpath_maps *maps, uint32_t at, uint32_t addr);

/* The descriptor of a chunk of counters, all zero when they are made; or -1 with errno. */
int fastpath_maps_counts(struct fastpath_maps *maps, uint32_t chunk);

/* All but what the hop thread gives: the other descriptors are -1. */
void fastpath_maps_give(const struct fastpath_maps *maps, struct fastpath_given *given);

/* The same and the rest, into a letter whose descriptors are all -1. */
void fastpath_maps_describe(const struct fastpath_maps *maps, struct fastpath_letter *letter);

/* Goes on from a letter: descriptors that are taken over become -1 in it. Where this program's eBPF
 * half is not the letter's, it is loaded for the same maps, and *changed is true: what is attached
 * is the old one yet. NULL with a sentence in why. */
struct fastpath_maps *fastpath_maps_adopt(struct fastpath_letter *letter, bool *changed,
					  struct why *why);

#endif
