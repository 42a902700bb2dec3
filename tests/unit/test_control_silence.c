/*
 * Who is called silent, and who is not: packets of both sides by a clock of our own.
 */
#include "control/control_silence.h"

#include "tests/unit/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CLIENT CALLID_CLIENT
#define SERVER CALLID_SERVER
#define SECOND 1000

static struct callid_db *db;
static struct control_silence *silence;
static struct log_limits limits;
static struct log_limit lines;
static uint64_t now;

/* A call, and what its sides are shown: what their packets carry. */
struct end {
	callid_ref call;
	uint16_t shown[2];
};

static const struct callid_leg legs[] = {{0x0A000001, 0x0A000002}, {0xCB007101, 0xCB00710A}};

static int set_up(void **state)
{
	if (stage_set_up(state) != 0)
		return -1;
	TAILQ_INIT(&limits);
	log_limit_init(&lines, &limits, "calls without GRE");
	now = 1000 * SECOND;
	db = callid_db_new(NULL);
	silence = control_silence_new(db, &lines);
	return db && silence ? 0 : -1;
}

static int tear_down(void **state)
{
	control_silence_free(silence);
	callid_db_free(db);
	return stage_tear_down(state);
}

static struct end come(uint16_t client_id, uint16_t server_id)
{
	struct callid_request request = {
	    .legs = {legs[0], legs[1]}, .caller = CLIENT, .caller_id = client_id, .connection = 7};
	struct end end;
	end.call = callid_db_reserve(db, &request, now, &end.shown[SERVER]);
	assert_int_equal(callid_db_open(db, end.call, server_id, now, &end.shown[CLIENT]), 0);
	callid_db_release(db, end.call);
	control_silence_watch(silence, end.call, now);
	return end;
}

static void send(const struct end *end, enum callid_side side)
{
	struct callid_key key = {legs[side].proxy_addr, legs[side].peer_addr, end->shown[side]};
	struct callid_route route;
	callid_db_read_begin(db);
	assert_int_equal(callid_db_route(db, &key, 40, now, &route), CALLID_ROUTE);
	callid_db_read_end(db);
}

/* A look each second; each side sends every so many seconds, or never (0). */
static void pass(const struct end *end, unsigned seconds, unsigned client, unsigned server)
{
	for (unsigned i = 0; i < seconds; i++) {
		now += SECOND;
		if (client && now / SECOND % client == 0)
			send(end, CLIENT);
		if (server && now / SECOND % server == 0)
			send(end, SERVER);
		control_silence_look(silence, now);
	}
}

static bool is_silent(const struct end *end, enum callid_side side)
{
	return control_silence_is(silence, end->call, side);
}

#define NO_GRE                                                                                     \
	"warning: #7 10.0.0.2 -> 203.0.113.10: call of client ID 5, server ID 9: no GRE from "

/* ---- cases ---- */

static void one_that_falls_silent_is_told_once(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 60, 1, 1);
	pass(&call, CONTROL_SILENCE_MS / SECOND - 1, 1, 0);
	assert_false(stage_logged("no GRE"));
	assert_false(is_silent(&call, SERVER));
	pass(&call, 1 + CONTROL_SILENCE_TURNS, 1, 0);
	assert_int_equal(stage_log_count("no GRE"), 1);
	assert_true(stage_logged(NO_GRE "server 203.0.113.10 for 3"));
	assert_true(
	    stage_logged(" s, while the client sends: is IP protocol 47 blocked on the way?\n"));
	assert_true(is_silent(&call, SERVER));
	assert_false(is_silent(&call, CLIENT));
	pass(&call, 300, 1, 0);
	assert_int_equal(stage_log_count("no GRE"), 1);
}

static void it_is_told_when_it_comes_again(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 10, 1, 1);
	pass(&call, 100, 0, 1);
	assert_true(is_silent(&call, CLIENT));
	pass(&call, CONTROL_SILENCE_TURNS, 1, 1);
	assert_false(is_silent(&call, CLIENT));
	assert_int_equal(stage_log_count("GRE from client 10.0.0.2 comes again, after 10"), 1);
	pass(&call, 100, 0, 1);
	assert_int_equal(stage_log_count("no GRE from client 10.0.0.2"), 2);
}

/* Each LCP Echo-Request brings its reply, whoever asks; and one answer may be lost. */
static void idle_calls_are_not_silent(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 5, 1, 1);
	pass(&call, 600, 30, 30);
	pass(&call, 600, 0, 0);
	pass(&call, 31, 30, 30);
	pass(&call, 60, 30, 0);
	pass(&call, 31, 30, 30);
	/* Much from one side, and from the other its own echoes only. */
	pass(&call, 600, 1, 30);
	assert_false(stage_logged("no GRE"));
	assert_false(is_silent(&call, CLIENT) || is_silent(&call, SERVER));
}

/* Echo-Requests alone tell in the end. */
static void an_idle_call_that_breaks_is_told(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 5, 1, 1);
	pass(&call, 60, 30, 30);
	pass(&call, 120, 30, 0);
	assert_int_equal(stage_log_count("no GRE from server"), 1);
}

static void both_may_be_silent(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 20, 1, 1);
	pass(&call, 600, 0, 0);
	/* The last words of one, and then nobody's. */
	pass(&call, 20, 1, 1);
	pass(&call, 10, 1, 0);
	pass(&call, 600, 0, 0);
	assert_false(stage_logged("no GRE"));
}

static void one_that_never_sent(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 9, 3, 0);
	assert_false(stage_logged("no GRE"));
	pass(&call, 1, 3, 0);
	assert_true(stage_logged(NO_GRE "server 203.0.113.10 for 10 s: is IP protocol 47"));
	pass(&call, 100, 3, 0);
	assert_int_equal(stage_log_count("no GRE"), 1);
	assert_true(is_silent(&call, SERVER));
	pass(&call, CONTROL_SILENCE_TURNS, 3, 1);
	assert_int_equal(stage_log_count("GRE from server 203.0.113.10 comes now, after 11"), 1);
}

/* As where the host's own filter drops protocol 47. */
static void neither_has_sent(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 9, 0, 0);
	assert_false(is_silent(&call, CLIENT) || is_silent(&call, SERVER));
	pass(&call, 1, 0, 0);
	assert_int_equal(stage_log_count("no GRE from"), 2);
	assert_true(is_silent(&call, CLIENT) && is_silent(&call, SERVER));
	pass(&call, 20, 0, 0);
	send(&call, CLIENT);
	pass(&call, CONTROL_SILENCE_TURNS, 0, 0);
	assert_int_equal(stage_log_count("GRE from client 10.0.0.2 comes now, after 30 s"), 1);
	assert_true(!is_silent(&call, CLIENT) && is_silent(&call, SERVER));
	assert_int_equal(stage_log_count("no GRE from"), 2);
}

/* Of another call, by the same slot, nothing is known. */
static void a_slot_is_had_again(void **state)
{
	(void)state;
	struct end call = come(5, 9);
	pass(&call, 10, 1, 1);
	pass(&call, 100, 1, 0);
	callid_db_end(db, call.call, now, NULL);
	callid_db_expire(db, now + CALLID_QUARANTINE_MS);
	struct end next = come(6, 10);
	assert_int_equal(callid_slot(next.call), callid_slot(call.call));
	assert_false(is_silent(&next, SERVER));
	pass(&next, 5, 1, 1);
	assert_false(is_silent(&next, SERVER));
	assert_int_equal(stage_log_count("no GRE"), 1);
	assert_false(stage_logged("comes"));
}

/* A worker that has died or was upgraded: its successor knows the table only. */
static void the_next_process_knows_who_is_silent(void **state)
{
	(void)state;
	struct end fallen = come(5, 9), never = come(6, 10), fine = come(7, 11);
	pass(&never, 10, 0, 0);
	for (int i = 0; i < 60; i++) {
		pass(&fallen, 1, 1, i < 10);
		send(&fine, CLIENT);
		send(&fine, SERVER);
	}
	assert_int_equal(stage_log_count("no GRE"), 2 + 4 + 1);
	control_silence_free(silence);
	silence = control_silence_new(db, &lines);
	pass(&fallen, CONTROL_SILENCE_TURNS, 1, 0);
	assert_true(is_silent(&fallen, SERVER) && !is_silent(&fallen, CLIENT));
	assert_true(is_silent(&never, SERVER) && is_silent(&never, CLIENT));
	assert_false(is_silent(&fine, SERVER) || is_silent(&fine, CLIENT));
	pass(&fallen, 60, 1, 0);
	assert_int_equal(stage_log_count("no GRE"), 2 + 4 + 1);
	send(&fallen, SERVER);
	send(&never, SERVER);
	pass(&fallen, CONTROL_SILENCE_TURNS, 1, 0);
	assert_int_equal(stage_log_count("comes again"), 1);
	assert_int_equal(
	    stage_log_count("ID 6, server ID 10: GRE from server 203.0.113.10 comes now"), 1);
}

/* All of them are looked at within the turns, however many there are. */
static void of_many_calls_each_is_looked_at(void **state)
{
	(void)state;
	enum { CALLS = 3000 };
	struct end *calls = calloc(CALLS, sizeof(*calls));
	for (int i = 0; i < CALLS; i++)
		calls[i] = come((uint16_t)(i + 1), (uint16_t)(i + 1));
	for (int i = 0; i < CALLS; i++) {
		send(&calls[i], CLIENT);
		send(&calls[i], SERVER);
	}
	pass(&calls[0], CONTROL_SILENCE_TURNS, 0, 0);
	now += CONTROL_SILENCE_MS;
	for (int i = 0; i < CALLS; i++) {
		for (int k = 0; k < CONTROL_SILENCE_PACKETS; k++)
			send(&calls[i], CLIENT);
	}
	/* Another second, and a turn in which the last ones come round. */
	pass(&calls[0], CONTROL_SILENCE_TURNS + 1, 0, 0);
	for (int i = 0; i < CALLS; i++)
		assert_true(is_silent(&calls[i], SERVER) && !is_silent(&calls[i], CLIENT));
	free(calls);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(one_that_falls_silent_is_told_once),
	    CASE(it_is_told_when_it_comes_again),
	    CASE(idle_calls_are_not_silent),
	    CASE(an_idle_call_that_breaks_is_told),
	    CASE(both_may_be_silent),
	    CASE(one_that_never_sent),
	    CASE(neither_has_sent),
	    CASE(a_slot_is_had_again),
	    CASE(the_next_process_knows_who_is_silent),
	    CASE(of_many_calls_each_is_looked_at),
	};
	return cmocka_run_group_tests_name("control_silence", tests, stage_open, stage_close) != 0;
}
