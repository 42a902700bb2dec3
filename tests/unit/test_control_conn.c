/*
 * control_conn between clients at 127.0.0.1 and a server at 127.0.0.2, from accept to the last
 * octet.
 */
#include "control/control_conn.h"
#include "control/control_env.h"
#include "control/control_kept.h"
#include "control/control_pairs.h"
#include "control/control_rules.h"
#include "control/control_sources.h"

#include "host/log.h"
#include "host/monotonic.h"
#include "tests/unit/asker.h"
#include "tests/unit/loopback.h"
#include "tests/unit/message.h"
#include "tests/unit/stage.h"
#include "tests/unit/talk.h"

#include <errno.h>
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

enum { HANDSHAKE_S = 30 };

static struct control_env env;
static struct control_counts counts;
static unsigned came;
static struct acl acl;
static struct pair pairs[2], *pair; /* the one that clients come for now */
static int entrance, server;	    /* listeners: where clients come in, and the pair's peer */
static int gone, settled, opened;   /* told */
static bool forbid;

struct ends {
	struct talk talk;
	char label[100]; /* how its log lines start */
};

static void on_opened(void *arg, callid_ref call)
{
	assert_ptr_equal(arg, &env);
	assert_true(call != 0);
	opened++;
}

static void on_gone(void *arg)
{
	assert_ptr_equal(arg, &env);
	gone++;
}

static void on_settled(void *arg)
{
	assert_ptr_equal(arg, &env);
	settled++;
}

static bool is_forbidden(void *arg, uint32_t addr, uint16_t port)
{
	assert_ptr_equal(arg, pair); /* the check that came with the descriptor */
	assert_int_equal(addr, 0x7f000002);
	assert_int_equal(port, pair->peer.port);
	return forbid;
}

static int pair_users;

static void set_peer(int listener)
{
	char text[40];
	struct why why;
	server = listener;
	pair = &pairs[pair == &pairs[0]];
	snprintf(text, sizeof(text), "127.0.0.2:%u", loopback_port(listener));
	assert_int_equal(pair_parse(text, pair, &why), 0);
}

static void on_pair_used(void *loop_check, bool used)
{
	assert_non_null(loop_check);
	pair_users += used ? 1 : -1;
}

static int set_up(void **state)
{
	if (stage_set_up(state) != 0)
		return -1;
	gone = settled = opened = 0;
	came = 0;
	forbid = false;
	env = (struct control_env){
	    .base = stage_base,
	    .db = callid_db_new(NULL),
	    .acl = &acl,
	    .handshake_timeout_s = HANDSHAKE_S,
	    .dial =
		{
		    .base = stage_base,
		    .names = stage_names,
		    .connect_timeout_s = HANDSHAKE_S,
		    .keepalive_s = 60,
		    .forbidden = is_forbidden,
		},
	    .call_opened = on_opened,
	    .conn_gone = on_gone,
	    .conn_settled = on_settled,
	    .pair_used = on_pair_used,
	    .arg = &env,
	};
	control_conn_prepare(&env);
	counts = (struct control_counts){0};
	env.counts = &counts;
	env.pairs = control_pairs_new(NULL);
	env.rules = control_rules_new(NULL);
	assert_true(env.pairs && env.rules);
	env.sources =
	    control_sources_new(&(struct control_sources_config){.limited = &env.limited});
	entrance = loopback_listen(1, 0);
	set_peer(loopback_listen(2, 0));
	return env.db && env.sources ? 0 : -1;
}

static size_t calls(void)
{
	struct callid_totals totals;
	callid_db_totals(env.db, &totals);
	return totals.calls;
}

/* Each connection has come to one end, which the log names, unless there were too many lines. */
static void check_counts(void)
{
	uint64_t all = 0;
	char line[80];
	for (int i = 0; i < REASON_END_COUNT; i++) {
		all += counts.ends[i];
		snprintf(line, sizeof(line), ": closed: %s", reason_end_name((enum reason_end)i));
		if (log_wants(LOG_LEVEL_DEBUG))
			assert_int_equal(stage_log_count(line), counts.ends[i]);
	}
	for (int i = 0; i < REASON_REFUSAL_COUNT; i++) {
		all += counts.refusals[i];
		snprintf(line, sizeof(line), ": refused: %s",
			 reason_refusal_name((enum reason_refusal)i));
		if (log_wants(LOG_LEVEL_DEBUG))
			assert_int_equal(stage_log_count(line), counts.refusals[i]);
	}
	assert_int_equal(all, came);
}

static int tear_down(void **state)
{
	while (!LIST_EMPTY(&env.conns))
		control_conn_abort(LIST_FIRST(&env.conns));
	assert_int_equal(env.conn_count, 0);
	assert_int_equal(calls(), 0);
	assert_int_equal(pair_users, 0);
	check_counts();
	asker_close();
	assert_null(control_sources_oldest(env.sources));
	control_sources_free(env.sources);
	control_pairs_free(env.pairs);
	control_rules_free(env.rules);
	acl_clear(&acl);
	callid_db_free(env.db);
	return stage_tear_down(state);
}

/* ---- far ends ---- */

static struct ends come(void)
{
	struct ends ends = {{.client = loopback_connect(1, 1, loopback_port(entrance))}, ""};
	uint64_t before = env.last_number;
	struct control_socket client = {.fd = loopback_take(entrance)};
	control_conn_accept(&env, pair, pair, &client);
	came++;
	assert_int_equal(env.last_number, before + 1);
	snprintf(ends.label, sizeof(ends.label), "#%u 127.0.0.1:%u -> 127.0.0.2:%u",
		 (unsigned)env.last_number, loopback_port(ends.talk.client), pair->peer.port);
	return ends;
}

/* Its request has gone to the server, which has not replied. */
static struct ends come_and_ask(void)
{
	struct ends ends = come();
	talk_ask(&ends.talk, server);
	return ends;
}

static struct ends come_and_connect(void)
{
	struct ends ends = come();
	talk_connect(&ends.talk, server);
	return ends;
}

/* That line, once; %u in it is the server's port. */
static void assert_told(const struct ends *ends, const char *format)
{
	char what[300], line[500];
	snprintf(what, sizeof(what), format, pair->peer.port);
	snprintf(line, sizeof(line), "%s: %s\n", ends->label, what);
	if (stage_log_count(line) != 1)
		fail_msg("\"%s\" is not in: %s", line, stage_log());
}

static void assert_nobody_at_the_server(void)
{
	assert_false(loopback_is(server, POLLIN));
}

/* ---- the whole way ---- */

static void from_accept_to_relaying(void **state)
{
	(void)state;
	uint8_t message[PPTP_MESSAGE_MAX];
	struct ends ends = come();
	size_t length = message_make(message, PPTP_START_REQUEST);
	assert_int_equal(env.conn_count, 1);
	loopback_send(ends.talk.client, message, length - 1);
	stage_turn();
	stage_turn();
	assert_nobody_at_the_server();
	loopback_send(ends.talk.client, message + length - 1, 1);
	STAGE_UNTIL(loopback_is(server, POLLIN));
	ends.talk.server = loopback_accept(server);
	stage_hear(ends.talk.server, message, length);
	talk_pass(ends.talk.server, ends.talk.client, PPTP_START_REPLY);
	talk_pass(ends.talk.client, ends.talk.server, PPTP_ECHO_REQUEST);
	talk_pass(ends.talk.server, ends.talk.client, PPTP_ECHO_REPLY);
	assert_told(&ends, "connected");
	assert_int_equal(env.conn_count, 1);
}

/* In a few turns of the loop, of 5 ms at most, and so not at a deadline; a machine that does
 * something else for a second makes none. */
static void goes_at_once(void)
{
	stage_begin_wait();
	for (int turns = 0; gone == 0; turns++) {
		assert_true(turns < 100);
		stage_wait("gone", __FILE__, __LINE__);
	}
}

/* One end says a last message and closes; the other hears both, and closes too. */
static void ends_with(struct ends *ends, int *first, int *second, const char *told)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make(message, PPTP_STOP_REQUEST);
	loopback_send(*first, message, length);
	loopback_close(*first);
	stage_hear(*second, message, length);
	stage_hear_end(*second);
	assert_told(ends, told);
	assert_int_equal(gone, 0);
	assert_int_equal(env.conn_count, 1);
	loopback_close(*second);
	goes_at_once();
	assert_int_equal(gone, 1);
	assert_int_equal(env.conn_count, 0);
}

static void the_client_closes(void **state)
{
	(void)state;
	struct ends ends = come_and_connect();
	ends_with(&ends, &ends.talk.client, &ends.talk.server, "closed: client closed");
}

static void the_server_closes(void **state)
{
	(void)state;
	struct ends ends = come_and_connect();
	ends_with(&ends, &ends.talk.server, &ends.talk.client, "closed: server closed");
}

static void an_end_that_does_not_close_is_left(void **state)
{
	(void)state;
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	struct ends ends = come_and_connect();
	loopback_close(ends.talk.client);
	stage_hear_end(ends.talk.server);
	uint64_t before = monotonic_ms();
	STAGE_UNTIL(gone == 1);
	assert_true(monotonic_ms() - before > 1000);
	assert_int_equal(stage_descriptors(), descriptors + 1); /* the server's */
	assert_int_equal(stage_events(), events);
}

/* Sends what fits; true: nothing is left. */
static bool sent(int fd, size_t *left)
{
	static const uint8_t octets[65536];
	while (*left > 0) {
		ssize_t some = send(fd, octets, sizeof(octets), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (some < 0 && errno == EAGAIN)
			return false;
		assert_true(some > 0);
		*left -= (size_t)some < *left ? (size_t)some : *left;
	}
	return true;
}

/* Else the server's FIN could not come, and a close with unread input would be a reset. */
static void what_comes_behind_the_end_is_read(void **state)
{
	(void)state;
	int error = 0;
	socklen_t length = sizeof(error);
	size_t left = 8 * 1024 * 1024;
	struct ends ends = come_and_connect();
	loopback_close(ends.talk.client);
	stage_hear_end(ends.talk.server);
	STAGE_UNTIL(sent(ends.talk.server, &left));
	shutdown(ends.talk.server, SHUT_WR);
	STAGE_UNTIL(gone == 1);
	getsockopt(ends.talk.server, SOL_SOCKET, SO_ERROR, &error, &length);
	assert_int_equal(error, 0);
}

static void calls_are_told_and_end_with_it(void **state)
{
	(void)state;
	struct ends ends = come_and_connect();
	talk_call(&ends.talk, 7, 9);
	assert_int_equal(opened, 1);
	assert_int_equal(calls(), 1);
	assert_told(&ends, "call opened: client ID 7 (server sees 7), "
			   "server ID 9 (client sees 9)");
	loopback_close(ends.talk.client);
	stage_hear_end(ends.talk.server);
	assert_int_equal(calls(), 0);
	assert_int_equal(counts.calls_opened, 1);
	assert_int_equal(counts.calls_ended, 1);
	assert_told(&ends, "call ended: client ID 7, server ID 9: client closed: "
			   "0 s; client sent 0 packets, 0 octets, 0 dropped; "
			   "server sent 0 packets, 0 octets, 0 dropped");
}

static void five_calls_that_never_opened_are_told(void **state)
{
	(void)state;
	struct ends ends = come_and_connect();
	stage_log_without_debug();
	for (uint16_t id = 1; id <= 7; id++) {
		uint8_t message[PPTP_MESSAGE_MAX];
		size_t length = message_make_of_call(message, PPTP_OUTGOING_CALL_REQUEST, id, 0);
		loopback_send(ends.talk.client, message, length);
		stage_hear(ends.talk.server, message, length);
	}
	assert_int_equal(calls(), 7);
	loopback_close(ends.talk.server);
	stage_hear_end(ends.talk.client);
	assert_int_equal(calls(), 0);
	assert_int_equal(opened, 0);
	assert_int_equal(stage_log_count("call ended before it opened: client ID "), 5);
	assert_told(&ends, "call ended before it opened: client ID 1: server closed");
}

/* ---- deadlines ---- */

static void the_handshake_has_a_deadline(void **state)
{
	(void)state;
	int answering = server;
	env.handshake_timeout_s = 2;
	struct ends established = come_and_connect(), asking = come_and_ask(), waiting = come();
	set_peer(loopback_listen_silent(2));
	struct ends dialling = come();
	talk_say(dialling.talk.client, PPTP_START_REQUEST);
	stage_hear_end(asking.talk.client);
	stage_hear_end(asking.talk.server);
	stage_hear_end(waiting.talk.client);
	stage_hear_end(dialling.talk.client);
	assert_told(&asking, "closed: deadline: waited 2 s for the server's "
			     "Start-Control-Connection-Reply");
	assert_told(&waiting, "closed: deadline: waited 2 s for the client's "
			      "Start-Control-Connection-Request");
	assert_told(&dialling,
		    "closed: deadline: waited 2 s for the server to accept the connection");
	talk_pass(established.talk.client, established.talk.server, PPTP_ECHO_REQUEST);
	assert_false(loopback_is(answering, POLLIN));
}

static void use_commands(bool there, enum asker_says says)
{
	asker_close();
	env.commands = there ? asker_open(stage_base, says) : NULL;
}

static void an_access_command_counts_as_well(void **state)
{
	(void)state;
	env.handshake_timeout_s = 1;
	use_commands(true, ASKER_NOTHING);
	struct ends ends = come();
	stage_hear_end(ends.talk.client);
	assert_told(&ends, "closed: deadline: waited 1 s for the access command");
	assert_int_equal(asker_asked().questions, 1);
	assert_int_equal(asker_asked().cancelled, 1);
	assert_int_equal(gone, 1);
}

/* ---- access ---- */

static const struct access {
	const char *rule;
	enum { NONE, YES, NO } command;
	bool any, admitted;
} accesses[] = {
    {NULL, NONE, false, true},		{"127.0.0.0/8", NONE, false, true},
    {"10.0.0.0/8", NONE, false, false}, {NULL, YES, false, true},
    {NULL, NO, false, false},		{"127.0.0.0/8", YES, false, true},
    {"127.0.0.0/8", NO, false, false},	{"10.0.0.0/8", YES, false, false},
    {"10.0.0.0/8", NO, true, false},	{"10.0.0.0/8", YES, true, true},
    {"127.0.0.0/8", NO, true, true},
};

static void try_access(const struct access *access)
{
	struct why why;
	gone = 0;
	acl_clear(&acl);
	if (access->rule)
		assert_int_equal(acl_add(&acl, access->rule, &why), 0);
	use_commands(access->command != NONE, access->command == YES ? ASKER_YES : ASKER_NO);
	env.acl_any = access->any;
	struct ends ends = come();
	if (gone == 0)
		talk_say(ends.talk.client, PPTP_START_REQUEST);
	STAGE_UNTIL(gone > 0 || loopback_is(server, POLLIN));
	if (access->admitted != loopback_is(server, POLLIN))
		fail_msg("row %zu: %s", access - accesses, stage_log());
	if (access->admitted) {
		loopback_close(loopback_accept(server));
		loopback_close(ends.talk.client);
		STAGE_UNTIL(gone > 0);
	} else {
		stage_hear_end(ends.talk.client);
	}
}

static void rules_and_commands_decide(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++)
		try_access(&accesses[i]);
}

static void a_decision_is_told(void **state)
{
	(void)state;
	struct why why;
	assert_int_equal(acl_add(&acl, "127.0.0.0/255.0.0.0", &why), 0);
	struct ends allowed = come();
	acl_clear(&acl);
	assert_int_equal(acl_add(&acl, "10.0.0.0/8", &why), 0);
	struct ends refused = come();
	assert_told(&allowed, "allowed: rule 127.0.0.0/255.0.0.0");
	assert_told(&refused, "refused: acl: no access rule allows it");
	assert_int_equal(gone, 1);
	stage_hear_end(refused.talk.client);
	assert_false(loopback_has_ended(allowed.talk.client));
}

/* ---- failures ---- */

static void lie(int fd)
{
	uint8_t message[PPTP_MESSAGE_MAX];
	size_t length = message_make(message, PPTP_ECHO_REQUEST);
	message[4] ^= 1;
	loopback_send(fd, message, length);
}

static void closed_before_the_server_is_asked(const struct ends *ends, const char *told)
{
	gone = 0;
	STAGE_UNTIL(gone > 0);
	assert_told(ends, told);
	assert_int_equal(env.conn_count, 0);
	assert_nobody_at_the_server();
}

static void no_good_request(void **state)
{
	(void)state;
	struct ends ends = come();
	lie(ends.talk.client);
	closed_before_the_server_is_asked(&ends,
					  "closed: malformed: message from client: magic cookie");
	stage_hear_end(ends.talk.client);
	ends = come();
	talk_say(ends.talk.client, PPTP_ECHO_REQUEST);
	closed_before_the_server_is_asked(&ends,
					  "closed: malformed: client sent Echo-Request before a "
					  "Start-Control-Connection-Request");
	stage_hear_end(ends.talk.client);
}

static void the_client_leaves_before_its_request(void **state)
{
	(void)state;
	struct ends ends = come();
	loopback_send(ends.talk.client, (const uint8_t *)"\0", 1);
	loopback_close(ends.talk.client);
	closed_before_the_server_is_asked(&ends, "closed: client closed: before its "
						 "Start-Control-Connection-Request");
	ends = come();
	loopback_reset(ends.talk.client);
	closed_before_the_server_is_asked(&ends,
					  "closed: failed: client: Connection reset by peer");
}

static void the_client_leaves_while_we_dial(void **state)
{
	(void)state;
	set_peer(loopback_listen_silent(2));
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	struct ends ends = come();
	talk_say(ends.talk.client, PPTP_START_REQUEST);
	STAGE_UNTIL(stage_descriptors() == descriptors + 3);
	loopback_close(ends.talk.client);
	STAGE_UNTIL(gone == 1);
	assert_told(&ends, "closed: client closed");
	assert_int_equal(stage_descriptors(), descriptors);
	assert_int_equal(stage_events(), events);
}

static void no_server(void **state)
{
	(void)state;
	set_peer(loopback_bind(2, 0));
	struct ends refused = come();
	talk_say(refused.talk.client, PPTP_START_REQUEST);
	stage_hear_end(refused.talk.client);
	assert_told(&refused, "closed: no server: 127.0.0.2:%u: Connection refused");
	forbid = true;
	struct ends forbidden = come();
	talk_say(forbidden.talk.client, PPTP_START_REQUEST);
	stage_hear_end(forbidden.talk.client);
	assert_told(&forbidden,
		    "closed: no server: 127.0.0.2:%u: that would come back to this pair");
	assert_int_equal(gone, 2);
}

static void a_lie_closes_both_legs(void **state)
{
	(void)state;
	for (int side = 0; side < 2; side++) {
		struct ends ends = come_and_connect();
		int liar = side == CALLID_CLIENT ? ends.talk.client : ends.talk.server;
		int other = side == CALLID_CLIENT ? ends.talk.server : ends.talk.client;
		talk_pass(liar, other, PPTP_ECHO_REQUEST);
		size_t descriptors = stage_descriptors();
		lie(liar);
		stage_hear_end(other);
		assert_int_equal(stage_descriptors(), descriptors - 1); /* the liar's leg */
		stage_hear_end(liar);
		assert_told(&ends, side == CALLID_CLIENT
				       ? "closed: malformed: message from client: magic cookie"
				       : "closed: malformed: message from server: magic cookie");
		loopback_close(other);
		STAGE_UNTIL(gone == side + 1);
	}
}

static void dropped_messages_are_counted(void **state)
{
	(void)state;
	struct ends ends = come_and_connect();
	talk_say(ends.talk.client, PPTP_CALL_CLEAR_REQUEST);
	talk_say(ends.talk.client, PPTP_CALL_CLEAR_REQUEST);
	talk_pass(ends.talk.client, ends.talk.server, PPTP_ECHO_REQUEST);
	loopback_close(ends.talk.client);
	stage_hear_end(ends.talk.server);
	assert_told(&ends, "closed: client closed; 2 messages dropped");
	assert_int_equal(stage_log_count(": dropped Call-Clear-Request from client: mismatched ID: "
					 "it names no call of this connection\n"),
			 2);
	assert_int_equal(counts.message_drops[REASON_MISMATCHED_ID], 2);
	assert_int_equal(counts.messages, 3); /* the two that connect, and the echo */
}

static void a_descriptor_without_a_peer_is_closed(void **state)
{
	(void)state;
	size_t descriptors = stage_descriptors();
	struct control_socket client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	control_conn_accept(&env, pair, pair, &client);
	came++;
	assert_int_equal(counts.ends[REASON_CLIENT_CLOSED], 1);
	assert_int_equal(env.conn_count, 0);
	assert_int_equal(stage_descriptors(), descriptors);
	assert_int_equal(gone, 0);
}

/* ---- giving way ---- */

static void put_out(const struct ends *ends, unsigned of)
{
	char told[100];
	int before = gone;
	snprintf(told, sizeof(told),
		 "closed: put out: for a newcomer: half open for 0 s, the oldest of %u such "
		 "connections of "
		 "its address",
		 of);
	assert_true(control_conn_put_out(&env));
	assert_int_equal(gone, before + 1);
	stage_hear_end(ends->talk.client);
	assert_told(ends, told);
}

static void half_open_ones_give_way_in_every_state(void **state)
{
	(void)state;
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	use_commands(true, ASKER_NOTHING);
	struct ends checking = come();
	put_out(&checking, 1);
	use_commands(false, ASKER_NOTHING);
	struct ends waiting = come();
	put_out(&waiting, 1);
	struct ends asking = come_and_ask();
	put_out(&asking, 1);
	stage_hear_end(asking.talk.server);
	assert_false(control_conn_put_out(&env));
	assert_int_equal(settled, 0);
	assert_int_equal(stage_descriptors(), descriptors + 4); /* the far ends */
	assert_int_equal(stage_events(), events);
	set_peer(loopback_listen_silent(2));
	struct ends dialling = come();
	talk_say(dialling.talk.client, PPTP_START_REQUEST);
	stage_turn();
	put_out(&dialling, 1);
}

static void one_that_a_server_has_accepted_stays(void **state)
{
	(void)state;
	struct ends ends = come_and_ask();
	assert_int_equal(settled, 0);
	talk_pass(ends.talk.server, ends.talk.client, PPTP_START_REPLY);
	assert_int_equal(settled, 1);
	assert_false(control_conn_put_out(&env));
	talk_call(&ends.talk, 7, 9);
	talk_pass(ends.talk.client, ends.talk.server, PPTP_ECHO_REQUEST);
	assert_int_equal(settled, 1);
}

/* As the ends of some lazy servers have it. */
static void a_call_settles_it_as_well(void **state)
{
	(void)state;
	struct ends ends = come_and_ask();
	talk_call(&ends.talk, 7, 9);
	assert_int_equal(settled, 1);
	assert_false(control_conn_put_out(&env));
}

static void a_call_that_is_only_asked_for_does_not(void **state)
{
	(void)state;
	struct ends ends = come_and_ask();
	talk_pass(ends.talk.client, ends.talk.server, PPTP_OUTGOING_CALL_REQUEST);
	assert_int_equal(settled, 0);
	put_out(&ends, 1);
	assert_int_equal(calls(), 0);
}

static void one_that_lingers_goes_without_a_word(void **state)
{
	(void)state;
	struct ends ends = come_and_ask();
	loopback_close(ends.talk.client);
	stage_hear_end(ends.talk.server);
	assert_int_equal(gone, 0);
	assert_true(control_conn_put_out(&env));
	assert_int_equal(gone, 1);
	assert_false(stage_logged("put out"));
}

/* ---- figures of pairs and rules ---- */

static void use_figures(void)
{
	pair->place = 0;
	assert_int_equal(control_pairs_use(env.pairs, pair, 1), 0);
}

static void a_pair_knows_how_its_server_answers(void **state)
{
	(void)state;
	use_figures();
	const struct control_pair *figures = control_pairs_at(env.pairs, 0);
	struct ends ends = come();
	assert_int_equal(control_pairs_connections(env.pairs, figures), 1);
	assert_int_equal(figures->state, CONTROL_PAIR_UNTRIED);
	talk_ask(&ends.talk, server);
	assert_int_equal(figures->state, CONTROL_PAIR_UP);
	assert_int_equal(figures->connected, 1);
	struct control_conn_info info;
	control_conn_describe(LIST_FIRST(&env.conns), &info);
	assert_int_equal(info.number, 1);
	assert_int_equal(info.pair, control_pairs_number(env.pairs, figures));
	assert_int_equal(info.peer[CALLID_SERVER].port, pair->peer.port);
	assert_true(info.half_open);
	loopback_close(ends.talk.client);
	loopback_close(ends.talk.server);
	STAGE_UNTIL(gone == 1);
	assert_int_equal(control_pairs_connections(env.pairs, figures), 0);

	loopback_close(server);
	ends = come();
	talk_say(ends.talk.client, PPTP_START_REQUEST);
	STAGE_UNTIL(gone == 2);
	assert_int_equal(figures->state, CONTROL_PAIR_DOWN);
	assert_int_equal(figures->failed, 1);
	assert_non_null(strstr(figures->last_error, "Connection refused"));
	assert_int_not_equal(figures->last_error_at, 0);
}

static void a_server_that_keeps_us_waiting_is_down(void **state)
{
	(void)state;
	set_peer(loopback_listen_silent(2));
	use_figures();
	env.handshake_timeout_s = 1;
	struct ends ends = come();
	talk_say(ends.talk.client, PPTP_START_REQUEST);
	STAGE_UNTIL(gone == 1);
	const struct control_pair *figures = control_pairs_at(env.pairs, 0);
	assert_int_equal(figures->state, CONTROL_PAIR_DOWN);
	assert_string_equal(figures->last_error,
			    "waited 1 s for the server to accept the connection");
}

/* By a rule, by a command, by both. */
static void who_lets_in_is_counted(void **state)
{
	(void)state;
	static const char *const text = "/bin/true";
	struct acl_cmd_words words;
	struct why why;
	assert_int_equal(acl_cmd_split(text, &words, &why), 0);
	assert_int_equal(acl_add(&acl, "10.0.0.0/8", &why), 0);
	assert_int_equal(acl_add(&acl, "127.0.0.0/8", &why), 0);
	control_rules_use(env.rules, &acl, &words, 1);
	come();
	assert_int_equal(control_rules_allowed(env.rules, 1), 1);
	use_commands(true, ASKER_YES);
	struct ends ends = come();
	STAGE_UNTIL(stage_logged(": allowed: yes said yes"));
	assert_int_equal(control_rules_allowed(env.rules, 1), 2);
	assert_int_equal(control_rules_allowed(env.rules, 2), 1);
	/* Asked by rules that are others by now. */
	come();
	control_rules_use(env.rules, &acl, &words, 1);
	STAGE_UNTIL(stage_log_count(": allowed: yes said yes") == 2);
	assert_int_equal(control_rules_allowed(env.rules, 0), 0);
	assert_int_equal(control_rules_allowed(env.rules, 1), 2);
	assert_int_equal(control_rules_allowed(env.rules, 2), 1);
	use_commands(true, ASKER_NO);
	ends = come();
	stage_hear_end(ends.talk.client);
	assert_told(&ends, "refused: command: no: exit status 1");
	assert_int_equal(control_rules_allowed(env.rules, 1), 2);
	assert_int_equal(control_rules_refused(env.rules, 1), 0);
	assert_int_equal(control_rules_refused(env.rules, 2), 1);
	use_commands(false, ASKER_NO);
	acl_cmd_words_free(&words);
}

/* ---- what strangers can make the log say ---- */

static void lines_of_strangers_are_limited(void **state)
{
	(void)state;
	enum { MANY = LOG_LIMIT_LINES + 30 };
	struct why why;
	stage_log_without_debug();
	for (int i = 0; i < MANY; i++) {
		struct ends ends = come();
		loopback_close(ends.talk.client);
		STAGE_UNTIL(gone == i + 1);
	}
	assert_int_equal(stage_log_count(": closed: client closed: before"), LOG_LIMIT_LINES);
	/* Other kinds have their own limits. */
	assert_int_equal(acl_add(&acl, "10.0.0.0/8", &why), 0);
	for (int i = 0; i < MANY; i++)
		loopback_close(come().talk.client);
	assert_int_equal(stage_log_count(": refused: "), LOG_LIMIT_LINES);
	log_limit_tell(&env.limited, monotonic_ms() + LOG_LIMIT_MS);
	assert_true(stage_logged("connections that asked for nothing: 30 more lines like these"));
	assert_true(stage_logged("clients refused: 30 more lines like these"));
}

static void lines_of_a_source_are_limited(void **state)
{
	(void)state;
	enum { CALLS = LOG_LIMIT_LINES + 10 };
	stage_log_without_debug();
	struct ends ends = come_and_connect();
	for (uint16_t i = 1; i <= CALLS; i++)
		talk_call(&ends.talk, i, (uint16_t)(1000 + i));
	assert_told(&ends, "connected");
	assert_int_equal(stage_log_count(": call opened: "), LOG_LIMIT_LINES - 1);
	/* The program's end is not its doing. */
	control_conn_shut_down(LIST_FIRST(&env.conns));
	assert_int_equal(stage_log_count(": shutting down: "), CALLS);
	assert_told(&ends, "closed: shutting down");
	log_limit_tell(&env.limited, monotonic_ms() + LOG_LIMIT_MS);
	assert_true(stage_logged("connections and calls of 127.0.0.1: 11 more lines like these"));
}

/* ---- the end of the program ---- */

static void both_ends_hear_that_it_ends(void **state)
{
	(void)state;
	struct ends ends = come_and_connect();
	talk_call(&ends.talk, 7, 9);
	control_conn_shut_down(LIST_FIRST(&env.conns));
	talk_hear_farewell(&ends.talk, 7, 9);
	assert_told(&ends, "closed: shutting down");
	assert_int_equal(calls(), 0);
	loopback_close(ends.talk.client);
	loopback_close(ends.talk.server);
	STAGE_UNTIL(gone == 1);
}

static void before_there_is_a_server_nothing_is_said(void **state)
{
	(void)state;
	struct ends waiting = come();
	use_commands(true, ASKER_NOTHING);
	struct ends checking = come();
	control_conn_shut_down(LIST_FIRST(&env.conns));
	control_conn_shut_down(LIST_FIRST(&env.conns));
	assert_int_equal(gone, 2);
	use_commands(false, ASKER_NOTHING);
	set_peer(loopback_listen_silent(2));
	struct ends dialling = come();
	talk_say(dialling.talk.client, PPTP_START_REQUEST);
	size_t descriptors = stage_descriptors();
	STAGE_UNTIL(stage_descriptors() == descriptors + 1);
	control_conn_shut_down(LIST_FIRST(&env.conns));
	assert_int_equal(gone, 3);
	assert_int_equal(stage_descriptors(), descriptors - 1);
	stage_hear_end(waiting.talk.client);
	stage_hear_end(checking.talk.client);
	stage_hear_end(dialling.talk.client);
	assert_told(&dialling, "closed: shutting down");
}

static void aborted_they_all_go_at_once(void **state)
{
	(void)state;
	struct ends waiting = come(), asking = come_and_ask(), connected = come_and_connect();
	talk_call(&connected.talk, 7, 9);
	struct control_conn *newest = LIST_FIRST(&env.conns), *oldest;
	oldest = control_conn_next(control_conn_next(newest));
	assert_null(control_conn_next(oldest));
	control_conn_abort(oldest);
	assert_int_equal(env.conn_count, 2);
	stage_hear_end(waiting.talk.client);
	assert_false(loopback_has_ended(asking.talk.client));
	control_conn_abort(control_conn_next(newest));
	control_conn_abort(newest);
	assert_int_equal(gone, 3);
	assert_int_equal(calls(), 0);
	stage_hear_end(asking.talk.client);
	stage_hear_end(connected.talk.client);
	stage_hear_end(connected.talk.server);
	assert_told(&connected, "closed: shutting down");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(from_accept_to_relaying),
	    CASE(the_client_closes),
	    CASE(the_server_closes),
	    CASE(an_end_that_does_not_close_is_left),
	    CASE(what_comes_behind_the_end_is_read),
	    CASE(calls_are_told_and_end_with_it),
	    CASE(five_calls_that_never_opened_are_told),
	    CASE(the_handshake_has_a_deadline),
	    CASE(an_access_command_counts_as_well),
	    CASE(rules_and_commands_decide),
	    CASE(a_decision_is_told),
	    CASE(no_good_request),
	    CASE(the_client_leaves_before_its_request),
	    CASE(the_client_leaves_while_we_dial),
	    CASE(no_server),
	    CASE(a_lie_closes_both_legs),
	    CASE(dropped_messages_are_counted),
	    CASE(a_descriptor_without_a_peer_is_closed),
	    CASE(half_open_ones_give_way_in_every_state),
	    CASE(one_that_a_server_has_accepted_stays),
	    CASE(a_call_settles_it_as_well),
	    CASE(a_call_that_is_only_asked_for_does_not),
	    CASE(one_that_lingers_goes_without_a_word),
	    CASE(a_pair_knows_how_its_server_answers),
	    CASE(a_server_that_keeps_us_waiting_is_down),
	    CASE(who_lets_in_is_counted),
	    CASE(lines_of_strangers_are_limited),
	    CASE(lines_of_a_source_are_limited),
	    CASE(both_ends_hear_that_it_ends),
	    CASE(before_there_is_a_server_nothing_is_said),
	    CASE(aborted_they_all_go_at_once),
	};
	return cmocka_run_group_tests_name("control_conn", tests, stage_open, stage_close);
}
