/*
 * A call enters the maps once its Reply has been passed on, and leaves them at its end. Both are a
 * few stores. Its ways start on the raw way, until what was held there has gone.
 */
#include "fastpath/fastpath.h"

#include "fastpath/fastpath_hops.h"
#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_netlink.h"
#include "fastpath/fastpath_ports.h"
#include "host/log.h"
#include "host/monotonic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(FASTPATH_COUNTS_CALLS *FASTPATH_COUNTS_CHUNKS ==
		   CALLID_SLOTS_A_CHUNK * CALLID_CHUNKS_MAX,
	       "each call of the table has counters");

/* For the GRE thread to wake up and send what it has held. */
enum { SETTLE_NS = 50 * 1000 * 1000 };

/* A call that has been in the maps; by its slot. */
struct carried {
	callid_ref call;
	bool live;
	int hop[2];		       /* towards each side; -1: none */
	struct fastpath_route *way[2]; /* of packets from each side; NULL: on the raw way */
};

struct fastpath {
	struct callid_db *db;
	struct fastpath_maps *maps;
	struct fastpath_netlink *netlink;
	struct fastpath_ports *ports;
	struct fastpath_hops *hops;
	uint64_t carried;
	bool full_told;
	struct carried *chunks[CALLID_CHUNKS_MAX]; /* of CALLID_SLOTS_A_CHUNK */
};

static struct carried *carried_of(const struct fastpath *fastpath, callid_ref call)
{
	uint32_t slot = callid_slot(call);
	struct carried *chunk = fastpath->chunks[slot / CALLID_SLOTS_A_CHUNK];
	return chunk ? &chunk[slot % CALLID_SLOTS_A_CHUNK] : NULL;
}

static struct carried *make_carried(struct fastpath *fastpath, callid_ref call)
{
	struct carried **chunk = &fastpath->chunks[callid_slot(call) / CALLID_SLOTS_A_CHUNK];
	if (!*chunk)
		*chunk = calloc(CALLID_SLOTS_A_CHUNK, sizeof(**chunk));
	return carried_of(fastpath, call);
}

/* ---- ways ---- */

/* NULL: another peer's way has this call ID of this address of ours, or there is no room. */
static struct fastpath_route *free_route(struct fastpath *fastpath, const struct callid_info *info,
					 enum callid_side from)
{
	struct fastpath_route *routes =
	    fastpath_maps_routes(fastpath->maps, info->legs[from].proxy_addr);
	if (!routes && errno == ENOSPC && !fastpath->full_told) {
		fastpath->full_told = true;
		log_warning("fast path: calls at more than %d addresses of this host: those at "
			    "others stay on the raw way",
			    FASTPATH_LOCALS);
	}
	if (!routes || routes[info->shown[from]].peer_be != 0)
		return NULL;
	return &routes[info->shown[from]];
}

static void add_way(struct fastpath *fastpath, struct carried *carried,
		    const struct callid_info *info, enum callid_side from)
{
	enum callid_side to = callid_other(from);
	struct fastpath_route *route = free_route(fastpath, info, from);
	carried->way[from] = NULL;
	if (!route || carried->hop[0] < 0 || carried->hop[1] < 0)
		return;
	fastpath_maps_write_begin(&route->seq);
	route->peer_be = htonl(info->legs[from].peer_addr);
	route->source_be = htonl(info->legs[to].proxy_addr);
	route->destination_be = htonl(info->legs[to].peer_addr);
	route->call_id_be = htons(info->id[to]);
	route->from = (uint16_t)from;
	route->slot = callid_slot(carried->call);
	route->hop = (uint32_t)carried->hop[to];
	route->back = (uint32_t)carried->hop[from];
	route->raw_until_ns = monotonic_ns() + SETTLE_NS;
	route->raw_at_most_ns = route->raw_until_ns + FASTPATH_HOLD_NS;
	fastpath_maps_write_end(&route->seq);
	fastpath_maps_use(fastpath->maps, route, true);
	carried->way[from] = route;
}

static void del_way(struct fastpath *fastpath, struct carried *carried, enum callid_side from)
{
	struct fastpath_route *route = carried->way[from];
	if (!route)
		return;
	fastpath_maps_write_begin(&route->seq);
	route->peer_be = 0;
	fastpath_maps_write_end(&route->seq);
	fastpath_maps_use(fastpath->maps, route, false);
}

/* ---- calls ---- */

static void add_call(struct fastpath *fastpath, callid_ref call)
{
	struct callid_info info;
	struct carried *carried = make_carried(fastpath, call);
	if (!carried || !callid_db_get(fastpath->db, call, &info) ||
	    fastpath_maps_count_from_zero(fastpath->maps, callid_slot(call)) != 0)
		return;
	*carried = (struct carried){.call = call, .live = true};
	for (int side = 0; side < 2; side++)
		carried->hop[side] = fastpath_hops_get(fastpath->hops, info.legs[side].proxy_addr,
						       info.legs[side].peer_addr);
	for (int side = 0; side < 2; side++)
		add_way(fastpath, carried, &info, (enum callid_side)side);
}

static void del_call(struct fastpath *fastpath, callid_ref call)
{
	struct carried *carried = carried_of(fastpath, call);
	if (!carried || carried->call != call || !carried->live)
		return;
	for (int side = 0; side < 2; side++)
		del_way(fastpath, carried, (enum callid_side)side);
	for (int side = 0; side < 2; side++) {
		if (carried->hop[side] >= 0)
			fastpath_hops_put(fastpath->hops, carried->hop[side]);
	}
	struct fastpath_sum sums[2];
	fastpath_maps_counts(fastpath->maps, callid_slot(call), sums);
	fastpath->carried += sums[0].packets + sums[1].packets;
	carried->live = false; /* its counters can still be asked for */
}

static void on_table_change(void *arg, callid_ref call, enum callid_event event)
{
	if (event == CALLID_RELEASED)
		add_call(arg, call);
	else if (event == CALLID_ENDED)
		del_call(arg, call);
}

static void add_counts(void *arg, callid_ref call, struct callid_counts from[2])
{
	const struct fastpath *fastpath = arg;
	const struct carried *carried = carried_of(fastpath, call);
	struct fastpath_sum sums[2];
	if (!carried || carried->call != call)
		return;
	fastpath_maps_counts(fastpath->maps, callid_slot(call), sums);
	for (int side = 0; side < 2; side++) {
		uint64_t seen_ns = sums[side].seen_ns;
		uint64_t seen_at = seen_ns ? seen_ns / 1000000 + 1 : 0; /* as monotonic_ms */
		from[side].packets += sums[side].packets;
		from[side].octets += sums[side].octets;
		if (seen_at > from[side].seen_at)
			from[side].seen_at = seen_at;
	}
}

/* ---- birth and death ---- */

static int open_all(struct fastpath *fastpath, const struct fastpath_config *config,
		    struct why *why)
{
	fastpath->maps = fastpath_maps_open(why);
	if (!fastpath->maps)
		return -1;
	fastpath->netlink = fastpath_netlink_open(why);
	if (!fastpath->netlink)
		return -1;
	fastpath->ports = fastpath_ports_open(config, fastpath->maps, fastpath->netlink, why);
	if (!fastpath->ports)
		return -1;
	fastpath->hops =
	    fastpath_hops_open(fastpath->maps, fastpath->netlink, fastpath->ports, why);
	return fastpath->hops ? 0 : -1;
}

int fastpath_open(struct fastpath **out, const struct fastpath_config *config, struct why *why)
{
	struct why reason;
	*out = NULL;
	if (config->mode == FASTPATH_OFF)
		return 0;
	struct fastpath *fastpath = calloc(1, sizeof(*fastpath));
	if (!fastpath)
		return why_set(why, "fast path: no memory");
	fastpath->db = config->db;
	if (open_all(fastpath, config, &reason) != 0) {
		fastpath_close(fastpath);
		if (config->mode != FASTPATH_AUTO || config->interface_count > 0)
			return why_set(why, "fast path: %s", reason.text);
		log_warning("no fast path: %s", reason.text);
		return 0;
	}
	callid_db_observe(config->db, on_table_change, fastpath);
	callid_db_count_also(config->db, add_counts, fastpath);
	*out = fastpath;
	return 0;
}

uint64_t fastpath_carried(const struct fastpath *fastpath)
{
	return fastpath->carried;
}

void fastpath_close(struct fastpath *fastpath)
{
	if (!fastpath)
		return;
	fastpath_hops_close(fastpath->hops);
	fastpath_ports_close(fastpath->ports);
	fastpath_netlink_close(fastpath->netlink);
	fastpath_maps_close(fastpath->maps);
	for (int i = 0; i < CALLID_CHUNKS_MAX; i++)
		free(fastpath->chunks[i]);
	free(fastpath);
}
