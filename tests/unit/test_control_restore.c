/*
 * A second relay goes on with what a first one has left: its connections, or what is lost of them.
 * Both are in this process, which also holds the duplicates; deaths are test_control_kept's.
 */
#include "control_relay.h"

#include "host/monotonic.h"
#include "tests/unit/loopback.h"
#include "tests/unit/message.h"
#include "tests/unit/stage.h"
#include "tests/unit/talk.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { HELD = 8 };

static struct kept *kept;
static struct callid_db *db;
static struct control_relay *relay;
static struct acl acl;
static struct pair pair;
static int kept_fd, server;
static int held[HELD][2];
static bool keeps, gives;
static unsigned released, handshake_timeout_s;
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

/* ---- who holds the duplicates ---- */

static int on_keep(void *arg, uint32_t index, const int fds[2])
{
	(void)arg;
	assert_true(index < HELD && held[index][0] < 0);
	for (int side = 0; keeps && side < 2; side++)
		held[index][side] = fcntl(fds[side], F_DUPFD_CLOEXEC, 0);
	return keeps ? 0 : -1;
}

static void drop_held(uint32_t index)
{
	for (int side = 0; side < 2; side++) {
		if (held[index][side] >= 0)
			close(held[index][side]);
		held[index][side] = -1;
	}
}

static void on_release(void *arg, uint32_t index)
{
	(void)arg;
	assert_true(held[index][0] >= 0);
	drop_held(index);
	released++;
}

static bool give(void *arg, uint32_t index, int fds[2])
{
	(void)arg;
	for (int side = 0; gives && side < 2; side++)
		fds[side] = fcntl(held[index][side], F_DUPFD_CLOEXEC, 0);
	if (!gives)
		drop_held(index);
	return gives;
}

static void open_relay(void)
{
	struct why why;
	kept = kept_open(kept_fd, &why);
	assert_non_null(kept);
	db = callid_db_new(kept);
	struct control_relay_config config = {
	    .base = stage_base,
	    .db = db,
	    .names = stage_names,
	    .pairs = &pair,
	    .pair_count = 1,
	    .acl = &acl,
	    .connect_timeout_s = 20,
	    .handshake_timeout_s = handshake_timeout_s,
	    .keepalive_s = 60,
	    .descriptors = 1000,
	    .keeping = {kept, on_keep, on_release, give, NULL},
	};
	relay = control_relay_open(&config, &why);
	assert_non_null(relay);
}

static void close_table(void)
{
	callid_db_free(db);
	kept_close(kept);
}

static void go_on(void)
{
	control_relay_leave(relay);
	close_table();
	open_relay();
}

static int set_up(void **state)
{
	char text[80];
	struct why why;
	if (stage_set_up(state) != 0)
		return -1;
	memset(held, 0xFF, sizeof(held));
	keeps = gives = true;
	released = 0;
	handshake_timeout_s = 20;
	forward_s = 0;
	kept_fd = kept_create(&why);
	server = loopback_listen(2, 0);
	snprintf(text, sizeof(text), "127.0.0.3:%u,127.0.0.2:%u", loopback_free_port(),
		 loopback_port(server));
	assert_int_equal(pair_parse(text, &pair, &why), 0);
	open_relay();
	return 0;
}

static int tear_down(void **state)
{
	control_relay_close(relay);
	close_table();
	close(kept_fd);
	for (uint32_t i = 0; i < HELD; i++)
		drop_held(i);
	return stage_tear_down(state);
}

static struct talk come_and_call(uint16_t client_id, uint16_t server_id)
{
	struct talk talk = {.client = loopback_connect(1, 3, pair.listen.port), .server = -1};
	talk_connect(&talk, server);
	talk_call(&talk, client_id, server_id);
	return talk;
}

static void check_totals(size_t calls, size_t closing)
{
	struct callid_totals totals;
	callid_db_totals(db, &totals);
	assert_int_equal(totals.calls, calls);
	assert_int_equal(totals.closing, closing);
}

static void leave(const struct talk *talk)
{
	loopback_close(talk->client);
	stage_hear_end(talk->server);
	loopback_close(talk->server);
}

/* ---- cases ---- */

static void connections_go_on(void **state)
{
	(void)state;
	struct talk first = come_and_call(7, 9), second = come_and_call(8, 10);
	for (int round = 0; round < 3; round++) {
		go_on();
		assert_true(stage_logged("going on with 2 connections and 2 calls; 0 calls lost"));
		talk_pass(first.client, first.server, PPTP_ECHO_REQUEST);
		talk_pass(second.server, second.client, PPTP_ECHO_REQUEST);
	}
	check_totals(2, 0);
	struct talk third = come_and_call(11, 12);
	assert_true(stage_logged("#3 127.0.0.1"));
	leave(&first);
	STAGE_UNTIL(released == 1);
	go_on();
	check_totals(2, 2);
	talk_pass(third.client, third.server, PPTP_ECHO_REQUEST);
	/* Its record is used again. */
	struct talk fourth = come_and_call(14, 13);
	assert_true(held[0][0] >= 0 && held[1][0] >= 0 && held[2][0] >= 0 && held[3][0] < 0);
	leave(&second);
	leave(&third);
	leave(&fourth);
	STAGE_UNTIL(released == 4);
	check_totals(0, 8);
}

static void an_end_while_nobody_is_there(void **state)
{
	(void)state;
	struct talk talk = come_and_call(7, 9);
	control_relay_leave(relay);
	close_table();
	loopback_close(talk.client);
	open_relay();
	stage_hear_end(talk.server);
	loopback_close(talk.server);
	STAGE_UNTIL(released == 1);
	assert_true(stage_logged("closed: client closed"));
	check_totals(0, 2);
}

/* The server has not closed yet. */
static void a_connection_that_was_closing(void **state)
{
	(void)state;
	struct talk talk = come_and_call(7, 9);
	loopback_close(talk.client);
	stage_hear_end(talk.server);
	go_on();
	assert_int_equal(released, 0);
	assert_int_equal(stage_log_count("closed: client closed"), 1);
	loopback_close(talk.server);
	STAGE_UNTIL(released == 1);
	assert_int_equal(stage_log_count(": closed: "), 1);
}

/* And never does: the next process waits no longer than the one before would have. */
static void a_closing_connection_is_not_waited_for_long(void **state)
{
	(void)state;
	struct talk talk = come_and_call(7, 9);
	loopback_close(talk.client);
	stage_hear_end(talk.server);
	go_on();
	STAGE_UNTIL(released == 1);
	loopback_close(talk.server);
}

static void a_connection_whose_descriptors_are_gone(void **state)
{
	(void)state;
	struct talk talk = come_and_call(7, 9);
	gives = false;
	go_on();
	assert_true(stage_logged("#1: closed: failed: its descriptors were not kept"));
	assert_int_equal(control_relay_counts(relay)->ends[REASON_FAILED], 1);
	assert_int_equal(control_relay_counts(relay)->calls_ended, 1);
	assert_true(stage_logged("#1: call ended: client ID 7: its connection ended with"));
	assert_true(stage_logged("going on with 0 connections and 0 calls; 1 calls lost"));
	check_totals(0, 2);
	stage_hear_end(talk.client);
	stage_hear_end(talk.server);
	gives = true;
	go_on();
	talk = come_and_call(8, 10);
	assert_true(held[0][0] >= 0);
	leave(&talk);
}

static void a_connection_that_nobody_keeps(void **state)
{
	(void)state;
	keeps = false;
	struct talk talk = come_and_call(7, 9), other = come_and_call(8, 10);
	assert_int_equal(stage_log_count("will not outlive a restart: nobody takes its"), 1);
	talk_pass(talk.client, talk.server, PPTP_ECHO_REQUEST);
	go_on();
	stage_hear_end(talk.client);
	stage_hear_end(other.server);
	check_totals(0, 4);
}

static void calls_of_a_connection_that_was_not_kept(void **state)
{
	(void)state;
	struct callid_request request = {.legs = {{1, 2}, {3, 4}}, .caller_id = 5, .connection = 9};
	uint16_t shown;
	callid_db_reserve(db, &request, monotonic_ms(), &shown);
	go_on();
	assert_true(stage_logged("#9: call ended: client ID 5: its connection ended with"));
	check_totals(0, 1);
}

static struct control_record *record_of(uint64_t number)
{
	struct control_record *records =
	    kept_section(kept, KEPT_CONNECTIONS, sizeof(*records), CONTROL_RECORDS_MAX);
	for (size_t i = 0; i < HELD; i++) {
		if (records[i].used && records[i].number == number)
			return &records[i];
	}
	fail_msg("connection %llu has no record", (unsigned long long)number);
	return NULL;
}

/* As urgent data would make them; and only the one connection suffers. */
static void positions_that_cannot_be(void **state)
{
	(void)state;
	for (uint16_t i = 0; i < 4; i++) {
		struct talk talk = come_and_call(i, i), other = come_and_call(8 + i, 8 + i);
		struct control_leg_record *leg = &record_of(1 + 2U * i)->legs[i / 2];
		if (i % 2)
			leg->take_to += 4;
		else
			leg->sent_before -= 4;
		go_on();
		stage_hear_end(talk.client);
		stage_hear_end(talk.server);
		assert_int_equal(stage_log_count("cannot go on: Protocol error"), i + 1);
		talk_pass(other.client, other.server, PPTP_ECHO_REQUEST);
		leave(&other);
		loopback_close(talk.client);
		loopback_close(talk.server);
		STAGE_UNTIL(released == 2U * (i + 1U));
	}
}

static void an_open_call_needs_no_handshake(void **state)
{
	(void)state;
	struct talk talk = come_and_call(7, 9);
	record_of(1)->established = false;
	handshake_timeout_s = 0;
	go_on();
	talk_pass(talk.client, talk.server, PPTP_ECHO_REQUEST);
	talk_pass(talk.server, talk.client, PPTP_ECHO_REQUEST);
	leave(&talk);
}

/* The server has a call to answer, and has not accepted the connection yet. */
static void a_handshake_has_its_deadline_again(void **state)
{
	(void)state;
	struct talk talk = {.client = loopback_connect(1, 3, pair.listen.port), .server = -1};
	talk_connect(&talk, server);
	talk_pass(talk.client, talk.server, PPTP_OUTGOING_CALL_REQUEST);
	record_of(1)->established = false;
	handshake_timeout_s = 0;
	go_on();
	stage_hear_end(talk.client);
	stage_hear_end(talk.server);
	assert_true(stage_logged("for the server's Start-Control-Connection-Reply"));
	loopback_close(talk.client);
	loopback_close(talk.server);
	STAGE_UNTIL(released == 1);
}

static void silence_is_still_told(void **state)
{
	(void)state;
	struct talk old = come_and_call(7, 9);
	forward_s = 20;
	STAGE_UNTIL(stage_log_count("no GRE from") == 2);
	struct talk talk = come_and_call(8, 10);
	forward_s = 25;
	go_on();
	forward_s = 31;
	STAGE_UNTIL(stage_log_count("no GRE from") == 4);
	go_on();
	assert_int_equal(stage_log_count("client ID 8, server ID 10: no GRE from"), 2);
	leave(&old);
	leave(&talk);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(connections_go_on),
	    CASE(an_end_while_nobody_is_there),
	    CASE(a_connection_that_was_closing),
	    CASE(a_closing_connection_is_not_waited_for_long),
	    CASE(a_connection_whose_descriptors_are_gone),
	    CASE(a_connection_that_nobody_keeps),
	    CASE(calls_of_a_connection_that_was_not_kept),
	    CASE(positions_that_cannot_be),
	    CASE(an_open_call_needs_no_handshake),
	    CASE(a_handshake_has_its_deadline_again),
	    CASE(silence_is_still_told),
	};
	return cmocka_run_group_tests_name("control_restore", tests, stage_open, stage_close) != 0;
}
