/*
 * The snapshot of a relay with pairs, rules, connections and calls, and what is left of it in the
 * next worker's.
 */
#include "worker/worker_status.h"

#include "host/monotonic.h"
#include "tests/unit/loopback.h"
#include "tests/unit/message.h"
#include "tests/unit/stage.h"
#include "tests/unit/talk.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENT CALLID_CLIENT
#define SERVER CALLID_SERVER

enum { HELD = 8 };

static struct kept *kept;
static struct options options;
static struct worker_status_sources from;
static struct control_relay *control;
static struct gre_relay *gre;
static struct snapshot snapshot;
static int kept_fd, server, held[HELD][2];

static int keep(void *arg, uint32_t index, const int fds[2])
{
	(void)arg;
	for (int side = 0; side < 2; side++)
		held[index][side] = fcntl(fds[side], F_DUPFD_CLOEXEC, 0);
	return 0;
}

static void release(void *arg, uint32_t index)
{
	(void)arg;
	close(held[index][0]);
	close(held[index][1]);
}

static bool give(void *arg, uint32_t index, int fds[2])
{
	(void)arg;
	for (int side = 0; side < 2; side++)
		fds[side] = fcntl(held[index][side], F_DUPFD_CLOEXEC, 0);
	return true;
}

static void open_gre(void)
{
	struct why why;
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	struct gre_socket sockets = {ends[0], ends[1], GRE_RECEIVE_BUFFER};
	struct gre_relay_config config = {.db = from.db, .kept = kept, .sockets = &sockets};
	gre = gre_relay_open(&config, &why);
	assert_non_null(gre);
}

static void open_control(void)
{
	struct why why;
	struct control_relay_config config = {
	    .base = stage_base,
	    .db = from.db,
	    .names = stage_names,
	    .pairs = options.pairs,
	    .pair_count = options.pair_count,
	    .acl = &options.acl,
	    .command_words = options.commands,
	    .command_count = options.command_count,
	    .connect_timeout_s = 20,
	    .handshake_timeout_s = 20,
	    .keepalive_s = 60,
	    .descriptors = 1000,
	    .keeping = {kept, keep, release, give, NULL},
	};
	control = control_relay_open(&config, &why);
	assert_non_null(control);
}

static void begin(void)
{
	struct why why;
	kept = kept_open(kept_fd, &why);
	assert_non_null(kept);
	from = (struct worker_status_sources){
	    .options = &options,
	    .keeper = 4711,
	    .past = worker_status_begin(kept),
	    .db = callid_db_new(kept),
	};
	assert_true(from.past && from.db);
	open_gre();
	open_control();
	from.control = control;
	from.gre = gre;
}

/* The worker dies, if its relay is left. */
static void end(bool leave)
{
	if (leave)
		control_relay_leave(control);
	else
		control_relay_close(control);
	gre_relay_close(gre);
	callid_db_free(from.db);
	kept_close(kept);
}

/* Two pairs that differ, and one in conflict with the first. */
static void configure(void)
{
	char pairs[3][80];
	unsigned port = loopback_free_port();
	struct why why;
	snprintf(pairs[0], sizeof(pairs[0]), "127.0.0.3:%u,127.0.0.2:%u", port,
		 loopback_port(server));
	snprintf(pairs[1], sizeof(pairs[1]), "127.0.0.4:%u,127.0.0.2:1", port);
	snprintf(pairs[2], sizeof(pairs[2]), "127.0.0.3:%u,127.0.0.9", port);
	char *words[] = {"pptpproxy",	    "-p",	  pairs[0],	"-p", pairs[1],	     "-p",
			 pairs[2],	    "-a",	  "10.0.0.0/8", "-a", "127.0.0.0/8", "-x",
			 "/bin/true 'a b'", "--acl-mode", "any",	NULL};
	assert_int_equal(
	    options_parse(&options, sizeof(words) / sizeof(words[0]) - 1, words, NULL, &why),
	    OPTIONS_RUN);
}

static int set_up(void **state)
{
	struct why why;
	if (stage_set_up(state) != 0)
		return -1;
	kept_fd = kept_create(&why);
	server = loopback_listen(2, 0);
	configure();
	begin();
	return 0;
}

static int tear_down(void **state)
{
	snapshot_clear(&snapshot);
	end(false);
	options_clear(&options);
	close(kept_fd);
	return stage_tear_down(state);
}

static void look(void)
{
	struct why why;
	snapshot_clear(&snapshot);
	assert_int_equal(worker_status_fill(&snapshot, &from, &why), 0);
}

static struct talk come(void)
{
	return (struct talk){.client = loopback_connect(1, 3, options.pairs[0].listen.port),
			     .server = -1};
}

static void packet(enum callid_side side, uint16_t shown)
{
	struct callid_key key = {side == CLIENT ? 0x7f000003 : 0x7f000001,
				 side == CLIENT ? 0x7f000001 : 0x7f000002, shown};
	struct callid_route route;
	callid_db_read_begin(from.db);
	assert_int_not_equal(callid_db_route(from.db, &key, 60, monotonic_ms(), &route),
			     CALLID_NONE);
	callid_db_read_end(from.db);
}

/* ---- the date ---- */

static int64_t clock_ahead_s;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	if (clock == CLOCK_REALTIME)
		now->tv_sec += clock_ahead_s;
	return result;
}

/* ---- cases ---- */

static void nothing_yet(void **state)
{
	(void)state;
	look();
	assert_non_null(strchr(snapshot.version, '.'));
	assert_int_equal(snapshot.keeper_pid, 4711);
	assert_int_equal(snapshot.worker_pid, getpid());
	assert_int_equal(snapshot.totals.workers, 1);
	assert_true(snapshot.up_ms < 60000 && snapshot.worker_up_ms <= snapshot.up_ms);
	assert_in_range(snapshot.time_s, time(NULL) - 2, time(NULL));
	assert_false(snapshot.fastpath || snapshot.capturing);
	assert_int_equal(snapshot.call_count, 0);
	assert_int_equal(snapshot.pair_count, 3);
	assert_int_equal(snapshot.pairs[0].state, SNAPSHOT_UNTRIED);
	assert_int_equal(snapshot.pairs[1].state, SNAPSHOT_UNTRIED);
	assert_int_equal(snapshot.pairs[2].state, SNAPSHOT_IGNORED);
	assert_string_equal(snapshot.pairs[1].peer, "127.0.0.2:1");
	assert_int_equal(snapshot.pairs[1].last_error_ms, SNAPSHOT_NEVER);
	assert_int_equal(snapshot.rule_count, 3);
	assert_string_equal(snapshot.rules[1].text, "127.0.0.0/8");
	assert_false(snapshot.rules[1].command);
	assert_string_equal(snapshot.rules[2].text, "/bin/true a b");
	assert_true(snapshot.rules[2].command);
}

static void check_direction(const struct snapshot_direction *direction, uint64_t packets)
{
	assert_int_equal(direction->packets, packets);
	assert_int_equal(direction->octets, packets * 60);
	assert_int_equal(direction->drops, 0);
	assert_true(packets > 0 ? direction->last_ms < 60000
				: direction->last_ms == SNAPSHOT_NEVER);
	assert_false(direction->silent);
}

static void a_call_as_it_is(void **state)
{
	(void)state;
	struct talk talk = come();
	talk_connect(&talk, server);
	talk_call(&talk, 7, 9);
	packet(CLIENT, 9);
	packet(CLIENT, 9);
	look();
	assert_int_equal(snapshot.call_count, 1);
	const struct snapshot_call *call = snapshot.calls;
	assert_string_equal(call->name, "1:7");
	assert_int_equal(call->connection, 1);
	assert_true(call->open && call->known[0] && call->known[1]);
	assert_int_equal(call->caller, CLIENT);
	assert_int_equal(call->addr[CLIENT], 0x7f000001);
	assert_int_equal(call->addr[SERVER], 0x7f000002);
	assert_int_equal(call->port[CLIENT], loopback_port(talk.client));
	assert_int_equal(call->port[SERVER], loopback_port(server));
	assert_int_equal(call->proxy_addr[CLIENT], 0x7f000003);
	assert_int_equal(call->id[CLIENT], 7);
	assert_int_equal(call->id[SERVER], 9);
	assert_int_equal(call->shown[CLIENT], 9);
	assert_int_equal(call->shown[SERVER], 7);
	assert_true(call->age_ms < 60000);
	assert_false(call->fastpath || call->captured);
	check_direction(&call->from[CLIENT], 2);
	check_direction(&call->from[SERVER], 0);
	assert_int_equal(snapshot.pairs[0].state, SNAPSHOT_UP);
	assert_int_equal(snapshot.pairs[0].connections, 1);
	assert_int_equal(snapshot.pairs[0].calls, 1);
	assert_int_equal(snapshot.pairs[0].accepted, 1);
	assert_int_equal(snapshot.pairs[0].connected, 1);
	assert_int_equal(snapshot.pairs[0].failed, 0);
	assert_int_equal(snapshot.pairs[1].calls, 0);
	assert_int_equal(snapshot.rules[0].allowed, 0);
	assert_int_equal(snapshot.rules[1].allowed, 1);
	assert_int_equal(snapshot.totals.connections, 1);
	assert_int_equal(snapshot.totals.half_open, 0);
	assert_int_equal(snapshot.totals.calls, 1);
	assert_int_equal(snapshot.totals.calls_reserved, 0);
	assert_int_equal(snapshot.totals.accepted, 1);
	assert_int_equal(snapshot.totals.calls_opened, 1);
	assert_int_equal(snapshot.totals.messages, 4);
}

static void a_call_that_waits_for_its_reply(void **state)
{
	(void)state;
	struct talk talk = come();
	talk_connect(&talk, server);
	talk_pass(talk.client, talk.server, PPTP_OUTGOING_CALL_REQUEST);
	talk_pass(talk.server, talk.client, PPTP_INCOMING_CALL_REQUEST);
	look();
	assert_int_equal(snapshot.call_count, 2);
	assert_int_equal(snapshot.totals.calls_reserved, 2);
	assert_string_equal(snapshot.calls[0].name, "1:0");
	assert_false(snapshot.calls[0].open || snapshot.calls[0].known[SERVER]);
	assert_true(snapshot.calls[0].known[CLIENT]);
	assert_string_equal(snapshot.calls[1].name, "1:-");
	assert_int_equal(snapshot.calls[1].caller, SERVER);
	assert_true(snapshot.calls[1].known[SERVER] && !snapshot.calls[1].known[CLIENT]);
}

static void calls_stand_by_their_connections(void **state)
{
	(void)state;
	struct talk talks[3];
	for (int i = 0; i < 3; i++) {
		talks[i] = come();
		talk_connect(&talks[i], server);
	}
	talk_call(&talks[2], 20, 21);
	talk_call(&talks[0], 30, 31);
	talk_call(&talks[1], 40, 41);
	talk_call(&talks[0], 10, 11);
	look();
	static const char *const names[] = {"1:30", "1:10", "2:40", "3:20"};
	assert_int_equal(snapshot.call_count, 4);
	for (int i = 0; i < 4; i++)
		assert_string_equal(snapshot.calls[i].name, names[i]);
	assert_int_equal(snapshot.calls[3].port[CLIENT], loopback_port(talks[2].client));
	assert_int_equal(snapshot.pairs[0].calls, 4);
	assert_int_equal(snapshot.pairs[0].connections, 3);
}

static void a_server_that_is_down(void **state)
{
	(void)state;
	struct talk talk = {.client = loopback_connect(1, 4, options.pairs[1].listen.port),
			    .server = -1};
	talk_say(talk.client, PPTP_START_REQUEST);
	stage_hear_end(talk.client);
	look();
	assert_int_equal(snapshot.pairs[1].state, SNAPSHOT_DOWN);
	assert_int_equal(snapshot.pairs[1].failed, 1);
	assert_int_equal(snapshot.pairs[1].connections, 0);
	assert_string_equal(snapshot.pairs[1].last_error, "127.0.0.2:1: Connection refused");
	assert_true(snapshot.pairs[1].last_error_ms < 60000);
	assert_int_equal(snapshot.totals.ends[REASON_NO_SERVER], 1);
	assert_int_equal(snapshot.totals.connections, 0);
}

static void the_next_worker_goes_on(void **state)
{
	(void)state;
	struct talk talk = come(), other = come();
	talk_connect(&talk, server);
	talk_call(&talk, 7, 9);
	packet(SERVER, 7);
	talk_connect(&other, server);
	loopback_close(other.client);
	stage_hear_end(other.server);
	loopback_close(other.server);
	STAGE_UNTIL(control_relay_connections(control) == 1);
	uint64_t began = monotonic_ms();
	STAGE_UNTIL(monotonic_ms() > began);
	end(true);
	begin();
	look();
	assert_int_equal(snapshot.totals.workers, 2);
	assert_true(snapshot.worker_up_ms < snapshot.up_ms);
	assert_string_equal(snapshot.calls[0].name, "1:7");
	assert_int_equal(snapshot.calls[0].port[SERVER], loopback_port(server));
	check_direction(&snapshot.calls[0].from[SERVER], 1);
	assert_int_equal(snapshot.pairs[0].state, SNAPSHOT_UP);
	assert_int_equal(snapshot.pairs[0].connections, 1);
	assert_int_equal(snapshot.pairs[0].calls, 1);
	assert_int_equal(snapshot.pairs[0].accepted, 2);
	assert_int_equal(snapshot.rules[1].allowed, 2);
	assert_int_equal(snapshot.totals.accepted, 2);
	assert_int_equal(snapshot.totals.ends[REASON_CLIENT_CLOSED], 1);
	assert_int_equal(snapshot.totals.calls_opened, 1);
	assert_int_equal(snapshot.totals.calls_ended, 0);
}

/* Prometheus takes another value for another start. */
static void starts_are_the_same_each_time(void **state)
{
	(void)state;
	look();
	uint64_t began = snapshot.began_ms, looks_at = monotonic_ms();
	assert_in_range(began / 1000, time(NULL) - 60, time(NULL));
	assert_int_equal(snapshot.worker_began_ms, began);
	for (uint64_t i = 1; i < 30; i++) {
		STAGE_UNTIL(monotonic_ms() >= looks_at + i);
		look();
		assert_int_equal(snapshot.began_ms, began);
		assert_int_equal(snapshot.worker_began_ms, began);
	}
	end(true);
	begin();
	look();
	assert_int_equal(snapshot.began_ms, began);
	assert_true(snapshot.worker_began_ms > began);
	/* A router's clock, set once there is a network. */
	clock_ahead_s = 3600;
	look();
	clock_ahead_s = 0;
	assert_in_range(snapshot.began_ms, began + 3599000, began + 3601000);
	assert_in_range(snapshot.worker_began_ms, began + 3599000, began + 3661000);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(nothing_yet),
	    CASE(a_call_as_it_is),
	    CASE(a_call_that_waits_for_its_reply),
	    CASE(calls_stand_by_their_connections),
	    CASE(a_server_that_is_down),
	    CASE(the_next_worker_goes_on),
	    CASE(starts_are_the_same_each_time),
	};
	return cmocka_run_group_tests_name("worker_status", tests, stage_open, stage_close) != 0;
}
