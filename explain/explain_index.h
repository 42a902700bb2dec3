/*
 * explain_index: nodes that lie in their owners, found by three numbers; grows with what is in it.
 *
 * Keys come out of a capture that a stranger may have made, so the hash has a secret: nobody can
 * choose keys that fall together. Several nodes may have one key: the latest is found.
 *
 * Thread: one.
 */
#ifndef EXPLAIN_EXPLAIN_INDEX_H
#define EXPLAIN_EXPLAIN_INDEX_H

#include <stddef.h>
#include <stdint.h>

struct explain_key {
	uint32_t a, b, c;
};

struct explain_node {
	struct explain_node *next;
	struct explain_key key;
};

struct explain_index {
	struct explain_node **buckets;
	size_t size; /* a power of two */
	size_t count;
	uint64_t secret[2];
};

int explain_index_init(struct explain_index *index); /* 0, or -1 with errno */
void explain_index_clear(struct explain_index *index);

/* Never fails: where memory for growth is short, chains get longer instead. */
void explain_index_add(struct explain_index *index, struct explain_node *node,
		       struct explain_key key);
void explain_index_del(struct explain_index *index, struct explain_node *node);

/* The latest node with this key, or NULL. */
struct explain_node *explain_index_find(const struct explain_index *index, struct explain_key key);

/* The one before it with the same key, or NULL. */
struct explain_node *explain_index_before(const struct explain_node *node);

#endif
