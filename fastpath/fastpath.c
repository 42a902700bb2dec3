/*
 * A call enters the maps once its Reply has been passed on, and leaves them at its end. Both are a
 * few stores. Its ways start on the raw way, until what was held there has gone.
 *
 * Whatever a worker who died has left there is judged record by record: a route that a call of the
 * table would have is that call's, any other is nobody's.
 */
#include "fastpath/fastpath.h"

#include "fastpath/fastpath_memory.h"
#include "fastpath/fastpath_record.h"
#include "fastpath/fastpath_wanted.h"
#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

_Static_assert(FASTPATH_COUNTS_CALLS *FASTPATH_COUNTS_CHUNKS ==
		   CALLID_SLOTS_A_CHUNK * CALLID_CHUNKS_MAX,
	       "each call of the table has counters");

/* For the GRE thread to wake up and send what it has held. */
enum { SETTLE_NS = 50 * 1000 * 1000 };

/* A call that has been released; by its slot. */
struct carried {
	callid_ref call;
	bool live;
	bool counted;		       /* the counters of its slot are its own */
	bool waiting;		       /* for room; in the list */
	int hop[2];		       /* towards each side; -1: none */
	struct fastpath_route *way[2]; /* of packets from each side; NULL: on the raw way */
	LIST_ENTRY(carried) in_waiting;
};

struct fastpath {
	struct callid_db *db;
	struct fastpath_memory *memory;
	struct fastpath_wanted *wanted;
	uint64_t *carried;
	bool full_told;
	struct carried *chunks[CALLID_CHUNKS_MAX]; /* of CALLID_SLOTS_A_CHUNK */
	LIST_HEAD(, carried) waiting;
};

static struct carried *carried_in(const struct fastpath *fastpath, uint32_t slot)
{
	struct carried *chunk = slot / CALLID_SLOTS_A_CHUNK < CALLID_CHUNKS_MAX
				    ? fastpath->chunks[slot / CALLID_SLOTS_A_CHUNK]
				    : NULL;
	return chunk ? &chunk[slot % CALLID_SLOTS_A_CHUNK] : NULL;
}

static struct carried *carried_of(const struct fastpath *fastpath, callid_ref call)
{
	struct carried *carried = carried_in(fastpath, callid_slot(call));
	return carried && carried->call == call ? carried : NULL;
}

static struct carried *make_carried(struct fastpath *fastpath, callid_ref call)
{
	struct carried **chunk = &fastpath->chunks[callid_slot(call) / CALLID_SLOTS_A_CHUNK];
	if (!*chunk)
		*chunk = calloc(CALLID_SLOTS_A_CHUNK, sizeof(**chunk));
	return carried_in(fastpath, callid_slot(call));
}

/* ---- ways ---- */

/* What is settled at once: all but the sequence number and the times. */
static const size_t route_first = offsetof(struct fastpath_route, peer_be),
		    route_size = offsetof(struct fastpath_route, raw_until_ns) -
				 offsetof(struct fastpath_route, peer_be);

static struct fastpath_route route_of(const struct carried *carried, const struct callid_info *info,
				      enum callid_side from)
{
	enum callid_side to = callid_other(from);
	return (struct fastpath_route){
	    .peer_be = htonl(info->legs[from].peer_addr),
	    .source_be = htonl(info->legs[to].proxy_addr),
	    .destination_be = htonl(info->legs[to].peer_addr),
	    .call_id_be = htons(info->id[to]),
	    .from = (uint16_t)from,
	    .slot = callid_slot(carried->call),
	    .hop = (uint32_t)carried->hop[to],
	    .back = (uint32_t)carried->hop[from],
	};
}

static void use_way(struct fastpath *fastpath, struct carried *carried, enum callid_side from,
		    struct fastpath_route *route)
{
	fastpath_memory_use(fastpath->memory, route, true);
	carried->way[from] = route;
}

static void add_way(struct fastpath *fastpath, struct carried *carried,
		    const struct callid_info *info, enum callid_side from)
{
	struct fastpath_route *routes =
	    fastpath_memory_routes(fastpath->memory, info->legs[from].proxy_addr);
	struct fastpath_route *route = routes ? &routes[info->shown[from]] : NULL;
	struct fastpath_route wanted = route_of(carried, info, from);
	/* Another peer's way may have this call ID of this address of ours. */
	if (carried->way[from] || !route || route->peer_be != 0 || carried->hop[0] < 0 ||
	    carried->hop[1] < 0)
		return;
	fastpath_record_begin(&route->seq);
	memcpy((char *)route + route_first, (char *)&wanted + route_first, route_size);
	route->raw_until_ns = monotonic_ns() + SETTLE_NS;
	route->raw_at_most_ns = route->raw_until_ns + FASTPATH_HOLD_NS;
	fastpath_record_end(&route->seq);
	use_way(fastpath, carried, from, route);
}

static void clear_route(struct fastpath_route *route)
{
	fastpath_record_begin(&route->seq);
	route->peer_be = 0;
	fastpath_record_end(&route->seq);
}

static void del_way(struct fastpath *fastpath, struct carried *carried, enum callid_side from)
{
	struct fastpath_route *route = carried->way[from];
	if (!route)
		return;
	clear_route(route);
	fastpath_memory_use(fastpath->memory, route, false);
	carried->way[from] = NULL;
}

/* ---- room ---- */

static void want_room(struct fastpath *fastpath, const struct carried *carried,
		      const struct callid_info *info)
{
	bool all = true;
	fastpath_memory_want_counts(fastpath->memory, callid_slot(carried->call));
	for (int side = 0; side < 2; side++)
		all &= fastpath_memory_want_routes(fastpath->memory, info->legs[side].proxy_addr);
	if (all || fastpath->full_told)
		return;
	fastpath->full_told = true;
	log_warning("fast path: calls at more than %d addresses of this host: those at others stay "
		    "on the raw way",
		    FASTPATH_LOCALS);
}

static bool is_room_coming(const struct fastpath *fastpath, const struct carried *carried,
			   const struct callid_info *info)
{
	const struct fastpath_memory *memory = fastpath->memory;
	return fastpath_memory_counts_coming(memory, callid_slot(carried->call)) ||
	       fastpath_memory_routes_coming(memory, info->legs[0].proxy_addr) ||
	       fastpath_memory_routes_coming(memory, info->legs[1].proxy_addr);
}

/* ---- calls ---- */

static void set_waiting(struct fastpath *fastpath, struct carried *carried, bool waiting)
{
	if (waiting && !carried->waiting)
		LIST_INSERT_HEAD(&fastpath->waiting, carried, in_waiting);
	else if (!waiting && carried->waiting)
		LIST_REMOVE(carried, in_waiting);
	carried->waiting = waiting;
}

/* As far as there is room by now; or later. */
static void add_ways(struct fastpath *fastpath, struct carried *carried,
		     const struct callid_info *info)
{
	uint32_t slot = callid_slot(carried->call);
	bool coming = is_room_coming(fastpath, carried, info);
	set_waiting(fastpath, carried, coming);
	if (coming || !fastpath_memory_has_counts(fastpath->memory, slot))
		return;
	if (!carried->counted)
		fastpath_memory_count_from_zero(fastpath->memory, slot);
	carried->counted = true;
	for (int side = 0; side < 2; side++)
		add_way(fastpath, carried, info, (enum callid_side)side);
}

static void get_hops(struct fastpath *fastpath, struct carried *carried,
		     const struct callid_info *info)
{
	for (int side = 0; side < 2; side++)
		carried->hop[side] = fastpath_wanted_get(
		    fastpath->wanted, info->legs[side].proxy_addr, info->legs[side].peer_addr);
}

static struct carried *start_call(struct fastpath *fastpath, callid_ref call,
				  const struct callid_info *info)
{
	struct carried *carried = make_carried(fastpath, call);
	if (!carried || (carried->live && carried->call == call))
		return NULL;
	*carried = (struct carried){.call = call, .live = true};
	get_hops(fastpath, carried, info);
	return carried;
}

static void add_call(struct fastpath *fastpath, callid_ref call)
{
	struct callid_info info;
	struct carried *carried;
	if (!callid_db_get(fastpath->db, call, &info) || info.watched)
		return;
	carried = start_call(fastpath, call, &info);
	if (!carried)
		return;
	want_room(fastpath, carried, &info);
	add_ways(fastpath, carried, &info);
}

/* All of its packets take the raw way. */
static void leave_call(struct fastpath *fastpath, struct carried *carried)
{
	set_waiting(fastpath, carried, false);
	for (int side = 0; side < 2; side++)
		del_way(fastpath, carried, (enum callid_side)side);
	for (int side = 0; side < 2; side++) {
		if (carried->hop[side] >= 0)
			fastpath_wanted_put(fastpath->wanted, carried->hop[side]);
		carried->hop[side] = -1;
	}
}

static void del_call(struct fastpath *fastpath, callid_ref call)
{
	struct carried *carried = carried_of(fastpath, call);
	if (!carried || !carried->live)
		return;
	leave_call(fastpath, carried);
	carried->live = false; /* its counters can still be asked for */
	if (!carried->counted)
		return;
	struct fastpath_sum sums[2];
	fastpath_memory_counts(fastpath->memory, callid_slot(call), sums);
	*fastpath->carried += sums[0].packets + sums[1].packets;
}

/* Its counters go on, wherever it is. */
static void change_call(struct fastpath *fastpath, callid_ref call)
{
	struct carried *carried = carried_of(fastpath, call);
	struct callid_info info;
	if (!callid_db_get(fastpath->db, call, &info) || !info.open || !info.released)
		return;
	if (!carried || !carried->live) {
		add_call(fastpath, call);
		return;
	}
	leave_call(fastpath, carried);
	if (info.watched)
		return;
	get_hops(fastpath, carried, &info);
	want_room(fastpath, carried, &info);
	add_ways(fastpath, carried, &info);
}

static void on_table_change(void *arg, callid_ref call, enum callid_event event)
{
	if (event == CALLID_RELEASED)
		add_call(arg, call);
	else if (event == CALLID_CHANGED)
		change_call(arg, call);
	else if (event == CALLID_ENDED)
		del_call(arg, call);
}

static void add_counts(void *arg, callid_ref call, struct callid_counts from[2])
{
	const struct fastpath *fastpath = arg;
	const struct carried *carried = carried_of(fastpath, call);
	struct fastpath_sum sums[2];
	if (!carried || !carried->counted)
		return;
	fastpath_memory_counts(fastpath->memory, callid_slot(call), sums);
	for (int side = 0; side < 2; side++) {
		uint64_t seen_ns = sums[side].seen_ns;
		uint64_t seen_at = seen_ns ? seen_ns / 1000000 + 1 : 0; /* as monotonic_ms */
		from[side].packets += sums[side].packets;
		from[side].octets += sums[side].octets;
		if (seen_at > from[side].seen_at)
			from[side].seen_at = seen_at;
	}
}

void fastpath_granted(struct fastpath *fastpath, const struct fastpath_request *request, int fd)
{
	struct carried *carried, *next;
	struct callid_info info;
	fastpath_memory_granted(fastpath->memory, request, fd);
	for (carried = LIST_FIRST(&fastpath->waiting); carried; carried = next) {
		next = LIST_NEXT(carried, in_waiting);
		if (callid_db_get(fastpath->db, carried->call, &info))
			add_ways(fastpath, carried, &info);
	}
}

/* ---- after another worker ---- */

static void note_call(void *arg, callid_ref call, const struct callid_info *info)
{
	if (info->open && info->released && !info->watched)
		start_call(arg, call, info);
}

static void complete_call(void *arg, callid_ref call, const struct callid_info *info)
{
	struct fastpath *fastpath = arg;
	struct carried *carried = carried_of(fastpath, call);
	if (!carried || !carried->live)
		return;
	want_room(fastpath, carried, info);
	add_ways(fastpath, carried, info);
}

/* The call whose way it is, as it would be written now; NULL: nobody's, or half written. */
static struct carried *owner_of(struct fastpath *fastpath, const struct fastpath_route *route,
				uint32_t addr, uint16_t id)
{
	struct carried *carried = carried_in(fastpath, route->slot);
	struct callid_info info;
	if (route->seq & 1 || route->from > 1 || !carried || !carried->live ||
	    !callid_db_get(fastpath->db, carried->call, &info))
		return NULL;
	struct fastpath_route wanted = route_of(carried, &info, (enum callid_side)route->from);
	bool same = info.legs[route->from].proxy_addr == addr && info.shown[route->from] == id &&
		    memcmp((const char *)route + route_first, (char *)&wanted + route_first,
			   route_size) == 0;
	return same ? carried : NULL;
}

static void judge_route(struct fastpath *fastpath, struct fastpath_route *route, uint32_t addr,
			uint16_t id)
{
	struct carried *carried = owner_of(fastpath, route, addr, id);
	if (!carried) {
		clear_route(route);
		return;
	}
	if (!carried->way[route->from])
		use_way(fastpath, carried, (enum callid_side)route->from, route);
	carried->counted = true;
}

static void judge_routes(struct fastpath *fastpath, struct fastpath_route *routes, uint32_t addr)
{
	for (uint32_t id = 0; id < FASTPATH_IDS; id++) {
		if (routes[id].peer_be != 0 || routes[id].seq & 1)
			judge_route(fastpath, &routes[id], addr, (uint16_t)id);
	}
}

void fastpath_restore(struct fastpath *fastpath)
{
	callid_db_each(fastpath->db, note_call, fastpath);
	for (uint32_t at = 0; at < FASTPATH_LOCALS; at++) {
		uint32_t addr;
		struct fastpath_route *routes = fastpath_memory_place(fastpath->memory, at, &addr);
		if (routes)
			judge_routes(fastpath, routes, addr);
	}
	callid_db_each(fastpath->db, complete_call, fastpath);
	fastpath_wanted_put_unused(fastpath->wanted);
}

/* ---- birth and death ---- */

static int open_all(struct fastpath *fastpath, const struct fastpath_config *config,
		    struct why *why)
{
	const struct fastpath_given *given = config->given;
	if (given->layout != FASTPATH_LAYOUT)
		return why_set(why, "the keeper's maps are laid out in another way");
	fastpath->memory = fastpath_memory_open(given, config->want, config->want_arg, why);
	if (!fastpath->memory)
		return -1;
	fastpath->wanted = fastpath_wanted_open(given->fds[FASTPATH_GIVEN_WANTED],
						given->fds[FASTPATH_GIVEN_WAKE], why);
	return fastpath->wanted ? 0 : -1;
}

int fastpath_open(struct fastpath **out, const struct fastpath_config *config, struct why *why)
{
	struct why reason;
	*out = NULL;
	struct fastpath *fastpath = calloc(1, sizeof(*fastpath));
	if (!fastpath)
		return why_set(why, "fast path: no memory");
	fastpath->db = config->db;
	fastpath->carried = config->carried;
	LIST_INIT(&fastpath->waiting);
	if (open_all(fastpath, config, &reason) != 0) {
		fastpath_close(fastpath);
		return why_set(why, "fast path: %s", reason.text);
	}
	callid_db_observe(config->db, on_table_change, fastpath);
	callid_db_count_also(config->db, add_counts, fastpath);
	*out = fastpath;
	return 0;
}

uint64_t fastpath_carried(const struct fastpath *fastpath)
{
	return *fastpath->carried;
}

static uint64_t carrying_in_chunk(const struct fastpath *fastpath, const struct carried *chunk)
{
	uint64_t packets = 0;
	for (int i = 0; i < CALLID_SLOTS_A_CHUNK; i++) {
		struct fastpath_sum sums[2];
		if (!chunk[i].live || !chunk[i].counted)
			continue;
		fastpath_memory_counts(fastpath->memory, callid_slot(chunk[i].call), sums);
		packets += sums[0].packets + sums[1].packets;
	}
	return packets;
}

uint64_t fastpath_carrying(const struct fastpath *fastpath)
{
	uint64_t packets = 0;
	for (int i = 0; i < CALLID_CHUNKS_MAX; i++) {
		if (fastpath->chunks[i])
			packets += carrying_in_chunk(fastpath, fastpath->chunks[i]);
	}
	return packets;
}

bool fastpath_has(const struct fastpath *fastpath, callid_ref call)
{
	const struct carried *carried = carried_of(fastpath, call);
	return carried && carried->live && carried->way[0] && carried->way[1];
}

void fastpath_close(struct fastpath *fastpath)
{
	if (!fastpath)
		return;
	fastpath_wanted_close(fastpath->wanted);
	fastpath_memory_close(fastpath->memory);
	for (int i = 0; i < CALLID_CHUNKS_MAX; i++)
		free(fastpath->chunks[i]);
	free(fastpath);
}
