/*
 * Adding and removing a call is a few stores here, no system call.
 */
#include "fastpath/fastpath_memory.h"

#include "fastpath/fastpath_mapped.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A place for one address's routes. */
struct local {
	uint32_t addr;		       /* 0: none */
	uint32_t next_addr;	       /* asked for; 0: none */
	struct fastpath_route *routes; /* NULL: not there yet */
	unsigned used;		       /* of these */
};

struct fastpath_memory {
	fastpath_want *want;
	void *want_arg;
	uint32_t cpus;
	struct fastpath_clock clock;
	struct local locals[FASTPATH_LOCALS];
	/* of one chunk: FASTPATH_COUNTS_CALLS for each CPU */
	struct fastpath_counts *counts[FASTPATH_COUNTS_CHUNKS];
	bool counts_coming[FASTPATH_COUNTS_CHUNKS];
};

enum { ROUTES_SIZE = FASTPATH_IDS * sizeof(struct fastpath_route) };

static size_t counts_size(const struct fastpath_memory *memory)
{
	return FASTPATH_COUNTS_CALLS * (size_t)memory->cpus * sizeof(struct fastpath_counts);
}

/* ---- routes ---- */

/* Where the address has its routes, or will have them; FASTPATH_LOCALS: nowhere. */
static uint32_t place_of(const struct fastpath_memory *memory, uint32_t addr)
{
	uint32_t at = 0;
	for (; at < FASTPATH_LOCALS; at++) {
		const struct local *local = &memory->locals[at];
		if (local->next_addr ? local->next_addr == addr : local->addr == addr)
			break;
	}
	return at;
}

/* One whose address has no route any more, but a new one before that. */
static uint32_t free_place(const struct fastpath_memory *memory)
{
	uint32_t at = 0;
	while (at < FASTPATH_LOCALS && (memory->locals[at].routes || memory->locals[at].next_addr))
		at++;
	if (at < FASTPATH_LOCALS)
		return at;
	for (at = 0; at < FASTPATH_LOCALS; at++) {
		if (memory->locals[at].used == 0 && !memory->locals[at].next_addr)
			break;
	}
	return at;
}

bool fastpath_memory_want_routes(struct fastpath_memory *memory, uint32_t addr)
{
	if (place_of(memory, addr) < FASTPATH_LOCALS)
		return true;
	uint32_t at = free_place(memory);
	if (at == FASTPATH_LOCALS)
		return false;
	memory->locals[at].next_addr = addr;
	memory->want(memory->want_arg, &(struct fastpath_request){
					   .room = FASTPATH_ROOM_ROUTES, .at = at, .addr = addr});
	return true;
}

bool fastpath_memory_routes_coming(const struct fastpath_memory *memory, uint32_t addr)
{
	uint32_t at = place_of(memory, addr);
	return at < FASTPATH_LOCALS && memory->locals[at].next_addr;
}

struct fastpath_route *fastpath_memory_routes(const struct fastpath_memory *memory, uint32_t addr)
{
	uint32_t at = place_of(memory, addr);
	return at < FASTPATH_LOCALS && !memory->locals[at].next_addr ? memory->locals[at].routes
								     : NULL;
}

struct fastpath_route *fastpath_memory_place(const struct fastpath_memory *memory, uint32_t at,
					     uint32_t *addr)
{
	*addr = memory->locals[at].addr;
	return memory->locals[at].routes;
}

void fastpath_memory_use(struct fastpath_memory *memory, const struct fastpath_route *route,
			 bool used)
{
	for (uint32_t at = 0; at < FASTPATH_LOCALS; at++) {
		struct local *local = &memory->locals[at];
		if (local->routes && route >= local->routes && route < local->routes + FASTPATH_IDS)
			local->used += used ? 1 : -1U;
	}
}

static void routes_granted(struct fastpath_memory *memory, uint32_t at, uint32_t addr, int fd)
{
	struct local *local = &memory->locals[at];
	if (addr == 0 || local->next_addr != addr)
		return;
	local->next_addr = 0;
	if (fd >= 0 && !local->routes)
		local->routes = fastpath_mapped_open(fd, ROUTES_SIZE);
	if (fd >= 0)
		local->addr = local->routes ? addr : 0;
}

/* ---- counters ---- */

static uint32_t chunk_of(uint32_t slot)
{
	return slot / FASTPATH_COUNTS_CALLS;
}

void fastpath_memory_want_counts(struct fastpath_memory *memory, uint32_t slot)
{
	uint32_t chunk = chunk_of(slot);
	if (chunk >= FASTPATH_COUNTS_CHUNKS || memory->counts[chunk] ||
	    memory->counts_coming[chunk])
		return;
	memory->counts_coming[chunk] = true;
	memory->want(memory->want_arg,
		     &(struct fastpath_request){.room = FASTPATH_ROOM_COUNTS, .at = chunk});
}

bool fastpath_memory_counts_coming(const struct fastpath_memory *memory, uint32_t slot)
{
	return chunk_of(slot) < FASTPATH_COUNTS_CHUNKS && memory->counts_coming[chunk_of(slot)];
}

static void map_counts(struct fastpath_memory *memory, uint32_t chunk, int fd)
{
	/* Any thread may look there. */
	__atomic_store_n(&memory->counts[chunk], fastpath_mapped_open(fd, counts_size(memory)),
			 __ATOMIC_RELEASE);
}

static void counts_granted(struct fastpath_memory *memory, uint32_t chunk, int fd)
{
	if (!memory->counts_coming[chunk])
		return;
	memory->counts_coming[chunk] = false;
	if (fd >= 0)
		map_counts(memory, chunk, fd);
}

void fastpath_memory_granted(struct fastpath_memory *memory, const struct fastpath_request *request,
			     int fd)
{
	if (request->room == FASTPATH_ROOM_ROUTES && request->at < FASTPATH_LOCALS)
		routes_granted(memory, request->at, request->addr, fd);
	else if (request->room == FASTPATH_ROOM_COUNTS && request->at < FASTPATH_COUNTS_CHUNKS)
		counts_granted(memory, request->at, fd);
}

static struct fastpath_counts *counts_of(const struct fastpath_memory *memory, uint32_t slot)
{
	return chunk_of(slot) < FASTPATH_COUNTS_CHUNKS
		   ? __atomic_load_n(&memory->counts[chunk_of(slot)], __ATOMIC_ACQUIRE)
		   : NULL;
}

bool fastpath_memory_has_counts(const struct fastpath_memory *memory, uint32_t slot)
{
	return counts_of(memory, slot) != NULL;
}

void fastpath_memory_count_from_zero(struct fastpath_memory *memory, uint32_t slot)
{
	struct fastpath_counts *counts = counts_of(memory, slot) + slot % FASTPATH_COUNTS_CALLS;
	for (uint32_t cpu = 0; cpu < memory->cpus; cpu++)
		memset(counts + cpu * FASTPATH_COUNTS_CALLS, 0, sizeof(*counts));
}

static uint64_t relaxed(const uint64_t *value)
{
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static uint64_t time_of(const struct fastpath_clock *clock, uint64_t jiffies)
{
	int64_t ticks = (int64_t)(jiffies - clock->jiffies);
	return clock->ns + (uint64_t)(ticks * (int64_t)clock->tick_ns);
}

void fastpath_memory_counts(const struct fastpath_memory *memory, uint32_t slot,
			    struct fastpath_sum from[static 2])
{
	const struct fastpath_counts *counts = counts_of(memory, slot);
	for (int side = 0; side < 2; side++) {
		const struct fastpath_counts *at = counts + slot % FASTPATH_COUNTS_CALLS;
		uint64_t seen = 0;
		from[side] = (struct fastpath_sum){0};
		for (uint32_t cpu = 0; counts && cpu < memory->cpus;
		     cpu++, at += FASTPATH_COUNTS_CALLS) {
			from[side].packets += relaxed(&at->from[side].packets);
			from[side].octets += relaxed(&at->from[side].octets);
			if (relaxed(&at->from[side].seen_jiffies) > seen)
				seen = relaxed(&at->from[side].seen_jiffies);
		}
		from[side].seen_ns = seen ? time_of(&memory->clock, seen) : 0;
	}
}

/* ---- birth and death ---- */

static bool map_given(struct fastpath_memory *memory, const struct fastpath_given *given)
{
	for (uint32_t at = 0; at < FASTPATH_LOCALS; at++) {
		struct local *local = &memory->locals[at];
		int fd = given->fds[FASTPATH_GIVEN_ROUTES + at];
		if (fd < 0)
			continue;
		local->addr = given->locals[at];
		local->routes = fastpath_mapped_open(fd, ROUTES_SIZE);
		if (!local->routes)
			return false;
	}
	for (uint32_t chunk = 0; chunk < FASTPATH_COUNTS_CHUNKS; chunk++) {
		int fd = given->fds[FASTPATH_GIVEN_COUNTS + chunk];
		if (fd < 0)
			continue;
		map_counts(memory, chunk, fd);
		if (!memory->counts[chunk])
			return false;
	}
	return true;
}

struct fastpath_memory *fastpath_memory_open(const struct fastpath_given *given,
					     fastpath_want *want, void *want_arg, struct why *why)
{
	struct fastpath_memory *memory = calloc(1, sizeof(*memory));
	if (!memory) {
		why_set(why, "no memory");
		return NULL;
	}
	memory->want = want;
	memory->want_arg = want_arg;
	memory->cpus = given->cpus;
	memory->clock = given->clock;
	if (!map_given(memory, given)) {
		why_set(why, "its maps cannot be mapped: %s", strerror(errno));
		fastpath_memory_close(memory);
		return NULL;
	}
	return memory;
}

void fastpath_memory_close(struct fastpath_memory *memory)
{
	if (!memory)
		return;
	for (int i = 0; i < FASTPATH_LOCALS; i++)
		fastpath_mapped_close(memory->locals[i].routes, ROUTES_SIZE);
	for (int i = 0; i < FASTPATH_COUNTS_CHUNKS; i++)
		fastpath_mapped_close(memory->counts[i], counts_size(memory));
	free(memory);
}
