/*
 * callid_index: a hash index over nodes that live in their owner, growing and shrinking by one
 * bucket an operation.
 *
 * Linear hashing: no operation ever pauses to rehash everything, so a reader that waits for the
 * writer waits microseconds, whatever the number of entries. The index knows hashes only; the owner
 * compares keys.
 *
 * Thread: the owner's business.
 */
#ifndef CALLID_INDEX_H
#define CALLID_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct callid_node {
	struct callid_node *next;
	uint32_t hash;
};

enum {
	CALLID_SEGMENT = 1024,
	CALLID_SEGMENTS_MAX = 4096
}; /* buckets a segment; 4 Mi buckets at most */

struct callid_index {
	struct callid_node **segments[CALLID_SEGMENTS_MAX];
	uint32_t level; /* buckets at the start of this round of splits, a power of two */
	uint32_t split; /* the next bucket to be split, below level */
	size_t count;
};

int callid_index_init(struct callid_index *index); /* 0, or -1 with ENOMEM */
void callid_index_clear(struct callid_index *index);

/* node->hash is set by the caller. Never fails: where memory for growth is short, chains get longer
 * instead. */
void callid_index_add(struct callid_index *index, struct callid_node *node);
void callid_index_del(struct callid_index *index, struct callid_node *node);

/* The nodes whose hash may be this one: compare node->hash and then the key. */
struct callid_node *callid_index_first(const struct callid_index *index, uint32_t hash);

#endif
