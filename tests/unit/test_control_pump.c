/*
 * control_pump between two TCP legs on loopback: a fake client and a fake server hold the far ends.
 */
#include "control/control_pump.h"

#include "tests/unit/loopback.h"
#include "tests/unit/message.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENT CALLID_CLIENT
#define SERVER CALLID_SERVER

static struct event_base *base;
static struct callid_db *db;
static struct control_leg legs[2];
static struct control_pump pump;
static struct control_counts counts;
static struct control_pump_failure failure;
static int far[2];

static void ignore(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static void on_opened(void *arg, callid_ref call)
{
	(void)arg;
	(void)call;
}

static void on_ended(void *arg, const struct callid_info *call, const char *reason)
{
	(void)arg;
	(void)call;
	(void)reason;
}

static const struct call_snoop_events events = {on_opened, on_ended};

static const char *label(const void *arg)
{
	return arg;
}

static void connect_leg(int side)
{
	int listener = loopback_listen(1, 0);
	far[side] = loopback_connect(1, 1, loopback_port(listener));
	struct control_socket near = {.fd = loopback_take(listener)};
	loopback_close(listener);
	assert_int_equal(control_leg_open(&legs[side], &near, base, ignore, NULL), 0);
}

static int set_up(void **state)
{
	(void)state;
	static const struct callid_leg addresses[] = {{1, 2}, {3, 4}};
	base = event_base_new();
	db = callid_db_new(NULL);
	connect_leg(CLIENT);
	connect_leg(SERVER);
	counts = (struct control_counts){0};
	pump = (struct control_pump){
	    .legs = legs, .label = label, .label_arg = "#1", .counts = &counts};
	pump.snoop = call_snoop_new(db, addresses, 1, &events, NULL);
	return pump.snoop ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	call_snoop_end(pump.snoop, 1, "test over");
	call_snoop_free(pump.snoop);
	for (int side = 0; side < 2; side++)
		control_leg_close(&legs[side]);
	loopback_close_all();
	callid_db_free(db);
	event_base_free(base);
	return 0;
}

static void say(int side, const uint8_t *octets, size_t length)
{
	loopback_send(far[side], octets, length);
	loopback_wait(legs[side].fd, POLLIN);
}

static void hear(int side, const uint8_t *octets, size_t length)
{
	loopback_hear(far[side], octets, length);
}

static void messages_joined_and_cut_pass_whole(void **state)
{
	(void)state;
	uint8_t two[400];
	size_t first = message_make(two, PPTP_START_REQUEST),
	       both = first + message_make(two + first, PPTP_ECHO_REQUEST);
	say(CLIENT, two, both - 3);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
	hear(SERVER, two, first);
	/* The cut one still waits in the socket, whole. */
	uint8_t waiting[64];
	assert_int_equal(recv(legs[CLIENT].fd, waiting, sizeof(waiting), MSG_PEEK),
			 both - 3 - first);
	say(CLIENT, two + both - 3, 3);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
	hear(SERVER, two + first, both - first);
	assert_int_equal(recv(legs[CLIENT].fd, waiting, sizeof(waiting), MSG_PEEK), -1);
}

static void a_lie_fails_its_sender(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		uint8_t message[200];
		size_t length = message_make(message, PPTP_ECHO_REQUEST);
		message[5] ^= 1;
		say(side, message, length);
		assert_int_equal(control_pump_run(&pump, (enum callid_side)side, &failure),
				 CONTROL_PUMP_FAILED);
		assert_int_equal(failure.side, side);
		assert_int_equal(failure.reason, REASON_MALFORMED);
		assert_string_equal(failure.more, side == CLIENT
						      ? ": message from client: magic cookie"
						      : ": message from server: magic cookie");
	}
}

static void a_message_of_no_call_is_dropped_and_counted(void **state)
{
	(void)state;
	uint8_t message[200];
	size_t length = message_make(message, PPTP_CALL_CLEAR_REQUEST);
	say(CLIENT, message, length);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
	assert_int_equal(pump.dropped, 1);
	length = message_make(message, PPTP_ECHO_REQUEST);
	say(CLIENT, message, length);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
	hear(SERVER, message, length);
}

static void established_by_a_good_start_reply_only(void **state)
{
	(void)state;
	static const struct {
		uint8_t result;
		bool established;
	} cases[] = {{2, false}, {0, true}, {1, true}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t message[200];
		size_t length = message_make(message, PPTP_START_REPLY);
		message[14] = cases[i].result;
		pump.established = false;
		say(CLIENT, message, length); /* from the wrong side it says nothing */
		assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
		assert_false(pump.established);
		say(SERVER, message, length);
		assert_int_equal(control_pump_run(&pump, SERVER, &failure), CONTROL_PUMP_WAIT);
		assert_int_equal(pump.established, cases[i].established);
		hear(CLIENT, message, length);
	}
}

static void a_full_outbox_stops_both_directions(void **state)
{
	(void)state;
	uint8_t message[200];
	size_t length = message_make(message, PPTP_ECHO_REQUEST);
	legs[SERVER].outbox = calloc(1, sizeof(*legs[SERVER].outbox));
	memcpy(legs[SERVER].outbox->octets, message, length);
	legs[SERVER].outbox->length = length;
	for (int side = 0; side < 2; side++) {
		say(side, message, length);
		assert_int_equal(control_pump_run(&pump, (enum callid_side)side, &failure),
				 CONTROL_PUMP_WAIT);
		uint8_t octet;
		assert_int_equal(recv(far[!side], &octet, 1, MSG_DONTWAIT), -1);
	}
	assert_int_equal(control_pump_flush(&pump, SERVER, &failure), CONTROL_PUMP_WAIT);
	hear(SERVER, message, length);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
	hear(SERVER, message, length);
}

static void the_end_comes_behind_what_was_sent(void **state)
{
	(void)state;
	uint8_t message[200];
	size_t length = message_make(message, PPTP_ECHO_REQUEST);
	say(CLIENT, message, length);
	loopback_close(far[CLIENT]);
	legs[CLIENT].peer_closed = true; /* as its event tells */
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_ENDED);
	hear(SERVER, message, length);
}

static void a_failed_write_names_the_other_side(void **state)
{
	(void)state;
	uint8_t message[200];
	size_t length = message_make(message, PPTP_ECHO_REQUEST);
	control_leg_shut(&legs[SERVER]);
	say(CLIENT, message, length);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_FAILED);
	assert_int_equal(failure.side, SERVER);
	assert_int_equal(failure.reason, REASON_FAILED);
	assert_string_equal(failure.more, ": server: Broken pipe");
}

static enum callid_answer look_up(const struct callid_key *key)
{
	struct callid_route route;
	callid_db_read_begin(db);
	enum callid_answer answer = callid_db_route(db, key, 1, 1, &route);
	callid_db_read_end(db);
	return answer;
}

/* RFC 2637 section 2.8; callid_db.h: held until the Reply has been handed over. */
static void a_written_reply_releases_the_way(void **state)
{
	(void)state;
	uint8_t message[200];
	struct callid_key key = {.proxy_addr = 3, .peer_addr = 4};
	size_t length = message_make(message, PPTP_OUTGOING_CALL_REQUEST);
	pptp_wire_set12(message, 7);
	say(CLIENT, message, length);
	assert_int_equal(control_pump_run(&pump, CLIENT, &failure), CONTROL_PUMP_WAIT);
	hear(SERVER, message, length);
	key.call_id = 7;
	assert_int_equal(look_up(&key), CALLID_HELD);
	length = message_make(message, PPTP_OUTGOING_CALL_REPLY);
	pptp_wire_set12(message, 9);
	pptp_wire_set14(message, 7);
	message[16] = PPTP_RESULT_OK;
	say(SERVER, message, length);
	assert_int_equal(control_pump_run(&pump, SERVER, &failure), CONTROL_PUMP_WAIT);
	hear(CLIENT, message, length);
	assert_int_equal(look_up(&key), CALLID_ROUTE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(messages_joined_and_cut_pass_whole),
	    CASE(a_lie_fails_its_sender),
	    CASE(a_message_of_no_call_is_dropped_and_counted),
	    CASE(established_by_a_good_start_reply_only),
	    CASE(a_full_outbox_stops_both_directions),
	    CASE(the_end_comes_behind_what_was_sent),
	    CASE(a_failed_write_names_the_other_side),
	    CASE(a_written_reply_releases_the_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
