/*
 * Records are found by walking them: that is done once for each pair of a configuration.
 */
#include "control/control_pairs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Who has a record, in this process. */
struct users {
	bool current; /* the configuration */
	size_t connections;
};

struct control_pairs {
	struct kept *kept; /* NULL: the records are the heap's */
	struct control_pair *records;
	struct users *users;	       /* of each record */
	struct control_pair **current; /* by place */
	size_t count;
};

struct control_pairs *control_pairs_new(struct kept *kept)
{
	struct control_pairs *pairs = calloc(1, sizeof(*pairs));
	if (!pairs)
		return NULL;
	pairs->kept = kept;
	pairs->users = calloc(CONTROL_PAIRS_MAX, sizeof(*pairs->users));
	pairs->records =
	    kept ? kept_section(kept, KEPT_PAIRS, sizeof(*pairs->records), CONTROL_PAIRS_MAX)
		 : calloc(CONTROL_PAIRS_MAX, sizeof(*pairs->records));
	if (pairs->users && pairs->records)
		return pairs;
	control_pairs_free(pairs);
	return NULL;
}

void control_pairs_free(struct control_pairs *pairs)
{
	int error = errno;
	if (!pairs)
		return;
	if (!pairs->kept)
		free(pairs->records);
	free(pairs->users);
	free(pairs->current);
	free(pairs);
	errno = error;
}

static struct users *users_of(const struct control_pairs *pairs, const struct control_pair *pair)
{
	return &pairs->users[pair - pairs->records];
}

static bool is_used(const struct users *users)
{
	return users->current || users->connections > 0;
}

/* ---- records ---- */

static void name(struct control_pair *record, const char *listen, const char *peer)
{
	*record = (struct control_pair){.state = CONTROL_PAIR_UNTRIED};
	strcpy(record->peer, peer);
	kept_fence();
	strcpy(record->listen, listen);
}

/* The one of this text, else one that is nobody's. */
static struct control_pair *get(struct control_pairs *pairs, const struct pair *pair)
{
	char listen[PAIR_TEXT_MAX], peer[PAIR_TEXT_MAX];
	struct control_pair *unused = NULL;

	pair_endpoint_text(&pair->listen, listen);
	pair_endpoint_text(&pair->peer, peer);
	for (size_t i = 0; i < CONTROL_PAIRS_MAX; i++) {
		struct control_pair *record = &pairs->records[i];
		if (strcmp(record->listen, listen) == 0 && strcmp(record->peer, peer) == 0)
			return record;
		if (!unused && !is_used(&pairs->users[i]))
			unused = record;
		if (record->peer[0] == '\0')
			break; /* nobody has had it yet, nor those behind */
	}
	if (!unused || (pairs->kept && kept_provide(pairs->kept, unused, sizeof(*unused)) != 0))
		return NULL;
	name(unused, listen, peer);
	return unused;
}

static void forget_if_unused(struct control_pair *record, const struct users *users)
{
	if (!is_used(users))
		record->listen[0] = '\0';
}

/* ---- the configuration's ---- */

int control_pairs_use(struct control_pairs *pairs, const struct pair *all, size_t count)
{
	struct control_pair **next = calloc(count + 1, sizeof(struct control_pair *));
	if (!next)
		return -1;
	for (size_t i = 0; i < count; i++) {
		next[i] = get(pairs, &all[i]);
		if (next[i])
			users_of(pairs, next[i])->current = true;
	}
	struct control_pair **was = pairs->current;
	size_t was_count = pairs->count;
	for (size_t i = 0; i < was_count; i++) {
		if (was[i])
			users_of(pairs, was[i])->current = false;
	}
	for (size_t i = 0; i < count; i++) {
		if (next[i])
			users_of(pairs, next[i])->current = true;
	}
	for (size_t i = 0; i < was_count; i++) {
		if (was[i])
			forget_if_unused(was[i], users_of(pairs, was[i]));
	}
	free(was);
	pairs->current = next;
	pairs->count = count;
	return 0;
}

struct control_pair *control_pairs_at(const struct control_pairs *pairs, uint32_t place)
{
	return place < pairs->count ? pairs->current[place] : NULL;
}

/* ---- connections ---- */

struct control_pair *control_pairs_take(struct control_pairs *pairs, uint32_t place)
{
	struct control_pair *pair = control_pairs_at(pairs, place);
	if (pair)
		users_of(pairs, pair)->connections++;
	return pair;
}

void control_pairs_put(struct control_pairs *pairs, struct control_pair *pair)
{
	if (!pair)
		return;
	users_of(pairs, pair)->connections--;
	forget_if_unused(pair, users_of(pairs, pair));
}

uint32_t control_pairs_number(const struct control_pairs *pairs, const struct control_pair *pair)
{
	return pair ? (uint32_t)(pair - pairs->records) + 1 : 0;
}

struct control_pair *control_pairs_take_number(struct control_pairs *pairs, uint32_t number)
{
	if (number == 0 || number > CONTROL_PAIRS_MAX)
		return NULL;
	pairs->users[number - 1].connections++;
	return &pairs->records[number - 1];
}

void control_pairs_dialled(struct control_pair *pair, const char *error, uint64_t now)
{
	if (!pair)
		return;
	pair->state = error ? CONTROL_PAIR_DOWN : CONTROL_PAIR_UP;
	if (!error) {
		pair->connected++;
		return;
	}
	pair->failed++;
	pair->last_error_at = now;
	snprintf(pair->last_error, sizeof(pair->last_error), "%s", error);
}

size_t control_pairs_connections(const struct control_pairs *pairs, const struct control_pair *pair)
{
	return users_of(pairs, pair)->connections;
}
