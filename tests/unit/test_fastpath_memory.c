/*
 * Routes and counters as memory of this process: what is written there is what the maps hold. Room
 * is granted at once, or when a case says so.
 */
#include "fastpath/fastpath_maps.h"
#include "fastpath/fastpath_memory.h"

#include "tests/unit/own_net.h"
#include <setjmp.h>
#include <stddef.h>

#include <cmocka.h>

enum { REQUESTS_MAX = 8 };

static struct fastpath_maps *maps;
static struct fastpath_memory *memory;
static struct fastpath_request requests[REQUESTS_MAX]; /* without an answer */
static size_t request_count;
static bool later; /* answers come when the case gives them */

static int grant(const struct fastpath_request *request)
{
	return request->room == FASTPATH_ROOM_ROUTES
		   ? fastpath_maps_routes(maps, request->at, request->addr)
		   : fastpath_maps_counts(maps, request->at);
}

static void want(void *arg, const struct fastpath_request *request)
{
	(void)arg;
	if (!later) {
		fastpath_memory_granted(memory, request, grant(request));
		return;
	}
	assert_true(request_count < REQUESTS_MAX);
	requests[request_count++] = *request;
}

static void answer(size_t number)
{
	fastpath_memory_granted(memory, &requests[number], grant(&requests[number]));
}

static int open_memory(void)
{
	static struct fastpath_given given;
	struct why why;
	fastpath_maps_give(maps, &given);
	memory = fastpath_memory_open(&given, want, NULL, &why);
	return memory ? 0 : OWN_NET_CANNOT(&why);
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	later = false;
	request_count = 0;
	if (own_net_lacks[0])
		return 0;
	maps = fastpath_maps_open(&why);
	return maps ? open_memory() : OWN_NET_CANNOT(&why);
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_memory_close(memory);
	memory = NULL;
	fastpath_maps_close(maps);
	maps = NULL;
	return 0;
}

/* Asked for and granted at once. */
static struct fastpath_route *routes_of(uint32_t addr)
{
	return fastpath_memory_want_routes(memory, addr) ? fastpath_memory_routes(memory, addr)
							 : NULL;
}

/* ---- routes ---- */

static void routes_of_an_address_are_made_once(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	assert_null(fastpath_memory_routes(memory, OWN_NET_INSIDE));
	struct fastpath_route *inside = routes_of(OWN_NET_INSIDE);
	assert_non_null(inside);
	assert_ptr_equal(routes_of(OWN_NET_INSIDE), inside);
	struct fastpath_route *outside = routes_of(OWN_NET_OUTSIDE);
	assert_non_null(outside);
	assert_true(outside >= inside + FASTPATH_IDS || inside >= outside + FASTPATH_IDS);
	for (int id = 0; id < FASTPATH_IDS; id++)
		assert_int_equal(inside[id].peer_be, 0);
	inside[0].peer_be = inside[FASTPATH_IDS - 1].peer_be = 7;
	assert_int_equal(outside[0].peer_be, 0);
	assert_ptr_equal(routes_of(OWN_NET_INSIDE), inside);
	assert_int_equal(inside[FASTPATH_IDS - 1].peer_be, 7);
}

static void so_many_addresses(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	struct fastpath_route *first = routes_of(1);
	fastpath_memory_use(memory, first, true);
	for (uint32_t addr = 2; addr <= FASTPATH_LOCALS; addr++)
		fastpath_memory_use(memory, routes_of(addr) + addr, true);
	assert_false(fastpath_memory_want_routes(memory, FASTPATH_LOCALS + 1));
	assert_null(fastpath_memory_routes(memory, FASTPATH_LOCALS + 1));
	assert_ptr_equal(routes_of(1), first);

	/* One has no route any more: another address gets its place. */
	struct fastpath_route *third = routes_of(3);
	fastpath_memory_use(memory, third + 3, false);
	assert_ptr_equal(routes_of(FASTPATH_LOCALS + 1), third);
	fastpath_memory_use(memory, third, true);
	assert_null(routes_of(3));
	assert_ptr_equal(routes_of(FASTPATH_LOCALS + 1), third);
}

static void the_next_worker_finds_them(void **state)
{
	uint32_t addr;
	(void)state;
	OWN_NET_NEEDED();
	routes_of(OWN_NET_INSIDE);
	routes_of(OWN_NET_OUTSIDE)[77].peer_be = 7;
	fastpath_memory_want_counts(memory, 0);
	fastpath_memory_close(memory);
	later = true; /* nothing is asked for again */
	assert_int_equal(open_memory(), 0);
	assert_int_equal(routes_of(OWN_NET_OUTSIDE)[77].peer_be, 7);
	assert_ptr_equal(fastpath_memory_place(memory, 1, &addr), routes_of(OWN_NET_OUTSIDE));
	assert_int_equal(addr, OWN_NET_OUTSIDE);
	assert_null(fastpath_memory_place(memory, 2, &addr));
	assert_true(fastpath_memory_has_counts(memory, 0));
	assert_int_equal(request_count, 0);
}

/* ---- answers that take their time ---- */

static void asked_for_once(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	later = true;
	for (int i = 0; i < 2; i++) {
		assert_true(fastpath_memory_want_routes(memory, OWN_NET_INSIDE));
		fastpath_memory_want_counts(memory, 5);
		fastpath_memory_want_counts(memory, 6); /* the same chunk */
	}
	assert_int_equal(request_count, 2);
	assert_true(fastpath_memory_routes_coming(memory, OWN_NET_INSIDE));
	assert_false(fastpath_memory_routes_coming(memory, OWN_NET_OUTSIDE));
	assert_true(fastpath_memory_counts_coming(memory, 6));
	assert_null(fastpath_memory_routes(memory, OWN_NET_INSIDE));
	assert_false(fastpath_memory_has_counts(memory, 5));
	answer(0);
	assert_false(fastpath_memory_routes_coming(memory, OWN_NET_INSIDE));
	assert_non_null(fastpath_memory_routes(memory, OWN_NET_INSIDE));
	answer(1);
	assert_true(fastpath_memory_has_counts(memory, 5));
	answer(0); /* twice */
	assert_non_null(fastpath_memory_routes(memory, OWN_NET_INSIDE));
}

static void refused(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	later = true;
	fastpath_memory_want_routes(memory, OWN_NET_INSIDE);
	fastpath_memory_want_counts(memory, 5);
	fastpath_memory_granted(memory, &requests[0], -1);
	fastpath_memory_granted(memory, &requests[1], -1);
	assert_false(fastpath_memory_routes_coming(memory, OWN_NET_INSIDE));
	assert_false(fastpath_memory_counts_coming(memory, 5));
	assert_null(fastpath_memory_routes(memory, OWN_NET_INSIDE));
	assert_false(fastpath_memory_has_counts(memory, 5));
	later = false;
	assert_non_null(routes_of(OWN_NET_INSIDE));
}

/* Until the answer it is nobody's; where it was refused it is whose it was. */
static void a_place_on_its_way_to_another_address(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	for (uint32_t addr = 1; addr <= FASTPATH_LOCALS; addr++)
		fastpath_memory_use(memory, routes_of(addr), addr != 3);
	fastpath_memory_use(memory, routes_of(3), true);
	struct fastpath_route *third = routes_of(3);
	later = true;
	assert_true(fastpath_memory_want_routes(memory, 1000));
	assert_int_equal(requests[0].at, 2);
	assert_null(fastpath_memory_routes(memory, 3));
	assert_false(fastpath_memory_want_routes(memory, 1001));
	fastpath_memory_granted(memory, &requests[0], -1);
	assert_ptr_equal(fastpath_memory_routes(memory, 3), third);
	assert_true(fastpath_memory_want_routes(memory, 1000));
	answer(1);
	assert_ptr_equal(fastpath_memory_routes(memory, 1000), third);
	assert_null(fastpath_memory_routes(memory, 3));
}

static void answers_that_nobody_asked_for(void **state)
{
	static const struct fastpath_request odd[] = {
	    {.room = FASTPATH_ROOM_ROUTES, .at = 0, .addr = 0},
	    {.room = FASTPATH_ROOM_ROUTES, .at = 0, .addr = 5},
	    {.room = FASTPATH_ROOM_ROUTES, .at = FASTPATH_LOCALS, .addr = 5},
	    {.room = FASTPATH_ROOM_COUNTS, .at = 3},
	    {.room = FASTPATH_ROOM_COUNTS, .at = FASTPATH_COUNTS_CHUNKS},
	    {.room = 7},
	};
	(void)state;
	OWN_NET_NEEDED();
	int fd = fastpath_maps_routes(maps, 0, 5);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		fastpath_memory_granted(memory, &odd[i], fd);
	assert_null(fastpath_memory_routes(memory, 5));
	assert_false(fastpath_memory_has_counts(memory, 3 * FASTPATH_COUNTS_CALLS));
}

/* ---- counters ---- */

static void counters_start_from_zero(void **state)
{
	(void)state;
	OWN_NET_NEEDED();
	const uint32_t slots[] = {0, 1, FASTPATH_COUNTS_CALLS - 1, FASTPATH_COUNTS_CALLS,
				  FASTPATH_COUNTS_CALLS * FASTPATH_COUNTS_CHUNKS - 1};
	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		struct fastpath_sum from[2] = {{.packets = 1}, {.packets = 1}};
		fastpath_memory_counts(memory, slots[i], from); /* before there is room */
		assert_int_equal(from[0].packets, 0);
		for (int again = 0; again < 2; again++) {
			fastpath_memory_want_counts(memory, slots[i]);
			assert_true(fastpath_memory_has_counts(memory, slots[i]));
			fastpath_memory_count_from_zero(memory, slots[i]);
		}
		fastpath_memory_counts(memory, slots[i], from);
		assert_int_equal(from[0].packets, 0);
		assert_int_equal(from[1].seen_ns, 0);
	}
	uint32_t beyond = FASTPATH_COUNTS_CALLS * FASTPATH_COUNTS_CHUNKS;
	fastpath_memory_want_counts(memory, beyond);
	assert_false(fastpath_memory_counts_coming(memory, beyond));
	assert_false(fastpath_memory_has_counts(memory, beyond));
}

static void none_is_fine(void **state)
{
	(void)state;
	fastpath_memory_close(NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(routes_of_an_address_are_made_once),
	    CASE(so_many_addresses),
	    CASE(the_next_worker_finds_them),
	    CASE(asked_for_once),
	    CASE(refused),
	    CASE(a_place_on_its_way_to_another_address),
	    CASE(answers_that_nobody_asked_for),
	    CASE(counters_start_from_zero),
	    CASE(none_is_fine),
	};
	own_net_enter_for_xdp();
	return cmocka_run_group_tests(cases, NULL, NULL);
}
