/*
 * callid_space: which call IDs are taken. A space is what one pair of addresses (ours, a peer's)
 * has taken of the 65,536; a home what one address of ours has.
 *
 * callid_db's own. Both come with their first ID and go with their last. Thread: the table's
 * writer.
 */
#ifndef CALLID_SPACE_H
#define CALLID_SPACE_H

#include "callid/callid_call.h"
#include "callid/callid_index.h"

#include <sys/queue.h>

enum { CALLID_IDS = 65536 };

struct callid_home;

struct callid_space {
	struct callid_node node;
	struct callid_leg leg;
	struct callid_home *home;
	unsigned used; /* IDs taken, quarantine included */
	/* The table's: those of its ways that are in quarantine, oldest first. */
	TAILQ_HEAD(, callid_way) closing;
};

struct callid_spaces {
	struct callid_index spaces, homes;
	uint64_t seed[2];
	uint16_t random_ids[64];
	size_t random_left;
};

int callid_space_init(struct callid_spaces *spaces);   /* 0, or -1 with errno */
void callid_space_clear(struct callid_spaces *spaces); /* all have been dropped */

/* Keyed by the seed, as a peer chooses IDs and addresses. */
static inline uint32_t callid_space_hash(const struct callid_spaces *spaces, uint32_t proxy_addr,
					 uint32_t peer_addr, uint16_t call_id)
{
	uint64_t a = ((uint64_t)proxy_addr << 32 | peer_addr) ^ spaces->seed[0];
	uint64_t b = (call_id * UINT64_C(0x9E3779B97F4A7C15)) ^ spaces->seed[1];
	unsigned __int128 product = (unsigned __int128)a * (b | 1);
	uint64_t folded = (uint64_t)(product >> 64) ^ (uint64_t)product;
	folded *= UINT64_C(0xD6E8FEB86659FD93);
	return (uint32_t)(folded >> 32);
}

/* The leg's, made where there is none yet. NULL: no memory. */
struct callid_space *callid_space_get(struct callid_spaces *spaces, const struct callid_leg *leg);
void callid_space_drop_if_unused(struct callid_spaces *spaces, struct callid_space *space);

/* An ID is taken and given back once for each way that it is the key of. */
void callid_space_take(struct callid_space *space, uint16_t id);
void callid_space_give_back(struct callid_space *space, uint16_t id);

/* Whether no way between these two addresses has the ID. */
typedef bool callid_space_is_free(const void *arg, const struct callid_leg *leg, uint16_t id);

/* An ID that is free with our address, else one that is with this peer only: the preferred one, or
 * a random one. False: all are taken. Does not take it. */
bool callid_space_choose(struct callid_spaces *spaces, const struct callid_space *space,
			 uint16_t preferred, callid_space_is_free *is_free, const void *arg,
			 uint16_t *id);

#endif
