/*
 * The shared table: which call IDs are handed out, what a packet finds over a call's life, what is
 * counted, and that a reader beside the writer never sees half a change.
 */
#include "callid_db.h"
#include "tests/unit/no_memory.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { IDS = 65536, QUARANTINE = CALLID_QUARANTINE_MS };

static const enum callid_side CLIENT = CALLID_CLIENT, SERVER = CALLID_SERVER;

/*   client          proxy               server
 *   10.0.0.2 -- 10.0.0.1 | 192.0.2.1 -- 192.0.2.2
 */
static const struct callid_leg client_leg = {0x0A000001, 0x0A000002};
static const struct callid_leg server_leg = {0xC0000201, 0xC0000202};

static struct callid_db *db;

static int set_up(void **state)
{
	(void)state;
	db = callid_db_new(NULL);
	return db ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	callid_db_free(db);
	db = NULL;
	return 0;
}

/* ---- helpers ---- */

static callid_ref try_reserve(enum callid_side caller, struct callid_leg client,
			      struct callid_leg server, uint16_t caller_id, uint64_t now)
{
	struct callid_request request = {
	    .legs = {client, server},
	    .caller = caller,
	    .caller_id = caller_id,
	    .connection = 12,
	};
	uint16_t shown;
	return callid_db_reserve(db, &request, now, &shown);
}

/* From the client, between the two usual legs. */
static callid_ref reserve(uint16_t caller_id, uint64_t now, uint16_t *shown)
{
	struct callid_request request = {
	    .legs = {client_leg, server_leg},
	    .caller = CLIENT,
	    .caller_id = caller_id,
	    .connection = 12,
	};
	callid_ref call = callid_db_reserve(db, &request, now, shown);
	if (!call)
		fail_msg("no call for ID %u: %s", caller_id, strerror(errno));
	return call;
}

static callid_ref full_call(uint16_t caller_id, uint16_t callee_id, uint64_t now)
{
	uint16_t shown;
	callid_ref call = reserve(caller_id, now, &shown);
	assert_int_equal(callid_db_open(db, call, callee_id, now, &shown), 0);
	callid_db_release(db, call);
	return call;
}

static uint16_t shown_to(callid_ref call, enum callid_side side)
{
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	return info.shown[side];
}

static enum callid_answer packet(struct callid_leg leg, uint16_t call_id, size_t octets,
				 uint64_t now, struct callid_route *route)
{
	struct callid_key key = {leg.proxy_addr, leg.peer_addr, call_id};
	callid_db_read_begin(db);
	enum callid_answer answer = callid_db_route(db, &key, octets, now, route);
	callid_db_read_end(db);
	return answer;
}

static enum callid_answer answer_to(struct callid_leg leg, uint16_t call_id)
{
	struct callid_route route;
	return packet(leg, call_id, 0, 1, &route);
}

static void check_totals(size_t calls, size_t closing)
{
	struct callid_totals totals;
	callid_db_totals(db, &totals);
	assert_int_equal(totals.calls, calls);
	assert_int_equal(totals.closing, closing);
}

static void count_drop(callid_ref call, enum callid_side from)
{
	callid_db_read_begin(db);
	callid_db_count_drop(db, call, from);
	callid_db_read_end(db);
}

/* ---- which ID is shown ---- */

static void an_id_is_kept_where_it_is_free(void **state)
{
	(void)state;
	static const uint16_t ids[] = {0, 1, 2, 0x00FF, 0xFF00, 0x1234, 0xFFFF};
	for (size_t i = 0; i < COUNT(ids); i++) {
		uint16_t shown = 1;
		callid_ref call = reserve(ids[i], 1, &shown);
		assert_int_equal(shown, ids[i]);
		shown = 1;
		assert_int_equal(callid_db_open(db, call, ids[i], 1, &shown), 0);
		assert_int_equal(shown, ids[i]);
	}
	check_totals(COUNT(ids), 0);
}

/* A thousand clients that all chose 7, before one server. */
static void a_taken_id_gives_way_to_a_random_one(void **state)
{
	(void)state;
	static bool taken[IDS];
	unsigned close_to_the_last = 0;
	uint16_t last = 0;
	memset(taken, 0, sizeof(taken));
	for (uint32_t i = 0; i < 1000; i++) {
		struct callid_leg client = {0x0A000001, 0x0A010000 + i};
		uint16_t shown = shown_to(try_reserve(CLIENT, client, server_leg, 7, 1), SERVER);
		assert_int_equal(shown == 7, i == 0);
		assert_int_not_equal(shown, 0);
		assert_false(taken[shown]);
		taken[shown] = true;
		close_to_the_last += (uint16_t)(shown - last + 100) <= 200;
		last = shown;
	}
	/* Unpredictable, so neither counted up nor drawn from a corner: three are to be expected.
	 */
	assert_true(close_to_the_last < 30);
	unsigned upper_half = 0;
	for (size_t id = IDS / 2; id < IDS; id++)
		upper_half += taken[id];
	assert_in_range(upper_half, 350, 650);
}

/* 0 is free all the while, and would have been drawn about six times. */
static void a_random_one_is_never_zero(void **state)
{
	(void)state;
	uint64_t now = 1;
	uint16_t shown;
	reserve(9, now, &shown);
	for (uint32_t i = 0; i < 400000; i++) {
		callid_ref call = reserve(9, now, &shown);
		assert_int_not_equal(shown, 0);
		callid_db_end(db, call, now, NULL);
		now += QUARANTINE;
		callid_db_expire(db, now);
	}
	reserve(0, now, &shown);
	assert_int_equal(shown, 0);
}

static void an_id_is_unique_per_address_of_ours(void **state)
{
	(void)state;
	const struct callid_leg other_client = {0x0A000001, 0x0A000003};
	const struct callid_leg other_server = {0xC0000201, 0xC0000203};
	const struct callid_leg from_another_address = {0xC6336401, 0xC0000202};
	uint16_t shown;

	assert_int_equal(shown_to(try_reserve(CLIENT, client_leg, server_leg, 7, 1), SERVER), 7);
	/* The same server from another address of ours: kept. */
	callid_ref second = try_reserve(CLIENT, client_leg, from_another_address, 7, 1);
	assert_int_equal(shown_to(second, SERVER), 7);
	/* Another server, or another client at the same one: not. */
	callid_ref third = try_reserve(CLIENT, client_leg, other_server, 7, 1);
	assert_int_not_equal(shown_to(third, SERVER), 7);
	callid_ref fourth = try_reserve(CLIENT, other_client, server_leg, 7, 1);
	assert_int_not_equal(shown_to(fourth, SERVER), 7);
	assert_int_not_equal(shown_to(fourth, SERVER), shown_to(third, SERVER));
	/* And the answers: two servers chose 5, for clients who both call our one address. */
	assert_int_equal(callid_db_open(db, second, 5, 1, &shown), 0);
	assert_int_equal(shown, 5);
	assert_int_equal(callid_db_open(db, fourth, 5, 1, &shown), 0);
	assert_int_not_equal(shown, 5);
}

/* Both legs between the same two addresses, as where an instance is chained to itself. */
static void one_space_can_be_both_legs_own(void **state)
{
	(void)state;
	const struct callid_leg loop = {0x7F000001, 0x7F000001};
	callid_ref call = try_reserve(CLIENT, loop, loop, 7, 1);
	struct callid_route route;
	uint16_t shown;
	assert_int_equal(shown_to(call, SERVER), 7);
	assert_int_equal(callid_db_open(db, call, 7, 1, &shown), 0);
	assert_int_not_equal(shown, 7);
	callid_db_release(db, call);
	assert_int_equal(packet(loop, 7, 0, 1, &route), CALLID_ROUTE);
	assert_int_equal(route.from, SERVER);
	assert_int_equal(packet(loop, shown, 0, 1, &route), CALLID_ROUTE);
	assert_int_equal(route.from, CLIENT);
}

/* ---- quarantine ---- */

static void quarantine_is_thirty_seconds_exactly_on_both_sides(void **state)
{
	(void)state;
	callid_ref call = full_call(0x11, 0x22, 1000);
	callid_db_end(db, call, 5000, NULL);
	check_totals(0, 2);
	assert_int_equal(answer_to(server_leg, 0x11), CALLID_NONE);
	assert_int_equal(answer_to(client_leg, 0x22), CALLID_NONE);

	callid_db_expire(db, 5000 + QUARANTINE - 1);
	check_totals(0, 2);
	call = full_call(0x11, 0x22, 5000 + QUARANTINE - 1);
	assert_int_not_equal(shown_to(call, SERVER), 0x11);
	assert_int_not_equal(shown_to(call, CLIENT), 0x22);

	callid_db_expire(db, 5000 + QUARANTINE);
	check_totals(1, 0);
	call = full_call(0x11, 0x22, 5000 + QUARANTINE);
	assert_int_equal(shown_to(call, SERVER), 0x11);
	assert_int_equal(shown_to(call, CLIENT), 0x22);
	assert_int_equal(CALLID_QUARANTINE_MS, 30000);
}

static void a_call_that_was_never_answered_rests_on_one_side(void **state)
{
	(void)state;
	uint16_t shown;
	callid_ref call = reserve(0x11, 1, &shown);
	callid_db_end(db, call, 2, NULL);
	check_totals(0, 1);
	callid_db_expire(db, 2 + QUARANTINE - 1);
	check_totals(0, 1);
	callid_db_expire(db, 2 + QUARANTINE);
	check_totals(0, 0);
}

static void each_expires_at_its_own_time(void **state)
{
	(void)state;
	callid_ref calls[10];
	for (uint16_t i = 0; i < 10; i++)
		calls[i] = full_call(i, i, 1);
	for (uint16_t i = 0; i < 10; i++)
		callid_db_end(db, calls[9 - i], 100 + i, NULL);
	for (unsigned i = 0; i < 10; i++) {
		callid_db_expire(db, 100 + i + QUARANTINE - 1);
		check_totals(0, 2 * (10 - i));
		callid_db_expire(db, 100 + i + QUARANTINE);
		check_totals(0, 2 * (10 - i - 1));
	}
}

/* ---- shortage ---- */

/* Every ID shown to the server is taken, each by the call whose number it is. */
static callid_ref *fill_server_space(void)
{
	callid_ref *calls = calloc(IDS, sizeof(*calls));
	for (uint32_t id = 0; id < IDS; id++) {
		uint16_t shown;
		calls[id] = reserve((uint16_t)id, 1, &shown);
		assert_int_equal(shown, id);
	}
	return calls;
}

static void no_id_left_is_enospc_and_recovers(void **state)
{
	(void)state;
	callid_ref *calls = fill_server_space();
	check_totals(IDS, 0);
	for (int i = 0; i < 3; i++) {
		errno = 0;
		assert_int_equal(try_reserve(CLIENT, client_leg, server_leg, 5, 1), 0);
		assert_int_equal(errno, ENOSPC);
	}
	check_totals(IDS, 0);
	/* Another server has its own 65,536. */
	const struct callid_leg other_server = {0xC0000201, 0xC0000203};
	assert_int_not_equal(try_reserve(CLIENT, client_leg, other_server, 5, 1), 0);

	callid_db_end(db, calls[4242], 2, NULL);
	uint16_t shown;
	reserve(5, 3, &shown);
	assert_int_equal(shown, 4242);
	assert_int_equal(try_reserve(CLIENT, client_leg, server_leg, 5, 3), 0);
	free(calls);
}

static void beyond_an_addresss_ids_they_are_unique_per_peer(void **state)
{
	(void)state;
	const struct callid_leg other_server = {0xC0000201, 0xC0000203};
	callid_ref *calls = fill_server_space();
	callid_ref second = try_reserve(CLIENT, client_leg, other_server, 5, 1);
	assert_int_equal(shown_to(second, SERVER), 5);
	assert_int_not_equal(shown_to(try_reserve(CLIENT, client_leg, other_server, 5, 1), SERVER),
			     5);
	assert_int_equal(answer_to(server_leg, 5), CALLID_HELD);
	assert_int_equal(answer_to(other_server, 5), CALLID_HELD);

	/* One of ours is free again: it is taken, rather than one that is shared. */
	callid_db_end(db, calls[4242], 2, NULL);
	callid_db_expire(db, 2 + QUARANTINE);
	callid_ref third = try_reserve(CLIENT, client_leg, other_server, 6, 3 + QUARANTINE);
	assert_int_equal(shown_to(third, SERVER), 4242);
	free(calls);
}

static void shortage_takes_the_one_that_rested_longest(void **state)
{
	(void)state;
	static const uint16_t in_order[] = {5, 60000, 3, 0, 9};
	callid_ref *calls = fill_server_space();
	uint16_t shown;
	for (unsigned i = 0; i < COUNT(in_order); i++)
		callid_db_end(db, calls[in_order[i]], 100 + i, NULL);
	check_totals(IDS - COUNT(in_order), COUNT(in_order));
	for (unsigned i = 0; i < COUNT(in_order); i++) {
		reserve(1000, 200, &shown);
		assert_int_equal(shown, in_order[i]);
		check_totals(IDS - COUNT(in_order) + i + 1, COUNT(in_order) - i - 1);
	}
	assert_int_equal(try_reserve(CLIENT, client_leg, server_leg, 1000, 200), 0);
	/* What was taken early does not expire later, under its new owner. */
	callid_db_expire(db, 200 + 2 * QUARANTINE);
	check_totals(IDS, 0);
	assert_int_equal(answer_to(server_leg, 5), CALLID_HELD);
	free(calls);
}

/* None rests, one is free, and chance alone would hardly find it. */
static void the_last_free_one_is_found(void **state)
{
	(void)state;
	static const uint16_t last[] = {12345, 0, 65535};
	callid_ref *calls = fill_server_space();
	uint16_t shown;
	for (unsigned i = 0; i < COUNT(last); i++) {
		callid_db_end(db, calls[last[i]], 1, NULL);
		callid_db_expire(db, 1 + QUARANTINE);
		check_totals(IDS - 1, 0);
		calls[last[i]] = reserve(777, 1 + QUARANTINE, &shown);
		assert_int_equal(shown, last[i]);
	}
	free(calls);
}

/* The caller's side is full when the Reply comes: the call stays reserved, and can be opened
 * later. */
static void no_id_left_for_the_reply(void **state)
{
	(void)state;
	static callid_ref from_server[IDS];
	uint16_t shown;
	for (uint32_t id = 0; id < IDS; id++)
		from_server[id] = try_reserve(SERVER, client_leg, server_leg, (uint16_t)id, 1);
	callid_ref call = reserve(7, 1, &shown);
	errno = 0;
	assert_int_equal(callid_db_open(db, call, 8, 1, &shown), -1);
	assert_int_equal(errno, ENOSPC);
	struct callid_info info;
	assert_true(callid_db_get(db, call, &info));
	assert_false(info.open);
	assert_int_equal(answer_to(server_leg, 7), CALLID_HELD);
	check_totals(IDS + 1, 0);

	callid_db_end(db, from_server[99], 2, NULL);
	assert_int_equal(callid_db_open(db, call, 8, 3, &shown), 0);
	assert_int_equal(shown, 99);
	assert_int_equal(answer_to(client_leg, 99), CALLID_ROUTE);
	callid_db_end(db, call, 4, NULL);
	check_totals(IDS - 1, 2);
}

/* A slot whose one ID was taken early is not used again before its other one has rested. */
static void half_a_call_can_rest(void **state)
{
	(void)state;
	callid_ref *calls = fill_server_space();
	uint16_t shown;
	assert_int_equal(callid_db_open(db, calls[50], 60, 1, &shown), 0);
	callid_db_end(db, calls[50], 2, NULL);
	check_totals(IDS - 1, 2);
	callid_ref next = reserve(1, 3, &shown);
	assert_int_equal(shown, 50);
	check_totals(IDS, 1);
	/* Calls that come now live elsewhere, with the next server: nothing is mixed up. */
	const struct callid_leg other_server = {0xC0000201, 0xC0000203};
	callid_ref others[3];
	uint16_t other_shown[COUNT(others)];
	for (uint16_t i = 0; i < COUNT(others); i++) {
		others[i] = try_reserve(CLIENT, client_leg, other_server, i, 3);
		assert_int_equal(callid_db_open(db, others[i], i, 3, &other_shown[i]), 0);
	}
	/* The client's ID 60 still rests. */
	assert_int_equal(callid_db_open(db, next, 60, 3, &shown), 0);
	assert_int_not_equal(shown, 60);
	callid_db_expire(db, 2 + QUARANTINE);
	check_totals(IDS + COUNT(others), 0);
	assert_int_equal(callid_db_open(db, calls[51], 60, 3, &shown), 0);
	assert_int_equal(shown, 60);
	for (uint16_t i = 0; i < COUNT(others); i++) {
		struct callid_route route;
		assert_int_equal(packet(client_leg, other_shown[i], 1, 3, &route), CALLID_ROUTE);
		assert_int_equal(route.call, others[i]);
		assert_int_equal(packet(other_server, i, 1, 3, &route), CALLID_HELD);
		assert_int_equal(route.call, others[i]);
	}
	free(calls);
}

/* ---- what a packet finds ---- */

static void check_route(const struct callid_route *route, struct callid_leg to, uint16_t call_id,
			callid_ref call, enum callid_side from)
{
	assert_int_equal(route->proxy_addr, to.proxy_addr);
	assert_int_equal(route->peer_addr, to.peer_addr);
	assert_int_equal(route->call_id, call_id);
	assert_int_equal(route->call, call);
	assert_int_equal(route->from, from);
}

static void life_of_a_call(enum callid_side caller)
{
	enum callid_side callee = callid_other(caller);
	const struct callid_leg legs[2] = {client_leg, server_leg};
	struct callid_route route;
	uint16_t to_callee, to_caller;

	/* Both IDs are taken on both sides, so that nothing passes unchanged. */
	struct callid_request request = {.legs = {client_leg, server_leg}, .caller_id = 100};
	for (int side = 0; side < 2; side++) {
		request.caller = (enum callid_side)side;
		callid_ref other = callid_db_reserve(db, &request, 1, &to_callee);
		assert_int_equal(callid_db_open(db, other, 200, 1, &to_caller), 0);
	}

	request.caller = caller;
	callid_ref call = callid_db_reserve(db, &request, 10, &to_callee);
	assert_int_not_equal(to_callee, 100);
	assert_int_equal(packet(legs[callee], to_callee, 50, 11, &route), CALLID_HELD);
	check_route(&route, legs[caller], 100, call, callee);

	assert_int_equal(callid_db_open(db, call, 200, 20, &to_caller), 0);
	assert_int_not_equal(to_caller, 200);
	assert_int_equal(packet(legs[callee], to_callee, 50, 21, &route), CALLID_HELD);
	assert_int_equal(packet(legs[caller], to_caller, 50, 21, &route), CALLID_ROUTE);
	check_route(&route, legs[callee], 200, call, caller);

	callid_db_release(db, call);
	assert_int_equal(packet(legs[callee], to_callee, 50, 31, &route), CALLID_ROUTE);
	check_route(&route, legs[caller], 100, call, callee);
	assert_int_equal(packet(legs[caller], to_caller, 50, 31, &route), CALLID_ROUTE);

	callid_db_end(db, call, 40, NULL);
	assert_int_equal(packet(legs[callee], to_callee, 50, 41, &route), CALLID_NONE);
	assert_int_equal(packet(legs[caller], to_caller, 50, 41, &route), CALLID_NONE);
	callid_db_expire(db, 40 + QUARANTINE);
	assert_int_equal(packet(legs[callee], to_callee, 50, 41, &route), CALLID_NONE);
	assert_int_equal(packet(legs[caller], to_caller, 50, 41, &route), CALLID_NONE);
}

static void life_of_a_call_from_the_client(void **state)
{
	(void)state;
	life_of_a_call(CLIENT);
}

static void life_of_a_call_from_the_server(void **state)
{
	(void)state;
	life_of_a_call(SERVER);
}

/* The address and the ID must fit, all three, and in the right roles. */
static void nothing_else_finds_it(void **state)
{
	(void)state;
	full_call(100, 200, 1);
	assert_int_equal(answer_to(server_leg, 100), CALLID_ROUTE);
	assert_int_equal(answer_to(client_leg, 200), CALLID_ROUTE);
	static const struct {
		struct callid_leg leg;
		uint16_t id;
	} wrong[] = {
	    {{0xC0000201, 0xC0000202}, 200}, /* the right way, the other way's ID */
	    {{0xC0000201, 0xC0000202}, 101},
	    {{0xC0000201, 0xC0000202}, 0},
	    {{0xC0000201, 0xC0000203}, 100}, /* a stranger's source */
	    {{0xC0000202, 0xC0000202}, 100}, /* another address of ours */
	    {{0xC0000202, 0xC0000201}, 100}, /* swapped */
	    {{0x0A000001, 0x0A000002}, 100},
	    {{0x0A000001, 0x0A000003}, 200},
	    {{0x0A000002, 0x0A000001}, 200},
	    {{0, 0}, 100},
	    {{0, 0}, 0},
	};
	for (size_t i = 0; i < COUNT(wrong); i++) {
		if (answer_to(wrong[i].leg, wrong[i].id) != CALLID_NONE)
			fail_msg("wrong key %zu found something", i);
	}
}

/* ---- what is counted ---- */

static void packets_are_counted_by_direction(void **state)
{
	(void)state;
	struct callid_route route;
	struct callid_info info;
	uint16_t shown;
	callid_ref call = reserve(100, 10, &shown);
	assert_int_equal(packet(server_leg, 100, 1000, 15, &route), CALLID_HELD);
	assert_true(callid_db_get(db, call, &info));
	/* Held: seen, not counted. */
	assert_int_equal(info.from[SERVER].packets, 0);
	assert_int_equal(info.from[SERVER].octets, 0);
	assert_int_equal(info.from[SERVER].seen_at, 15);
	assert_int_equal(info.from[CLIENT].seen_at, 0);
	count_drop(call, SERVER);

	assert_int_equal(callid_db_open(db, call, 200, 20, &shown), 0);
	callid_db_release(db, call);
	for (unsigned i = 0; i < 5; i++)
		packet(server_leg, 100, 100 + i, 30 + i, &route);
	for (unsigned i = 0; i < 3; i++)
		packet(client_leg, 200, 65535, 40 + i, &route);
	count_drop(call, CLIENT);
	count_drop(call, CLIENT);

	assert_true(callid_db_get(db, call, &info));
	assert_int_equal(info.from[SERVER].packets, 5);
	assert_int_equal(info.from[SERVER].octets, 510);
	assert_int_equal(info.from[SERVER].drops, 1);
	assert_int_equal(info.from[SERVER].seen_at, 34);
	assert_int_equal(info.from[CLIENT].packets, 3);
	assert_int_equal(info.from[CLIENT].octets, 3 * 65535);
	assert_int_equal(info.from[CLIENT].drops, 2);
	assert_int_equal(info.from[CLIENT].seen_at, 42);

	assert_int_equal(info.connection, 12);
	assert_true(info.open);
	assert_int_equal(info.caller, CLIENT);
	assert_memory_equal(&info.legs[CLIENT], &client_leg, sizeof(client_leg));
	assert_memory_equal(&info.legs[SERVER], &server_leg, sizeof(server_leg));
	assert_int_equal(info.id[CLIENT], 100);
	assert_int_equal(info.id[SERVER], 200);
	assert_int_equal(info.shown[CLIENT], 200);
	assert_int_equal(info.shown[SERVER], 100);
	assert_int_equal(info.reserved_at, 10);
	assert_int_equal(info.opened_at, 20);
}

static void counters_begin_at_zero_for_the_next_call(void **state)
{
	(void)state;
	struct callid_route route;
	struct callid_info info;
	callid_ref call = full_call(100, 200, 1);
	packet(server_leg, 100, 100, 5, &route);
	packet(client_leg, 200, 100, 5, &route);
	count_drop(call, CLIENT);
	callid_db_end(db, call, 10, NULL);
	callid_db_expire(db, 10 + QUARANTINE);

	callid_ref next = full_call(100, 200, 10 + QUARANTINE);
	assert_int_not_equal(next, call);
	assert_int_equal(callid_slot(next), callid_slot(call)); /* it lives where that one lived */
	assert_true(callid_db_get(db, next, &info));
	for (int side = 0; side < 2; side++) {
		assert_int_equal(info.from[side].packets, 0);
		assert_int_equal(info.from[side].octets, 0);
		assert_int_equal(info.from[side].drops, 0);
		assert_int_equal(info.from[side].seen_at, 0);
	}
	/* The old name means nobody, least of all the new one. */
	assert_false(callid_db_get(db, call, &info));
	count_drop(call, CLIENT);
	callid_db_release(db, call);
	callid_db_end(db, call, 50000, NULL);
	assert_true(callid_db_get(db, next, &info));
	assert_int_equal(info.from[CLIENT].drops, 0);
	check_totals(1, 0);
}

/* As of somebody who carries packets by another way. */
static void count_more(void *arg, callid_ref call, struct callid_counts from[2])
{
	assert_int_equal(call, *(callid_ref *)arg);
	from[CLIENT].packets += 1000;
	from[CLIENT].octets += 5000;
	from[SERVER].drops += 7;
	from[SERVER].seen_at = 77;
}

static void anothers_counts_are_added(void **state)
{
	(void)state;
	struct callid_route route;
	struct callid_info info;
	callid_ref call = full_call(100, 200, 1);
	packet(client_leg, 200, 60, 5, &route);
	callid_db_count_also(db, count_more, &call);
	for (int ended = 0; ended < 2; ended++) {
		if (ended)
			assert_true(callid_db_end(db, call, 10, &info));
		else
			assert_true(callid_db_get(db, call, &info));
		assert_int_equal(info.from[CLIENT].packets, 1001);
		assert_int_equal(info.from[CLIENT].octets, 5060);
		assert_int_equal(info.from[CLIENT].seen_at, 5);
		assert_int_equal(info.from[SERVER].drops, 7);
		assert_int_equal(info.from[SERVER].seen_at, 77);
	}
	assert_int_equal(info.shown[SERVER], 100);
	assert_int_equal(info.id[SERVER], 200);
	assert_false(callid_db_end(db, call, 10, &info));
}

static void names_that_never_were_are_harmless(void **state)
{
	(void)state;
	static const callid_ref names[] = {
	    0, 1, 255, 256, (callid_ref)1 << 32, UINT64_MAX, (callid_ref)7 << 32 | 3};
	struct callid_info info;
	for (int filled = 0; filled < 2; filled++) {
		for (size_t i = 0; i < COUNT(names); i++) {
			assert_false(callid_db_get(db, names[i], &info));
			count_drop(names[i], CLIENT);
			callid_db_release(db, names[i]);
			callid_db_end(db, names[i], 1, NULL);
		}
		/* Two calls, so that slots and generations exist, but none of these. */
		uint16_t shown;
		callid_db_end(db, reserve(1, 1, &shown), 1, NULL);
		callid_db_expire(db, 1 + QUARANTINE);
		reserve(1, 1, &shown);
	}
}

static void the_generation_grows_with_each_change(void **state)
{
	(void)state;
	struct callid_route route;
	uint16_t shown;
	uint64_t last, next;
#define CHANGED()                                                                                  \
	do {                                                                                       \
		callid_db_read_begin(db);                                                          \
		next = callid_db_generation(db);                                                   \
		callid_db_read_end(db);                                                            \
		assert_true(next > last);                                                          \
		last = next;                                                                       \
	} while (0)
	last = callid_db_generation(db);
	callid_ref call = reserve(1, 1, &shown);
	CHANGED();
	assert_int_equal(callid_db_open(db, call, 1, 1, &shown), 0);
	CHANGED();
	callid_db_release(db, call);
	CHANGED();
	callid_db_end(db, call, 1, NULL);
	CHANGED();
	callid_db_expire(db, 1 + QUARANTINE);
	CHANGED();
	/* Neither packets nor an idle tick change it. */
	packet(server_leg, 1, 1, 1, &route);
	callid_db_expire(db, 1 + 2 * QUARANTINE);
	assert_int_equal(callid_db_generation(db), last);
}

/* ---- observers ---- */

static struct {
	int observer;
	callid_ref call;
	enum callid_event event;
	bool alive, open;
	enum callid_answer answer;
} told[32];
static size_t told_count;

/* Looks into the table, as an observer may: nothing is locked. */
static void note(void *arg, callid_ref call, enum callid_event event)
{
	struct callid_info info = {0};
	told[told_count].observer = *(int *)arg;
	told[told_count].call = call;
	told[told_count].event = event;
	told[told_count].alive = callid_db_get(db, call, &info);
	told[told_count].open = info.open;
	told[told_count].answer = answer_to(server_leg, 100);
	told_count++;
}

static void observers_are_told_in_order(void **state)
{
	(void)state;
	static int first = 1, second = 2;
	uint16_t shown;
	told_count = 0;
	callid_db_observe(db, note, &first);
	callid_db_observe(db, note, &second);
	callid_ref call = reserve(100, 1, &shown);
	assert_int_equal(callid_db_open(db, call, 200, 1, &shown), 0);
	callid_db_release(db, call);
	callid_db_end(db, call, 1, NULL);
	callid_db_end(db, call, 1, NULL); /* twice, told once */
	callid_db_expire(db, 1 + QUARANTINE);

	static const struct {
		enum callid_event event;
		bool alive, open;
		enum callid_answer answer;
	} want[] = {
	    {CALLID_RESERVED, true, false, CALLID_HELD},
	    {CALLID_OPENED, true, true, CALLID_HELD},
	    {CALLID_RELEASED, true, true, CALLID_ROUTE},
	    {CALLID_ENDED, false, false, CALLID_NONE},
	};
	assert_int_equal(told_count, 2 * COUNT(want));
	for (size_t i = 0; i < told_count; i++) {
		assert_int_equal(told[i].observer, 1 + i % 2);
		assert_int_equal(told[i].call, call);
		assert_int_equal(told[i].event, want[i / 2].event);
		assert_int_equal(told[i].alive, want[i / 2].alive);
		assert_int_equal(told[i].open, want[i / 2].open);
		assert_int_equal(told[i].answer, want[i / 2].answer);
	}
}

static void watched_is_passed_on(void **state)
{
	(void)state;
	static int first = 1;
	struct callid_info info;
	uint16_t shown;
	callid_ref call = reserve(100, 1, &shown), other = reserve(101, 1, &shown);
	told_count = 0;
	callid_db_observe(db, note, &first);
	callid_db_set_watched(db, call, false); /* as it is: told nobody */
	callid_db_set_watched(db, call, true);
	callid_db_set_watched(db, call, true);
	assert_true(callid_db_get(db, call, &info) && info.watched);
	assert_true(callid_db_get(db, other, &info) && !info.watched);
	callid_db_set_watched(db, call, false);
	assert_true(callid_db_get(db, call, &info) && !info.watched);
	assert_int_equal(told_count, 2);
	assert_int_equal(told[1].event, CALLID_CHANGED);
	assert_int_equal(told[1].call, call);
	/* The next call in its slot is nobody's. */
	callid_db_set_watched(db, call, true);
	callid_db_end(db, call, 1, NULL);
	callid_db_set_watched(db, call, true);
	callid_db_expire(db, 1 + QUARANTINE);
	callid_ref next = reserve(102, 2 + QUARANTINE, &shown);
	assert_int_equal(callid_slot(next), callid_slot(call));
	assert_true(callid_db_get(db, next, &info) && !info.watched);
}

static void a_refused_reservation_is_told_nobody(void **state)
{
	(void)state;
	static int only = 1;
	free(fill_server_space());
	told_count = 0;
	callid_db_observe(db, note, &only);
	assert_int_equal(try_reserve(CLIENT, client_leg, server_leg, 5, 1), 0);
	assert_int_equal(told_count, 0);
}

/* ---- many ---- */

/* Were the cost of a look-up to grow with the calls, this would not end. */
static void sixty_thousand_calls_are_all_found(void **state)
{
	(void)state;
	enum { CALLS = 60000, ROUNDS = 10 };
	static uint16_t shown_to_client[CALLS];
	struct callid_route route;
	for (uint32_t i = 0; i < CALLS; i++) {
		struct callid_leg client = {0x0A000001, 0x0B000000 + i};
		callid_ref call = try_reserve(CLIENT, client, server_leg, (uint16_t)i, 1);
		assert_int_equal(callid_db_open(db, call, 1, 1, &shown_to_client[i]), 0);
		callid_db_release(db, call);
	}
	check_totals(CALLS, 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < CALLS; i++) {
			struct callid_leg client = {0x0A000001, 0x0B000000 + i};
			assert_int_equal(packet(server_leg, (uint16_t)i, 1, 1, &route),
					 CALLID_ROUTE);
			assert_int_equal(route.peer_addr, 0x0B000000 + i);
			assert_int_equal(packet(client, shown_to_client[i], 1, 1, &route),
					 CALLID_ROUTE);
			assert_int_equal(route.peer_addr, server_leg.peer_addr);
			assert_int_equal(packet(client, shown_to_client[i] + 1, 1, 1, &route),
					 CALLID_NONE);
		}
	}
}

static void a_hundred_thousand_calls_leave_nothing(void **state)
{
	(void)state;
	enum { CALLS = 100000 };
	static callid_ref calls[CALLS];
	for (uint32_t i = 0; i < CALLS; i++) {
		struct callid_leg client = {0x0A000001, 0x0B000000 + i % 7};
		struct callid_leg server = {0xC0000201, 0xC0000300 + i % 11};
		uint16_t shown;
		calls[i] = try_reserve(i % 2 ? CLIENT : SERVER, client, server, (uint16_t)i, 1);
		assert_int_not_equal(calls[i], 0);
		assert_int_equal(callid_db_open(db, calls[i], (uint16_t)(i / 3), 1, &shown), 0);
	}
	check_totals(CALLS, 0);
	for (uint32_t i = 0; i < CALLS; i++)
		callid_db_end(db, calls[i], 100 + i / 1000, NULL);
	check_totals(0, 2 * CALLS);
	callid_db_expire(db, 100 + QUARANTINE);
	check_totals(0, 2 * CALLS - 2000);
	callid_db_expire(db, 100 + CALLS / 1000 + QUARANTINE);
	check_totals(0, 0);
	/* Every ID is free again: what is asked for is kept. */
	for (uint32_t id = 0; id < 1000; id++) {
		uint16_t shown;
		callid_db_end(db, reserve((uint16_t)id, 1, &shown), 1, NULL);
		assert_int_equal(shown, id);
	}
}

/* One after another: slots are used again, and the table stays as small as it was. */
static void a_hundred_thousand_calls_one_after_another(void **state)
{
	(void)state;
	uint64_t now = 1;
	uint32_t highest = 0;
	for (uint32_t i = 0; i < 100000; i++) {
		callid_ref call = full_call((uint16_t)i, (uint16_t)(i + 7), now);
		if ((uint32_t)call > highest)
			highest = (uint32_t)call;
		callid_db_end(db, call, now, NULL);
		now += 1000;
		callid_db_expire(db, now);
	}
	/* A call a second, each resting for thirty. */
	assert_true(highest < 64);
	check_totals(0, 58);
}

/* A full table is freed as a whole, calls, resting IDs and all: for the sanitizers. */
static void freeing_a_full_table(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 1000; i++) {
		callid_ref call = full_call(i, i, 1);
		if (i % 3 == 0)
			callid_db_end(db, call, 1, NULL);
	}
	uint16_t shown;
	reserve(2000, 1, &shown);
	callid_db_free(NULL);
}

/* ---- a reader beside the writer ---- */

/*
 * The writer makes and ends calls in SLOTS places. In each place two calls take turns that show the
 * server the same ID, but belong to different clients: so one key stands for two routes, one after
 * the other, and whatever a reader gets must be one of them, whole. Its call's name is noted and
 * compared with the names that the writer was given.
 */
enum { SLOTS = 32, TURNS = 6000, SEEN_MAX = 1 << 16 };

struct seen {
	unsigned slot, turn_parity;
	callid_ref call;
};

static struct {
	callid_ref given[SLOTS][TURNS];
	struct seen seen[SEEN_MAX];
	size_t seen_count;
	uint64_t answers[3];
	_Atomic bool done;
	_Atomic uint64_t rounds;
	const char *_Atomic wrong;
} shared;

static struct callid_leg turn_client(unsigned slot, unsigned parity)
{
	return (struct callid_leg){0x0A000001 + parity, 0x0B000000 + 2 * slot + parity};
}

static struct callid_leg slot_server(unsigned slot)
{
	return (struct callid_leg){0xC0000201, 0xC0000300 + slot};
}

static uint16_t slot_caller_id(unsigned slot)
{
	return (uint16_t)(1000 + slot);
}

static uint16_t slot_callee_id(unsigned slot, unsigned parity)
{
	return (uint16_t)(2000 + 2 * slot + parity);
}

static void *write_calls(void *arg)
{
	(void)arg;
	uint64_t now = 1;
	for (unsigned turn = 0; turn < TURNS; turn++) {
		unsigned parity = turn % 2;
		for (unsigned slot = 0; slot < SLOTS; slot++) {
			uint16_t shown;
			callid_ref call = try_reserve(CLIENT, turn_client(slot, parity),
						      slot_server(slot), slot_caller_id(slot), now);
			shared.given[slot][turn] = call;
			if (!call ||
			    callid_db_open(db, call, slot_callee_id(slot, parity), now, &shown) !=
				0 ||
			    shown != slot_callee_id(slot, parity))
				shared.wrong = "the writer's ID was not kept";
			callid_db_release(db, call);
		}
		for (unsigned slot = 0; slot < SLOTS; slot++)
			callid_db_end(db, shared.given[slot][turn], now, NULL);
		now += QUARANTINE;
		callid_db_expire(db, now);
		/* Neither runs away from the other. */
		uint64_t round = shared.rounds;
		while (turn % 16 == 0 && shared.rounds == round && !shared.wrong)
			sched_yield();
	}
	shared.done = true;
	return NULL;
}

static void check_from_server(unsigned slot, const struct callid_route *route)
{
	unsigned parity = route->proxy_addr - 0x0A000001;
	struct callid_leg client = turn_client(slot, parity & 1);
	if (parity > 1 || route->peer_addr != client.peer_addr ||
	    route->call_id != slot_caller_id(slot) || route->from != SERVER)
		shared.wrong = "half a route";
	if (shared.seen_count < SEEN_MAX)
		shared.seen[shared.seen_count++] = (struct seen){slot, parity & 1, route->call};
}

static void check_from_client(unsigned slot, unsigned parity, const struct callid_route *route)
{
	struct callid_leg server = slot_server(slot);
	if (route->proxy_addr != server.proxy_addr || route->peer_addr != server.peer_addr ||
	    route->call_id != slot_callee_id(slot, parity) || route->from != CLIENT)
		shared.wrong = "half a route";
}

static void *route_packets(void *arg)
{
	(void)arg;
	callid_ref last = 0;
	while (!shared.done && !shared.wrong) {
		callid_db_read_begin(db);
		uint64_t generation = callid_db_generation(db);
		for (unsigned slot = 0; slot < SLOTS; slot++) {
			struct callid_route route;
			struct callid_leg leg = slot_server(slot);
			struct callid_key key = {leg.proxy_addr, leg.peer_addr,
						 slot_caller_id(slot)};
			enum callid_answer answer = callid_db_route(db, &key, 100, 1, &route);
			shared.answers[answer]++;
			if (answer != CALLID_NONE) {
				check_from_server(slot, &route);
				last = route.call;
			}
			for (unsigned parity = 0; parity < 2; parity++) {
				leg = turn_client(slot, parity);
				key = (struct callid_key){leg.proxy_addr, leg.peer_addr,
							  slot_callee_id(slot, parity)};
				answer = callid_db_route(db, &key, 100, 1, &route);
				if (answer != CALLID_NONE)
					check_from_client(slot, parity, &route);
				if (answer == CALLID_HELD)
					shared.wrong = "the caller's way was held";
			}
		}
		if (callid_db_generation(db) != generation)
			shared.wrong = "the table changed under a reader";
		callid_db_read_end(db);
		callid_db_read_begin(db);
		callid_db_count_drop(db, last, SERVER); /* it may have gone */
		callid_db_read_end(db);
		shared.rounds++;
	}
	return NULL;
}

/* What a status page does. */
static void *look_at_calls(void *arg)
{
	(void)arg;
	while (!shared.done && !shared.wrong) {
		struct callid_totals totals;
		struct callid_info info;
		callid_db_totals(db, &totals);
		if (totals.calls > SLOTS || totals.closing > 2 * SLOTS)
			shared.wrong = "totals";
		for (uint64_t slot = 0; slot < 2 * SLOTS; slot++) {
			for (uint64_t generation = 1; generation < 4; generation++) {
				if (callid_db_get(db, generation << 32 | slot, &info) &&
				    info.from[0].packets > UINT32_MAX)
					shared.wrong = "counters";
			}
		}
		sched_yield();
	}
	return NULL;
}

static bool was_given(const struct seen *seen)
{
	for (unsigned turn = seen->turn_parity; turn < TURNS; turn += 2) {
		if (shared.given[seen->slot][turn] == seen->call)
			return true;
	}
	return false;
}

static void a_reader_never_sees_half_a_change(void **state)
{
	(void)state;
	pthread_t writer, reader, status;
	memset(&shared, 0, sizeof(shared));
	assert_int_equal(pthread_create(&reader, NULL, route_packets, NULL), 0);
	assert_int_equal(pthread_create(&status, NULL, look_at_calls, NULL), 0);
	assert_int_equal(pthread_create(&writer, NULL, write_calls, NULL), 0);
	pthread_join(writer, NULL);
	pthread_join(reader, NULL);
	pthread_join(status, NULL);
	if (shared.wrong)
		fail_msg("%s", shared.wrong);
	for (size_t i = 0; i < shared.seen_count; i++) {
		if (!was_given(&shared.seen[i]))
			fail_msg("slot %u: call %llx was never there", shared.seen[i].slot,
				 (unsigned long long)shared.seen[i].call);
	}
	check_totals(0, 0);
	/* It did see something. */
	assert_true(shared.seen_count > 0);
	assert_true(shared.answers[CALLID_ROUTE] > 0);
}

/* ---- the next process ---- */

static struct kept *kept;
static int kept_fd;

static int set_up_kept(void **state)
{
	struct why why;
	(void)state;
	kept_fd = kept_create(&why);
	kept = kept_open(kept_fd, &why);
	db = callid_db_new(kept);
	return db ? 0 : -1;
}

static int tear_down_kept(void **state)
{
	tear_down(state);
	kept_close(kept);
	close(kept_fd);
	return 0;
}

static void go_on(void)
{
	struct why why;
	callid_db_free(db);
	kept_close(kept);
	kept = kept_open(kept_fd, &why);
	db = callid_db_new(kept);
	assert_non_null(db);
}

static void calls_and_their_counters_go_on(void **state)
{
	(void)state;
	struct callid_info before[3], after;
	struct callid_route route;
	uint16_t shown;
	callid_ref calls[] = {reserve(7, 10, &shown), full_call(8, 20, 11), reserve(9, 12, &shown)};
	assert_int_equal(callid_db_open(db, calls[2], 21, 13, &shown), 0);
	assert_int_equal(packet(client_leg, 20, 100, 14, &route), CALLID_ROUTE);
	assert_int_equal(packet(server_leg, 8, 50, 15, &route), CALLID_ROUTE);
	assert_int_equal(packet(server_leg, 7, 50, 16, &route), CALLID_HELD);
	count_drop(calls[1], SERVER);
	for (size_t i = 0; i < COUNT(calls); i++)
		assert_true(callid_db_get(db, calls[i], &before[i]));
	assert_false(before[0].open || before[0].released || before[2].released);
	assert_true(before[1].released && before[2].open);
	go_on();
	for (size_t i = 0; i < COUNT(calls); i++) {
		assert_true(callid_db_get(db, calls[i], &after));
		assert_memory_equal(&before[i], &after, sizeof(after));
	}
	check_totals(3, 0);
	assert_int_equal(packet(server_leg, 7, 50, 16, &route), CALLID_HELD);
	assert_true(route.call == calls[0] && route.from == SERVER && route.call_id == 7);
	assert_int_equal(packet(server_leg, 9, 50, 16, &route), CALLID_HELD);
	assert_int_equal(packet(client_leg, 20, 100, 17, &route), CALLID_ROUTE);
	assert_true(route.call == calls[1] && route.from == CLIENT && route.call_id == 20);
	assert_true(callid_db_get(db, calls[1], &after));
	assert_int_equal(after.from[CLIENT].packets, 2);
	assert_int_equal(after.from[CLIENT].octets, 200);
	assert_int_equal(after.from[SERVER].drops, 1);
	callid_db_release(db, calls[2]);
	assert_int_equal(callid_db_open(db, calls[0], 22, 18, &shown), 0);
	for (size_t i = 0; i < COUNT(calls); i++)
		assert_true(callid_db_end(db, calls[i], 19, NULL));
	check_totals(0, 6);
}

/* The rest of its time, in order, and a name is never given twice. */
static void quarantine_goes_on(void **state)
{
	(void)state;
	enum { CALLS = 6 };
	callid_ref calls[CALLS];
	uint16_t shown;
	/* Ended in another order than they stand in the table. */
	static const uint64_t ends[CALLS] = {500, 100, 300, 600, 200, 400};
	for (uint16_t i = 0; i < CALLS; i++)
		calls[i] = full_call(i, i, 1);
	for (uint64_t now = 100; now <= 600; now += 100) {
		for (size_t i = 0; i < CALLS; i++) {
			if (ends[i] == now)
				assert_true(callid_db_end(db, calls[i], now, NULL));
		}
	}
	for (size_t done = 0; done <= CALLS; done++) {
		go_on();
		check_totals(0, 2 * (CALLS - done));
		callid_db_expire(db, (done + 1) * 100 + QUARANTINE - 1);
		check_totals(0, 2 * (CALLS - done));
		callid_db_expire(db, (done + 1) * 100 + QUARANTINE);
	}
	callid_ref call = reserve(3, 1000000, &shown);
	for (size_t i = 0; i < CALLS; i++)
		assert_true(calls[i] != call);
	assert_int_equal(shown, 3);
}

static void an_id_is_not_given_twice_over_a_restart(void **state)
{
	(void)state;
	static bool given[IDS];
	memset(given, 0, sizeof(given));
	for (uint32_t i = 0; i < 2000; i++) {
		uint16_t shown;
		callid_ref call = reserve(7, i, &shown);
		assert_false(given[shown]);
		given[shown] = true;
		if (i % 3 == 0)
			callid_db_end(db, call, i, NULL);
		if (i % 50 == 0)
			go_on();
	}
	go_on();
	check_totals(1333, 667);
}

static void note_call(void *arg, callid_ref call, const struct callid_info *info)
{
	uint64_t *sum = arg;
	*sum += info->connection;
	if (info->note == 5)
		assert_true(callid_db_end(db, call, 1, NULL));
}

static void each_call_is_told_of(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 1000; i++) {
		struct callid_request request = {
		    .legs = {client_leg, server_leg},
		    .caller_id = i,
		    .connection = i,
		    .note = i % 10,
		};
		uint16_t shown;
		assert_int_not_equal(callid_db_reserve(db, &request, 1, &shown), 0);
	}
	go_on();
	uint64_t sum = 0;
	callid_db_each(db, note_call, &sum);
	assert_int_equal(sum, 999 * 1000 / 2);
	check_totals(900, 100);
}

static bool is_shown(uint32_t proxy_addr, uint16_t call_id)
{
	callid_db_read_begin(db);
	bool answer = callid_db_is_shown(db, proxy_addr, call_id);
	callid_db_read_end(db);
	return answer;
}

/* Whoever the peer: from the Request, or the Reply, to the call's end. */
static void an_id_is_shown_by_our_address(void **state)
{
	(void)state;
	uint16_t shown;
	assert_false(is_shown(server_leg.proxy_addr, 7));
	callid_ref call = reserve(7, 1, &shown);
	assert_true(is_shown(server_leg.proxy_addr, 7));
	assert_false(is_shown(client_leg.proxy_addr, 9));
	assert_int_equal(callid_db_open(db, call, 9, 1, &shown), 0);
	assert_true(is_shown(client_leg.proxy_addr, 9));
	assert_false(is_shown(client_leg.proxy_addr, 7));
	assert_false(is_shown(client_leg.peer_addr, 9));
	go_on();
	assert_true(is_shown(client_leg.proxy_addr, 9) && is_shown(server_leg.proxy_addr, 7));
	callid_db_end(db, call, 2, NULL);
	assert_false(is_shown(client_leg.proxy_addr, 9) || is_shown(server_leg.proxy_addr, 7));
	callid_db_expire(db, 2 + CALLID_QUARANTINE_MS);
	assert_false(is_shown(client_leg.proxy_addr, 9));
}

static void note_slot(void *arg, callid_ref call, const struct callid_info *info)
{
	uint64_t *slots = arg;
	(void)info;
	*slots += callid_slot(call);
}

static void a_part_of_the_table_is_told(void **state)
{
	(void)state;
	uint16_t shown;
	uint64_t first = 0, rest = 0;
	for (uint16_t i = 0; i < 300; i++)
		reserve(i, 1, &shown);
	assert_int_equal(callid_db_slots(db), 2 * CALLID_SLOTS_A_CHUNK);
	callid_db_each_in(db, 0, 100, note_slot, &first);
	assert_int_equal(first, 99 * 100 / 2);
	callid_db_each_in(db, 100, 412, note_slot, &rest);
	assert_int_equal(first + rest, 299 * 300 / 2);
	callid_db_each_in(db, 300, SIZE_MAX, note_slot, &rest);
	callid_db_each_in(db, 512, 10, note_slot, &rest);
	assert_int_equal(first + rest, 299 * 300 / 2);
}

/* As if the process had died in the midst of what a message changes. */
static void what_was_not_committed_never_was(void **state)
{
	(void)state;
	struct callid_info before, after;
	uint16_t shown;
	callid_ref dead = full_call(7, 9, 1), other = reserve(8, 1, &shown);
	assert_true(callid_db_get(db, dead, &before));
	kept_begin(kept);
	callid_db_end(db, dead, 2, NULL);
	callid_ref call = reserve(7, 2, &shown);
	assert_int_not_equal(shown, 7);
	assert_int_equal(callid_db_open(db, other, 10, 2, &shown), 0);
	callid_db_release(db, other);
	go_on();
	check_totals(2, 0);
	assert_false(callid_db_get(db, call, &after));
	assert_true(callid_db_get(db, dead, &after));
	assert_memory_equal(&before, &after, sizeof(after));
	assert_true(callid_db_get(db, other, &after));
	assert_false(after.open);
	assert_int_equal(answer_to(client_leg, 10), CALLID_NONE);
	assert_int_equal(answer_to(server_leg, 8), CALLID_HELD);
	/* The name is free to be given for the first time. */
	reserve(7, 3, &shown);
}

/* ---- memory is short ---- */

/* Whichever allocation it is that fails: there is no call, no ID is taken, and the next try
 * succeeds. */
static void without_memory_there_is_no_call(void **state)
{
	(void)state;
	int tries = 0;
	uint16_t shown;
	callid_ref call;
	for (;; tries++) {
		no_memory_in = tries;
		call = try_reserve(CLIENT, client_leg, server_leg, 7, 1);
		if (call)
			break;
		assert_int_equal(errno, ENOMEM);
		assert_true(no_memory_in < 0);
		check_totals(0, 0);
	}
	assert_true(tries > 2);
	assert_int_equal(shown_to(call, SERVER), 7);
	no_memory_in = 0;
	assert_int_equal(callid_db_open(db, call, 9, 2, &shown), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(answer_to(client_leg, 9), CALLID_NONE);
	assert_int_equal(callid_db_open(db, call, 9, 2, &shown), 0);
	assert_int_equal(shown, 9);
	assert_int_equal(answer_to(client_leg, 9), CALLID_ROUTE);
	no_memory_in = -1;
}

/* Whichever allocation it is that fails: there is no table, and all is there for the next one. */
static void without_memory_what_is_kept_stays(void **state)
{
	(void)state;
	bool short_of_it = true;
	unsigned failed = 0;
	callid_ref dead = full_call(8, 10, 1);
	full_call(7, 9, 1);
	callid_db_end(db, dead, 2, NULL);
	for (int tries = 0; short_of_it; tries++) {
		callid_db_free(db);
		no_memory_in = tries;
		db = callid_db_new(kept);
		short_of_it = no_memory_in < 0;
		no_memory_in = -1;
		if (short_of_it) {
			assert_null(db);
			assert_int_equal(errno, ENOMEM);
			failed++;
		}
	}
	assert_true(failed > 4);
	check_totals(1, 2);
	assert_int_equal(answer_to(client_leg, 9), CALLID_ROUTE);
	assert_int_equal(answer_to(server_leg, 7), CALLID_ROUTE);
	assert_int_equal(answer_to(client_leg, 10), CALLID_NONE);
}

#define CASE(name)	cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define KEPT_CASE(name) cmocka_unit_test_setup_teardown(name, set_up_kept, tear_down_kept)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(an_id_is_kept_where_it_is_free),
	    CASE(a_taken_id_gives_way_to_a_random_one),
	    CASE(a_random_one_is_never_zero),
	    CASE(an_id_is_unique_per_address_of_ours),
	    CASE(one_space_can_be_both_legs_own),
	    CASE(quarantine_is_thirty_seconds_exactly_on_both_sides),
	    CASE(a_call_that_was_never_answered_rests_on_one_side),
	    CASE(each_expires_at_its_own_time),
	    CASE(no_id_left_is_enospc_and_recovers),
	    CASE(beyond_an_addresss_ids_they_are_unique_per_peer),
	    CASE(shortage_takes_the_one_that_rested_longest),
	    CASE(the_last_free_one_is_found),
	    CASE(no_id_left_for_the_reply),
	    CASE(half_a_call_can_rest),
	    CASE(life_of_a_call_from_the_client),
	    CASE(life_of_a_call_from_the_server),
	    CASE(nothing_else_finds_it),
	    CASE(packets_are_counted_by_direction),
	    CASE(counters_begin_at_zero_for_the_next_call),
	    CASE(anothers_counts_are_added),
	    CASE(names_that_never_were_are_harmless),
	    CASE(the_generation_grows_with_each_change),
	    CASE(observers_are_told_in_order),
	    CASE(watched_is_passed_on),
	    CASE(a_refused_reservation_is_told_nobody),
	    CASE(sixty_thousand_calls_are_all_found),
	    CASE(a_hundred_thousand_calls_leave_nothing),
	    CASE(a_hundred_thousand_calls_one_after_another),
	    CASE(freeing_a_full_table),
	    CASE(a_reader_never_sees_half_a_change),
	    KEPT_CASE(life_of_a_call_from_the_client),
	    KEPT_CASE(shortage_takes_the_one_that_rested_longest),
	    KEPT_CASE(calls_and_their_counters_go_on),
	    KEPT_CASE(quarantine_goes_on),
	    KEPT_CASE(an_id_is_not_given_twice_over_a_restart),
	    KEPT_CASE(each_call_is_told_of),
	    KEPT_CASE(an_id_is_shown_by_our_address),
	    KEPT_CASE(a_part_of_the_table_is_told),
	    KEPT_CASE(what_was_not_committed_never_was),
	    CASE(without_memory_there_is_no_call),
	    KEPT_CASE(without_memory_what_is_kept_stays),
	};
	return cmocka_run_group_tests_name("callid_db", tests, NULL, NULL) != 0;
}
