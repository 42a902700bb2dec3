/*
 * fastpath_wanted: the next hops that calls use: pairs of addresses (ours, a peer's) by number, in
 * memory that the worker writes and the keeper's hop thread reads. Its record of that number in the
 * eBPF half's array of hops is the hop thread's to write.
 *
 * A number is one pair's until it is put, and another's only once the hop thread has answered that
 * the record is empty, lest packets of the one leave by the other's hop. With each change of an
 * entry its `ask` grows, then its bit is set among the changed ones, and the hop thread is woken;
 * he copies `ask` to `answer` when the record is as asked: empty, or of that pair. What a worker
 * who dies in between has left is asked anew by the next one.
 *
 * The keeper takes this memory for hostile. There are no indices and no counts in it to trust: bits
 * stand at fixed places, an entry is copied once, and any pair at all is only one more question to
 * the host. It cannot shrink. Who uses a number how often is the worker's heap's.
 *
 * Thread: fastpath_wanted_make anybody's; the rest the worker's control thread.
 */
#ifndef FASTPATH_WANTED_H
#define FASTPATH_WANTED_H

#include "fastpath/fastpath_shared.h"
#include "host/why.h"

/* All of it is changed by atomic operations only. */
struct fastpath_wanted_hop {
	uint64_t pair; /* ours << 32 | the peer's; 0: none */
	uint32_t ask;  /* grows with each change */
	uint32_t answer;
};

enum { FASTPATH_WANTED_WORDS = FASTPATH_HOPS / 64, FASTPATH_WANTED_GROUPS = FASTPATH_HOPS / 4096 };

struct fastpath_wanted_table {
	uint64_t groups[FASTPATH_WANTED_GROUPS]; /* bit: a word of `changed` with a bit in it */
	uint64_t changed[FASTPATH_WANTED_WORDS]; /* bit: an entry to be looked at */
	struct fastpath_wanted_hop hops[FASTPATH_HOPS];
};

/* A new, empty table, which cannot change its size, and the eventfd that tells of changes: 0 with
 * both, or -1 with a sentence and none. */
int fastpath_wanted_make(int *table_fd, int *wake_fd, struct why *why);

/* The table as memory of this process, or NULL with errno; to be unmapped by the caller. */
struct fastpath_wanted_table *fastpath_wanted_map(int table_fd);
void fastpath_wanted_unmap(struct fastpath_wanted_table *table); /* NULL is fine */

/* ---- the worker's ---- */

struct fastpath_wanted;

/* With what is wanted already, by a worker before this one: numbers are kept, but nobody uses them
 * yet. The descriptors stay the caller's. NULL with a sentence in why. */
struct fastpath_wanted *fastpath_wanted_open(int table_fd, int wake_fd, struct why *why);
void fastpath_wanted_close(struct fastpath_wanted *wanted); /* changes nothing; NULL is fine */

/* The number of the hop from our address to the peer's, which lasts until as many
 * fastpath_wanted_put; or -1, where there is none free at the moment. */
int fastpath_wanted_get(struct fastpath_wanted *wanted, uint32_t proxy_addr, uint32_t peer_addr);
void fastpath_wanted_put(struct fastpath_wanted *wanted, int hop);

/* Gives up what was wanted before and nobody uses. */
void fastpath_wanted_put_unused(struct fastpath_wanted *wanted);

#endif
