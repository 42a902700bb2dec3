/*
 * Sources stand in a hash index by address, and those with half-open connections in one list for
 * each number of them (levels). A connection more or less moves its source to the next list, so
 * the highest list that has anyone is known without a search: it goes up with who goes up, and down
 * by one when its last source does.
 *
 * The rate is one number a source: the time at which all that it has used will be given back
 * (a token bucket without a refill).
 */
#include "control/control_sources.h"

#include "callid/callid_index.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SECOND_US = 1000000, LEVELS_FIRST = 64 };

struct control_source {
	struct callid_node node;
	uint32_t addr;
	unsigned connections, half_open;
	uint64_t due_us; /* of the rate */
	TAILQ_HEAD(, control_guest) guests;
	struct control_source *older, *newer; /* in its level */
	uint64_t resting_since;
	TAILQ_ENTRY(control_source) in_resting; /* while it has no connection */
	struct log_limit lines;
};

/* Of the sources with so many half-open connections, in the order in which they came to that. */
struct level {
	struct control_source *oldest, *newest;
};

struct control_sources {
	struct control_sources_config config;
	struct callid_index index;
	uint64_t seed[2];
	struct level *levels; /* [0] is not used */
	unsigned level_count, highest;
	TAILQ_HEAD(, control_source) resting;
	size_t resting_count;
};

/* ---- finding sources ---- */

/* Keyed, as addresses may be chosen. */
static uint32_t hash_of(const struct control_sources *sources, uint32_t addr)
{
	unsigned __int128 product =
	    (unsigned __int128)(addr ^ sources->seed[0]) * (sources->seed[1] | 1);
	uint64_t folded = (uint64_t)(product >> 64) ^ (uint64_t)product;
	folded *= UINT64_C(0xD6E8FEB86659FD93);
	return (uint32_t)(folded >> 32);
}

static struct control_source *source_of(struct callid_node *node)
{
	return (struct control_source *)((char *)node - offsetof(struct control_source, node));
}

static struct control_source *find(const struct control_sources *sources, uint32_t addr)
{
	uint32_t hash = hash_of(sources, addr);
	for (struct callid_node *node = callid_index_first(&sources->index, hash); node;
	     node = node->next) {
		if (node->hash == hash && source_of(node)->addr == addr)
			return source_of(node);
	}
	return NULL;
}

static void rest(struct control_sources *sources, struct control_source *source, uint64_t now)
{
	source->resting_since = now;
	TAILQ_INSERT_TAIL(&sources->resting, source, in_resting);
	sources->resting_count++;
}

static void wake(struct control_sources *sources, struct control_source *source)
{
	TAILQ_REMOVE(&sources->resting, source, in_resting);
	sources->resting_count--;
}

static void forget(struct control_sources *sources, struct control_source *source, uint64_t now)
{
	wake(sources, source);
	log_limit_clear(&source->lines, now);
	callid_index_del(&sources->index, &source->node);
	free(source);
}

static struct control_source *make(struct control_sources *sources, uint32_t addr, uint64_t now)
{
	char what[LOG_LIMIT_WHAT];
	struct control_source *source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	source->addr = addr;
	source->node.hash = hash_of(sources, addr);
	TAILQ_INIT(&source->guests);
	snprintf(what, sizeof(what), "connections and calls of %u.%u.%u.%u", addr >> 24,
		 addr >> 16 & 255, addr >> 8 & 255, addr & 255);
	log_limit_init(&source->lines, sources->config.limited, what);
	callid_index_add(&sources->index, &source->node);
	rest(sources, source, now);
	return source;
}

void control_sources_expire(struct control_sources *sources, uint64_t now)
{
	struct control_source *source;
	while ((source = TAILQ_FIRST(&sources->resting)) &&
	       (now - source->resting_since >= CONTROL_SOURCES_REST_MS ||
		sources->resting_count > CONTROL_SOURCES_RESTING))
		forget(sources, source, now);
}

/* ---- levels ---- */

static void leave_level(struct control_sources *sources, struct control_source *source)
{
	struct level *level = &sources->levels[source->half_open];
	if (source->half_open == 0)
		return;
	*(source->older ? &source->older->newer : &level->oldest) = source->newer;
	*(source->newer ? &source->newer->older : &level->newest) = source->older;
	source->older = source->newer = NULL;
}

static void enter_level(struct control_sources *sources, struct control_source *source,
			unsigned half_open)
{
	struct level *level = &sources->levels[half_open];
	source->half_open = half_open;
	if (half_open > 0) {
		source->older = level->newest;
		*(level->newest ? &level->newest->newer : &level->oldest) = source;
		level->newest = source;
	}
	if (half_open > sources->highest)
		sources->highest = half_open;
	/* Who leaves the highest one goes to the next below, so that one has somebody. */
	else if (sources->highest > 0 && !sources->levels[sources->highest].oldest)
		sources->highest--;
}

static void set_half_open(struct control_sources *sources, struct control_source *source,
			  unsigned half_open)
{
	leave_level(sources, source);
	enter_level(sources, source, half_open);
}

static int have_level(struct control_sources *sources, unsigned wanted)
{
	unsigned count = sources->level_count;
	if (wanted < count)
		return 0;
	while (count <= wanted)
		count = count ? 2 * count : LEVELS_FIRST;
	struct level *levels = realloc(sources->levels, count * sizeof(*levels));
	if (!levels)
		return -1;
	for (unsigned i = sources->level_count; i < count; i++)
		levels[i] = (struct level){NULL, NULL};
	sources->levels = levels;
	sources->level_count = count;
	return 0;
}

/* ---- guests ---- */

static uint64_t cost_us(const struct control_sources *sources)
{
	return sources->config.max_rate > 0 ? SECOND_US / sources->config.max_rate : 0;
}

enum control_sources_answer control_sources_ask(const struct control_sources *sources,
						uint32_t addr, uint64_t now)
{
	const struct control_sources_config *config = &sources->config;
	const struct control_source *source =
	    config->max > 0 || config->max_rate > 0 ? find(sources, addr) : NULL;
	if (!source)
		return CONTROL_SOURCES_WELCOME;
	if (config->max > 0 && source->connections >= config->max)
		return CONTROL_SOURCES_TOO_MANY;
	if (config->max_rate > 0 && source->due_us + cost_us(sources) > now * 1000 + SECOND_US)
		return CONTROL_SOURCES_TOO_FAST;
	return CONTROL_SOURCES_WELCOME;
}

static struct control_source *find_or_make(struct control_sources *sources, uint32_t addr,
					   uint64_t now)
{
	struct control_source *source = find(sources, addr);
	return source ? source : make(sources, addr, now);
}

static void count(struct control_sources *sources, struct control_source *source)
{
	if (source->connections++ == 0)
		wake(sources, source);
}

int control_sources_add(struct control_sources *sources, struct control_guest *guest, uint32_t addr,
			uint64_t now)
{
	struct control_source *source = find_or_make(sources, addr, now);
	if (!source || have_level(sources, source->half_open + 1) != 0)
		return -1; /* what was made rests */
	count(sources, source);
	if (source->due_us < now * 1000)
		source->due_us = now * 1000;
	source->due_us += cost_us(sources);
	*guest = (struct control_guest){.source = source, .half_open = true, .since = now};
	TAILQ_INSERT_TAIL(&source->guests, guest, in_half_open);
	set_half_open(sources, source, source->half_open + 1);
	return 0;
}

int control_sources_restore(struct control_sources *sources, struct control_guest *guest,
			    uint32_t addr, uint64_t now)
{
	struct control_source *source = find_or_make(sources, addr, now);
	if (!source)
		return -1;
	count(sources, source);
	*guest = (struct control_guest){.source = source, .since = now};
	return 0;
}

void control_sources_settle(struct control_sources *sources, struct control_guest *guest)
{
	struct control_source *source = guest->source;
	if (!guest->half_open)
		return;
	guest->half_open = false;
	TAILQ_REMOVE(&source->guests, guest, in_half_open);
	set_half_open(sources, source, source->half_open - 1);
}

void control_sources_del(struct control_sources *sources, struct control_guest *guest, uint64_t now)
{
	struct control_source *source = guest->source;
	if (!source)
		return;
	control_sources_settle(sources, guest);
	guest->source = NULL;
	if (--source->connections > 0)
		return;
	rest(sources, source, now);
	if (sources->resting_count > CONTROL_SOURCES_RESTING)
		control_sources_expire(sources, now);
}

struct control_guest *control_sources_oldest(const struct control_sources *sources)
{
	return sources->highest > 0 ? TAILQ_FIRST(&sources->levels[sources->highest].oldest->guests)
				    : NULL;
}

unsigned control_sources_half_open(const struct control_guest *guest)
{
	return guest->source ? guest->source->half_open : 0;
}

struct log_limit *control_sources_lines(const struct control_guest *guest)
{
	return guest->source ? &guest->source->lines : NULL;
}

/* ---- birth and death ---- */

void control_sources_set(struct control_sources *sources, unsigned max, unsigned max_rate)
{
	sources->config.max = max;
	sources->config.max_rate = max_rate;
}

struct control_sources *control_sources_new(const struct control_sources_config *config)
{
	struct control_sources *sources = calloc(1, sizeof(*sources));
	if (!sources)
		return NULL;
	sources->config = *config;
	TAILQ_INIT(&sources->resting);
	if (callid_index_init(&sources->index) != 0 || have_level(sources, 1) != 0 ||
	    getrandom(sources->seed, sizeof(sources->seed), 0) != sizeof(sources->seed)) {
		control_sources_free(sources);
		return NULL;
	}
	return sources;
}

void control_sources_free(struct control_sources *sources)
{
	struct control_source *source;
	if (!sources)
		return;
	while ((source = TAILQ_FIRST(&sources->resting)))
		forget(sources, source, source->resting_since);
	assert(sources->index.count == 0);
	callid_index_clear(&sources->index);
	free(sources->levels);
	free(sources);
}
