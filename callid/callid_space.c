/*
 * Homes count by how many ways each ID is taken; a space only how many are, as the table's index
 * knows which.
 */
#include "callid/callid_space.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

enum { RANDOM_TRIES = 256 }; /* enough where one in sixteen is free */

struct callid_home {
	struct callid_node node;
	uint32_t addr;
	unsigned spaces;
	unsigned taken; /* IDs that have a way */
	uint32_t ways[CALLID_IDS];
};

static int fill_random(void *out, size_t size)
{
	return getrandom(out, size, 0) == (ssize_t)size ? 0 : -1;
}

static uint16_t random_id(struct callid_spaces *spaces)
{
	if (spaces->random_left == 0) {
		if (fill_random(spaces->random_ids, sizeof(spaces->random_ids)) != 0)
			spaces->random_ids[0] ^= 0x5555; /* better a guessable ID than none */
		spaces->random_left = sizeof(spaces->random_ids) / sizeof(spaces->random_ids[0]);
	}
	return spaces->random_ids[--spaces->random_left];
}

int callid_space_init(struct callid_spaces *spaces)
{
	return callid_index_init(&spaces->spaces) == 0 && callid_index_init(&spaces->homes) == 0
		   ? fill_random(spaces->seed, sizeof(spaces->seed))
		   : -1;
}

void callid_space_clear(struct callid_spaces *spaces)
{
	callid_index_clear(&spaces->spaces);
	callid_index_clear(&spaces->homes);
}

/* ---- finding and making them ---- */

static struct callid_space *find(const struct callid_spaces *spaces, const struct callid_leg *leg,
				 uint32_t hash)
{
	for (struct callid_node *node = callid_index_first(&spaces->spaces, hash); node;
	     node = node->next) {
		struct callid_space *space = (struct callid_space *)node;
		if (space->leg.proxy_addr == leg->proxy_addr &&
		    space->leg.peer_addr == leg->peer_addr)
			return space;
	}
	return NULL;
}

static struct callid_home *get_home(struct callid_spaces *spaces, uint32_t addr)
{
	uint32_t hash = callid_space_hash(spaces, addr, 0, 0);
	for (struct callid_node *node = callid_index_first(&spaces->homes, hash); node;
	     node = node->next) {
		struct callid_home *home = (struct callid_home *)node;
		if (home->addr == addr)
			return home;
	}
	struct callid_home *home = calloc(1, sizeof(*home));
	if (!home)
		return NULL;
	home->addr = addr;
	home->node.hash = hash;
	callid_index_add(&spaces->homes, &home->node);
	return home;
}

static void drop_home_if_unused(struct callid_spaces *spaces, struct callid_home *home)
{
	if (home->spaces > 0)
		return;
	callid_index_del(&spaces->homes, &home->node);
	free(home);
}

struct callid_space *callid_space_get(struct callid_spaces *spaces, const struct callid_leg *leg)
{
	uint32_t hash = callid_space_hash(spaces, leg->proxy_addr, leg->peer_addr, 0);
	struct callid_space *space = find(spaces, leg, hash);
	if (space)
		return space;
	struct callid_home *home = get_home(spaces, leg->proxy_addr);
	if (!home)
		return NULL;
	space = calloc(1, sizeof(*space));
	if (!space) {
		drop_home_if_unused(spaces, home);
		return NULL;
	}
	home->spaces++;
	space->home = home;
	space->leg = *leg;
	TAILQ_INIT(&space->closing);
	space->node.hash = hash;
	callid_index_add(&spaces->spaces, &space->node);
	return space;
}

void callid_space_drop_if_unused(struct callid_spaces *spaces, struct callid_space *space)
{
	struct callid_home *home = space->home;
	if (space->used > 0)
		return;
	callid_index_del(&spaces->spaces, &space->node);
	free(space);
	home->spaces--;
	drop_home_if_unused(spaces, home);
}

/* ---- IDs ---- */

void callid_space_take(struct callid_space *space, uint16_t id)
{
	space->used++;
	if (space->home->ways[id]++ == 0)
		space->home->taken++;
}

void callid_space_give_back(struct callid_space *space, uint16_t id)
{
	space->used--;
	if (--space->home->ways[id] == 0)
		space->home->taken--;
}

static bool free_in_home(const void *arg, const struct callid_leg *leg, uint16_t id)
{
	const struct callid_home *home = arg;
	(void)leg;
	return home->ways[id] == 0;
}

/* Kept where it is free, else random, else whichever is left, of which there must be one. */
static uint16_t choose_free(struct callid_spaces *spaces, const struct callid_leg *leg, uint16_t id,
			    callid_space_is_free *is_free, const void *arg)
{
	for (int i = 0; i < RANDOM_TRIES; i++) {
		if (is_free(arg, leg, id))
			return id;
		do
			id = random_id(spaces);
		while (id == 0); /* legal, but worth sparing: some peers take 0 for "none" */
	}
	while (!is_free(arg, leg, id))
		id++;
	return id;
}

bool callid_space_choose(struct callid_spaces *spaces, const struct callid_space *space,
			 uint16_t preferred, callid_space_is_free *is_free, const void *arg,
			 uint16_t *id)
{
	if (space->home->taken < CALLID_IDS)
		*id = choose_free(spaces, &space->leg, preferred, free_in_home, space->home);
	else if (space->used < CALLID_IDS)
		*id = choose_free(spaces, &space->leg, preferred, is_free, arg);
	else
		return false;
	return true;
}
