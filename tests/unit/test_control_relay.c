/*
 * control_relay with one pair, 127.0.0.3 for the server at 127.0.0.2. The clock that the program
 * reads (not the event loop's) can be put forward: tests.mk links it with --wrap.
 */
#include "control_relay.h"

#include "host/monotonic.h"
#include "tests/unit/asker.h"
#include "tests/unit/loopback.h"
#include "tests/unit/stage.h"
#include "tests/unit/talk.h"
#include "wire/pptp_wire.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* KEPT: the descriptors that are for no connection, with one pair and no command. */
enum { KEPT = 49, MANY = 1000, HANDSHAKE_S = 30 };
#define WAIT_LINE "warning: new connections wait, at "
#define ROOM_LINE "warning: the limit of "

static struct callid_db *db;
static struct control_relay *relay;
static struct acl acl;
static struct pair pair;
static int server;
static int finished;	     /* shutdowns */
static size_t finished_with; /* descriptors that were open then */
static uint64_t finished_at_ms;
static _Atomic time_t forward_s;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	if (clock == CLOCK_MONOTONIC)
		now->tv_sec += forward_s;
	return result;
}

static struct control_relay_config config_with(size_t descriptors)
{
	return (struct control_relay_config){
	    .base = stage_base,
	    .db = db,
	    .names = stage_names,
	    .pairs = &pair,
	    .pair_count = 1,
	    .acl = &acl,
	    .acl_parallel = 4,
	    .connect_timeout_s = HANDSHAKE_S,
	    .handshake_timeout_s = HANDSHAKE_S,
	    .keepalive_s = 60,
	    .descriptors = descriptors,
	};
}

static void open_with(const struct control_relay_config *config)
{
	struct why why;
	relay = control_relay_open(config, &why);
	if (!relay)
		fail_msg("%s", why.text);
}

static void open_relay(size_t descriptors)
{
	struct control_relay_config config = config_with(descriptors);
	open_with(&config);
}

static void close_relay(void)
{
	control_relay_close(relay);
	relay = NULL;
}

static int set_up(void **state)
{
	char text[80];
	struct why why;
	if (stage_set_up(state) != 0)
		return -1;
	finished = 0;
	forward_s = 0;
	db = callid_db_new(NULL);
	server = loopback_listen(2, 0);
	snprintf(text, sizeof(text), "127.0.0.3:%u,127.0.0.2:%u", loopback_free_port(),
		 loopback_port(server));
	assert_int_equal(pair_parse(text, &pair, &why), 0);
	return db ? 0 : -1;
}

static int tear_down(void **state)
{
	close_relay();
	callid_db_free(db);
	return stage_tear_down(state);
}

static struct callid_totals totals(void)
{
	struct callid_totals now;
	callid_db_totals(db, &now);
	return now;
}

static struct talk come_from(uint8_t host)
{
	return (struct talk){.client = loopback_connect(host, 3, pair.listen.port), .server = -1};
}

static struct talk come(void)
{
	return come_from(1);
}

static struct talk come_and_connect(void)
{
	struct talk talk = come();
	talk_connect(&talk, server);
	return talk;
}

static void leave(const struct talk *talk)
{
	loopback_close(talk->client);
	stage_hear_end(talk->server);
	loopback_close(talk->server);
}

static void assert_logged_once(const char *line)
{
	if (stage_log_count(line) != 1)
		fail_msg("\"%s\" is not in: %s", line, stage_log());
}

static void nobody_can_connect(void)
{
	struct sockaddr_in to = loopback_address(3, pair.listen.port);
	int client = loopback_socket();
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), -1);
	assert_int_equal(errno, ECONNREFUSED);
}

static void on_finished(void *arg)
{
	assert_ptr_equal(arg, &finished);
	finished++;
	finished_with = stage_descriptors();
	finished_at_ms = monotonic_ms();
}

static void shut_down(void)
{
	control_relay_shut_down(relay, on_finished, &finished);
}

/* ---- birth and death ---- */

static void a_call_from_end_to_end(void **state)
{
	(void)state;
	open_relay(MANY);
	assert_int_equal(control_relay_pairs(relay), 1);
	struct talk talk = come_and_connect();
	talk_call(&talk, 7, 9);
	assert_int_equal(totals().calls, 1);
	leave(&talk);
	assert_int_equal(totals().calls, 0);
	assert_false(stage_logged("warning: "));
}

static void what_cannot_be_opened_is_named(void **state)
{
	(void)state;
	char wanted[200];
	struct why why;
	struct control_relay_config config = config_with(MANY);
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	loopback_listen(3, pair.listen.port);
	assert_null(control_relay_open(&config, &why));
	snprintf(wanted, sizeof(wanted),
		 "listen on 127.0.0.3:%u: Address already in use (another program has the port)",
		 pair.listen.port);
	assert_string_equal(why.text, wanted);
	assert_int_equal(stage_descriptors(), descriptors + 1);
	assert_int_equal(stage_events(), events);
}

static struct {
	int fd; /* of the first pair; -1: not asked yet */
} opener;

/* Before the second pair is refused, a client comes for the first one. */
static int open_one(void *arg, uint32_t addr, uint16_t port, const char *name, struct why *why)
{
	assert_ptr_equal(arg, &opener);
	if (opener.fd < 0) {
		opener.fd = control_listen_bind(addr, port, name, why);
		return opener.fd;
	}
	loopback_connect(1, 3, pair.listen.port);
	stage_turn();
	stage_turn();
	return why_set(why, "listen on %s: no", name);
}

static void a_refused_change_takes_nobody_in(void **state)
{
	(void)state;
	struct why why;
	struct pair before = pair, pairs[] = {pair, pair};
	before.listen.port = loopback_free_port();
	struct control_relay_config config = config_with(MANY);
	config.pairs = &before;
	open_with(&config);
	pairs[1].listen.addr++;
	config.pairs = pairs;
	config.pair_count = 2;
	config.open_socket = open_one;
	config.open_socket_arg = &opener;
	opener.fd = -1;
	assert_int_equal(control_relay_change(relay, &config, &why), -1);
	close(opener.fd);
	assert_false(stage_logged(": accepted\n"));
	loopback_connect(1, 3, before.listen.port);
	STAGE_UNTIL(stage_logged(": accepted\n"));
}

static void closed_in_the_midst_of_things(void **state)
{
	(void)state;
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	open_relay(MANY);
	struct talk asking = come(), calling = come_and_connect(), silent = come();
	talk_ask(&asking, server);
	talk_call(&calling, 7, 9);
	close_relay();
	assert_int_equal(stage_descriptors(), descriptors + 5); /* the far ends */
	assert_int_equal(stage_events(), events);
	assert_int_equal(totals().calls, 0);
	stage_hear_end(asking.client);
	stage_hear_end(asking.server);
	stage_hear_end(calling.client);
	stage_hear_end(calling.server);
	stage_hear_end(silent.client);
	nobody_can_connect();
	control_relay_close(NULL);
}

static void closed_while_it_shuts_down(void **state)
{
	(void)state;
	int events = stage_events();
	open_relay(MANY);
	come_and_connect();
	shut_down();
	assert_int_equal(finished, 0);
	close_relay();
	assert_int_equal(finished, 1); /* all have closed */
	assert_int_equal(stage_events(), events);
}

static void closed_while_it_waits_for_descriptors(void **state)
{
	(void)state;
	int events = stage_events();
	open_relay(MANY);
	come();
	stage_exhaust_descriptors(true);
	STAGE_UNTIL(stage_logged(WAIT_LINE));
	stage_exhaust_descriptors(false);
	close_relay();
	assert_int_equal(stage_events(), events);
}

static void a_command_may_refuse(void **state)
{
	(void)state;
	struct control_relay_config config = config_with(MANY);
	config.commands = asker_open(stage_base, ASKER_NO);
	open_with(&config);
	struct talk talk = come();
	stage_hear_end(talk.client);
	assert_int_equal(stage_log_count(": refused: command: no: exit status 1"), 1);
	close_relay();
	asker_close();
}

/* ---- how many there may be ---- */

static const struct room {
	size_t descriptors, commands, room; /* room 0: no warning */
} rooms[] = {{KEPT + 200, 0, 0}, {KEPT + 199, 0, 99}, {KEPT + 4, 0, 2},
	     {KEPT + 3, 0, 1},	 {KEPT + 2, 0, 1},    {KEPT + 1, 0, 1},
	     {10, 0, 1},	 {KEPT + 208, 1, 0},  {KEPT + 207, 1, 99}};

static void few_connections_are_a_warning(void **state)
{
	(void)state;
	int warnings = 0;
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		char line[100];
		struct control_relay_config config = config_with(rooms[i].descriptors);
		config.commands = rooms[i].commands ? asker_open(stage_base, ASKER_NO) : NULL;
		open_with(&config);
		close_relay();
		asker_close();
		warnings += rooms[i].room != 0;
		snprintf(line, sizeof(line),
			 ROOM_LINE "%zu descriptors leaves room for %zu connections at once\n",
			 rooms[i].descriptors, rooms[i].room);
		if (stage_logged(line) != (rooms[i].room != 0) ||
		    stage_log_count(ROOM_LINE) != warnings)
			fail_msg("row %zu: %s", i, stage_log());
	}
}

static void beyond_the_limit_clients_wait(void **state)
{
	(void)state;
	open_relay(KEPT + 4);
	struct talk first = come_and_connect();
	assert_false(stage_logged(WAIT_LINE));
	struct talk second = come_and_connect(), third = come();
	talk_say(third.client, PPTP_START_REQUEST);
	stage_turn();
	stage_turn();
	assert_false(loopback_is(server, POLLIN));
	assert_logged_once(WAIT_LINE "2: the limit of descriptors allows no more\n");
	/* Those that are there are served meanwhile. */
	talk_pass(second.client, second.server, PPTP_ECHO_REQUEST);
	leave(&first);
	STAGE_UNTIL(loopback_is(server, POLLIN));
	assert_int_equal(stage_log_count(": accepted\n"), 3);
}

static void open_limited(const struct control_limits *limits)
{
	struct control_relay_config config = config_with(MANY);
	config.limits = *limits;
	open_with(&config);
}

static struct talk come_accepted(uint8_t host, int accepted)
{
	struct talk talk = come_from(host);
	STAGE_UNTIL(stage_log_count(": accepted\n") == accepted);
	return talk;
}

static void half_open_ones_give_way(void **state)
{
	(void)state;
	open_limited(&(struct control_limits){.connections = 4});
	struct talk other = come_accepted(4, 1), first = come_accepted(1, 2),
		    second = come_accepted(1, 3), asking = come_from(5);
	talk_ask(&asking, server);
	/* The oldest one of the source that has most of them. */
	struct talk late = come_from(6);
	talk_connect(&late, server);
	stage_hear_end(first.client);
	assert_int_equal(stage_log_count(": put out: for a newcomer: "), 1);
	assert_false(stage_logged(WAIT_LINE));
	/* Each has one: whose has been the busiest for longest. */
	struct talk later = come_from(7);
	talk_connect(&later, server);
	stage_hear_end(other.client);
	struct talk last = come_from(8);
	talk_connect(&last, server);
	stage_hear_end(asking.client);
	stage_hear_end(asking.server);
	assert_false(stage_logged(WAIT_LINE));
	/* Nobody is left who could. */
	talk_connect(&second, server);
	STAGE_UNTIL(stage_logged(WAIT_LINE "4: --max-connections allows no more\n"));
	struct talk beyond = come_from(9);
	talk_say(beyond.client, PPTP_START_REQUEST);
	stage_turn();
	stage_turn();
	assert_false(loopback_is(server, POLLIN));
	leave(&late);
	STAGE_UNTIL(loopback_is(server, POLLIN));
	assert_int_equal(stage_log_count(": put out: for a newcomer: "), 3);
}

/* Else each of those that come at once would put out the one before it. */
static void a_source_puts_its_own_out_after_a_second(void **state)
{
	(void)state;
	open_limited(&(struct control_limits){.connections = 2});
	struct talk first = come_accepted(1, 1), second = come_accepted(1, 2);
	stage_hear_end(come().client);
	assert_int_equal(stage_log_count(": refused: limit: no room, and its address has the most "
					 "half-open connections\n"),
			 1);
	talk_connect(&second, server);
	forward_s += 1;
	struct talk third = come();
	talk_connect(&third, server);
	stage_hear_end(first.client);
	assert_int_equal(stage_log_count(": put out: for a newcomer: half open for 1 s, "), 1);
}

static void whom_the_rules_refuse_puts_nobody_out(void **state)
{
	(void)state;
	struct why why;
	struct acl strangers = {0};
	struct control_relay_config config = config_with(MANY);
	assert_int_equal(acl_add(&strangers, "127.0.0.1", &why), 0);
	config.acl = &strangers;
	config.limits.connections = 1;
	open_with(&config);
	struct talk talk = come_accepted(1, 1);
	for (uint8_t host = 10; host < 20; host++)
		stage_hear_end(come_from(host).client);
	assert_false(stage_logged("put out"));
	talk_connect(&talk, server);
	close_relay();
	acl_clear(&strangers);
}

static void a_source_has_its_own_limit(void **state)
{
	(void)state;
	char line[120];
	open_limited(&(struct control_limits){.per_source = 2, .connections = 100});
	struct talk one = come_and_connect(), two = come();
	struct talk third = come();
	uint16_t port = loopback_port(third.client);
	stage_hear_end(third.client);
	snprintf(
	    line, sizeof(line),
	    "127.0.0.1:%u: refused: limit: 2 connections of 127.0.0.1 already (--max-per-source)\n",
	    port);
	assert_logged_once(line);
	/* Others come in. */
	struct talk other = come_from(4);
	talk_connect(&other, server);
	leave(&one);
	talk_connect(&two, server);
	struct talk again = come();
	talk_connect(&again, server);
	assert_false(stage_logged("put out"));
}

static void a_source_has_its_own_rate(void **state)
{
	(void)state;
	open_limited(&(struct control_limits){.rate_per_source = 3});
	for (int i = 1; i <= 3; i++)
		come_accepted(1, i);
	stage_hear_end(come().client);
	assert_logged_once(": refused: rate: more than 3 new connections a second of 127.0.0.1 "
			   "(--max-rate-per-source)\n");
	come_accepted(4, 4);
	forward_s += 1;
	come_accepted(1, 5);
}

static void a_connection_has_its_own_limit_of_calls(void **state)
{
	(void)state;
	uint8_t refusal[PPTP_ANSWER_MAX];
	size_t length = pptp_wire_make_refusal(refusal, PPTP_OUTGOING_CALL_REQUEST, 0);
	open_limited(&(struct control_limits){.calls = 2});
	struct talk talk = come_and_connect(), other = come_and_connect();
	talk_call(&talk, 1, 11);
	talk_call(&talk, 2, 12);
	talk_say(talk.client, PPTP_OUTGOING_CALL_REQUEST);
	stage_hear(talk.client, refusal, length);
	talk_pass(talk.client, talk.server, PPTP_ECHO_REQUEST);
	assert_logged_once(
	    "dropped Outgoing-Call-Request from client: limit: more than 2 calls on one "
	    "connection (--max-calls)\n");
	talk_call(&other, 3, 13);
}

static void limits_change_for_those_that_come(void **state)
{
	(void)state;
	open_limited(&(struct control_limits){0});
	struct talk one = come_and_connect(), two = come_and_connect();
	control_relay_set_limits(relay,
				 &(struct control_limits){.per_source = 1, .connections = 5});
	stage_hear_end(come().client);
	talk_pass(one.client, one.server, PPTP_ECHO_REQUEST);
	control_relay_set_limits(relay, &(struct control_limits){.connections = 1});
	struct talk waiting = come();
	stage_turn();
	stage_turn();
	leave(&one);
	stage_turn();
	assert_int_equal(stage_log_count(": accepted\n"), 2);
	leave(&two);
	talk_connect(&waiting, server);
	control_relay_set_limits(relay, &(struct control_limits){0});
	come_and_connect();
}

/* One goes and the next comes: full again. */
static void replace(struct talk *talk)
{
	leave(talk);
	*talk = come_and_connect();
}

static void that_they_wait_is_told_once_a_minute(void **state)
{
	(void)state;
	open_relay(KEPT + 2);
	struct talk talk = come_and_connect();
	replace(&talk);
	forward_s += 55;
	replace(&talk);
	assert_int_equal(stage_log_count(WAIT_LINE), 1);
	forward_s += 6;
	replace(&talk);
	replace(&talk);
	assert_int_equal(stage_log_count(WAIT_LINE), 2);
	forward_s += 55;
	replace(&talk);
	assert_int_equal(stage_log_count(WAIT_LINE), 2);
}

static void without_descriptors_it_tries_again(void **state)
{
	(void)state;
	open_relay(MANY);
	struct talk talk = come();
	stage_exhaust_descriptors(true);
	STAGE_UNTIL(stage_logged(WAIT_LINE));
	stage_exhaust_descriptors(false);
	assert_logged_once(WAIT_LINE "0: Too many open files\n");
	assert_int_equal(stage_log_count(": accepted\n"), 0);
	talk_connect(&talk, server);
	assert_int_equal(stage_log_count(WAIT_LINE), 1);
}

/* ---- the orderly end ---- */

static void without_connections_it_ends_at_once(void **state)
{
	(void)state;
	open_relay(MANY);
	shut_down();
	assert_int_equal(finished, 1);
	nobody_can_connect();
}

static void all_ends_hear_that_it_ends(void **state)
{
	(void)state;
	open_relay(MANY);
	struct talk talk = come_and_connect(), asking = come();
	talk_call(&talk, 7, 9);
	STAGE_UNTIL(stage_log_count(": accepted\n") == 2);
	shut_down();
	nobody_can_connect();
	talk_hear_farewell(&talk, 7, 9);
	stage_hear_end(asking.client);
	assert_int_equal(totals().calls, 0);
	assert_int_equal(stage_log_count(": closed: shutting down\n"), 2);
}

static void it_ends_with_the_last_connection(void **state)
{
	(void)state;
	open_relay(MANY);
	struct talk first = come_and_connect(), last = come_and_connect();
	/* The listener, a connection's legs and what was the far ends'. */
	size_t one_left = stage_descriptors() - 1 - 4, none_left = one_left - 4;
	uint64_t before = monotonic_ms();
	shut_down();
	loopback_close(first.client);
	loopback_close(first.server);
	STAGE_UNTIL(stage_descriptors() <= one_left);
	loopback_close(last.client);
	loopback_close(last.server);
	STAGE_UNTIL(stage_descriptors() <= none_left);
	assert_int_equal(finished, 1); /* then, not at the deadline */
	/* With the last one, not the first; unless the machine did something else for that second.
	 */
	assert_true(finished_with == none_left || finished_at_ms - before >= 1000);
	close_relay();
	assert_int_equal(finished, 1);
}

static void an_end_that_does_not_close_is_waited_for_a_second(void **state)
{
	(void)state;
	uint8_t stop[PPTP_ANSWER_MAX];
	size_t length = pptp_wire_make_stop(stop, PPTP_STOP_LOCAL_SHUTDOWN);
	open_relay(MANY);
	struct talk talk = come_and_connect();
	size_t open = stage_descriptors();
	uint64_t before = monotonic_ms();
	shut_down();
	STAGE_UNTIL(finished > 0);
	assert_true(finished_at_ms - before >= 900);
	/* A connection that lingers has two, so it is still there, and only the listener is not. */
	assert_int_equal(finished_with, open - 1);
	close_relay();
	assert_int_equal(finished, 1);
	stage_hear(talk.client, stop, length);
	stage_hear(talk.server, stop, length);
}

/* ---- once a second ---- */

/* RFC 2637 section 4.1: data goes in packets of their own; firewalls let the calls' messages
 * through and not these. */
static void silent_ends_are_told_once(void **state)
{
	(void)state;
	struct callid_key from_client = {
	    .proxy_addr = 0x7f000003, .peer_addr = 0x7f000001, .call_id = 12};
	struct callid_route route;
	open_relay(MANY);
	struct talk silent = come_and_connect(), half = come_and_connect(),
		    ended = come_and_connect();
	talk_call(&silent, 1, 11);
	talk_call(&half, 2, 12);
	talk_call(&ended, 3, 13);
	callid_db_read_begin(db);
	assert_int_equal(callid_db_route(db, &from_client, 40, 1, &route), CALLID_ROUTE);
	callid_db_read_end(db);
	leave(&ended);
	forward_s += 6;
	struct talk late = come_and_connect();
	talk_call(&late, 4, 14);
	forward_s += 6;
	STAGE_UNTIL(stage_logged("no GRE from"));
	assert_logged_once("warning: #1 127.0.0.1 -> 127.0.0.2: call of client ID 1, server ID 11: "
			   "no GRE from client 127.0.0.1 for 10 s: "
			   "is IP protocol 47 blocked on the way?\n");
	assert_logged_once("server ID 11: no GRE from server 127.0.0.2 for 10 s: ");
	assert_logged_once("server ID 12: no GRE from server 127.0.0.2 for 10 s: ");
	assert_int_equal(stage_log_count("no GRE from"), 3);
	forward_s += 6;
	STAGE_UNTIL(stage_logged("server ID 14: no GRE from"));
	assert_int_equal(stage_log_count("no GRE from"), 5);
}

static void ids_leave_their_quarantine(void **state)
{
	(void)state;
	open_relay(MANY);
	struct talk talk = come_and_connect();
	talk_call(&talk, 7, 9);
	leave(&talk);
	assert_int_equal(totals().closing, 2);
	forward_s += 31;
	STAGE_UNTIL(totals().closing == 0);
	assert_int_equal(totals().calls, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(a_call_from_end_to_end),
	    CASE(what_cannot_be_opened_is_named),
	    CASE(a_refused_change_takes_nobody_in),
	    CASE(closed_in_the_midst_of_things),
	    CASE(closed_while_it_shuts_down),
	    CASE(closed_while_it_waits_for_descriptors),
	    CASE(a_command_may_refuse),
	    CASE(few_connections_are_a_warning),
	    CASE(beyond_the_limit_clients_wait),
	    CASE(half_open_ones_give_way),
	    CASE(a_source_puts_its_own_out_after_a_second),
	    CASE(whom_the_rules_refuse_puts_nobody_out),
	    CASE(a_source_has_its_own_limit),
	    CASE(a_source_has_its_own_rate),
	    CASE(a_connection_has_its_own_limit_of_calls),
	    CASE(limits_change_for_those_that_come),
	    CASE(that_they_wait_is_told_once_a_minute),
	    CASE(without_descriptors_it_tries_again),
	    CASE(without_connections_it_ends_at_once),
	    CASE(all_ends_hear_that_it_ends),
	    CASE(it_ends_with_the_last_connection),
	    CASE(an_end_that_does_not_close_is_waited_for_a_second),
	    CASE(silent_ends_are_told_once),
	    CASE(ids_leave_their_quarantine),
	};
	return cmocka_run_group_tests_name("control_relay", tests, stage_open, stage_close);
}
