/*
 * control_listen: pairs that listen at 127.0.0.2 and up, all on one port, and clients at 127.0.0.1.
 */
#include "control/control_listen.h"

#include "tests/unit/loopback.h"
#include "tests/unit/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { PAIRS_MAX = 4, KEEPALIVE_S = 7 };
#define ELSEWHERE "192.0.2.1" /* nobody dials it */

static struct pair pairs[PAIRS_MAX];
static size_t pair_count;
static uint16_t port; /* of all listeners and peers */
static struct control_listen *all;
static bool goes_on; /* where an earlier process was */
static struct why why;

static struct {
	int calls, fd; /* of the last one; -1: none */
	struct control_socket client;
	const struct pair *pair;
	void *loop_check;
} accepted;

static struct {
	int calls;
	char reason[100];
} exhausted;

static void forget_accepted(void)
{
	if (accepted.fd >= 0)
		close(accepted.fd);
	accepted.fd = -1;
}

static void on_accepted(void *arg, const struct pair *pair, void *loop_check,
			const struct control_socket *client)
{
	assert_ptr_equal(arg, &accepted);
	forget_accepted();
	accepted.calls++;
	accepted.fd = client->fd;
	accepted.client = *client;
	accepted.pair = pair;
	accepted.loop_check = loop_check;
}

static void on_exhausted(void *arg, const char *reason)
{
	assert_ptr_equal(arg, &accepted);
	exhausted.calls++;
	snprintf(exhausted.reason, sizeof(exhausted.reason), "%s", reason);
}

static void add_pair(const char *listen_word, const char *peer_word)
{
	char text[600];
	snprintf(text, sizeof(text), "%s:%u,%s:%u", listen_word, port, peer_word, port);
	assert_true(pair_count < PAIRS_MAX);
	assert_int_equal(pair_parse(text, &pairs[pair_count++], &why), 0);
}

/* What an earlier process listened at under the name "here". */
static bool on_known(void *arg, const char *name, uint32_t *addr)
{
	char here[32];
	(void)arg;
	snprintf(here, sizeof(here), "here:%u", port);
	*addr = 0x7f000003;
	return strcmp(name, here) == 0;
}

static void open_listeners(void)
{
	struct control_listen_config config = {
	    .known = goes_on ? on_known : NULL,
	    .base = stage_base,
	    .names = stage_names,
	    .pairs = pairs,
	    .pair_count = pair_count,
	    .keepalive_s = KEEPALIVE_S,
	    .accepted = on_accepted,
	    .exhausted = on_exhausted,
	    .arg = &accepted,
	};
	why.text[0] = '\0';
	all = control_listen_open(&config, &why);
}

static void opens_paused(size_t bound)
{
	open_listeners();
	if (!all)
		fail_msg("%s", why.text);
	assert_int_equal(control_listen_pairs(all), bound);
}

static void opens(size_t bound)
{
	opens_paused(bound);
	control_listen_pause(all, false);
}

/* %1$u in the sentence is the port. Nothing is left open. */
static void does_not_open(const char *sentence)
{
	char wanted[400];
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	snprintf(wanted, sizeof(wanted), sentence, port);
	open_listeners();
	assert_null(all);
	assert_string_equal(why.text, wanted);
	assert_int_equal(stage_descriptors(), descriptors);
	assert_true(stage_events() <= events);
}

/* %1$u in the line is the port. */
static void assert_logged_once(const char *line)
{
	char wanted[400];
	snprintf(wanted, sizeof(wanted), line, port);
	if (stage_log_count(wanted) != 1)
		fail_msg("\"%s\" is not in: %s", wanted, stage_log());
}

/* A client at that listener is accepted for that pair. */
static void arrives(uint8_t host, const struct pair *pair)
{
	int before = accepted.calls;
	int client = loopback_connect(1, host, port);
	STAGE_UNTIL(accepted.calls > before);
	assert_int_equal(accepted.calls, before + 1);
	assert_int_equal(accepted.pair->place, pair - pairs);
	assert_memory_equal(&accepted.pair->peer, &pair->peer, sizeof(pair->peer));
	assert_int_equal(accepted.client.peer.addr, 0x7f000001);
	assert_int_equal(accepted.client.peer.port, loopback_port(client));
	/* A listener of all addresses does not know which one was dialled. */
	if (accepted.client.proxy.port != 0) {
		assert_int_equal(accepted.client.proxy.addr, 0x7f000000 | host);
		assert_int_equal(accepted.client.proxy.port, port);
	}
}

static int set_up(void **state)
{
	memset(&accepted, 0, sizeof(accepted));
	accepted.fd = -1;
	memset(&exhausted, 0, sizeof(exhausted));
	pair_count = 0;
	goes_on = false;
	port = loopback_free_port();
	return stage_set_up(state);
}

static int tear_down(void **state)
{
	control_listen_close(all);
	all = NULL;
	forget_accepted();
	return stage_tear_down(state);
}

/* ---- accepting ---- */

static void clients_are_told_with_their_pair(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("127.0.0.3", ELSEWHERE);
	opens(2);
	arrives(3, &pairs[1]);
	void *second = accepted.loop_check;
	arrives(2, &pairs[0]);
	assert_ptr_not_equal(accepted.loop_check, second);
	assert_int_equal(exhausted.calls, 0);
}

static void an_accepted_socket_is_ready_for_use(void **state)
{
	(void)state;
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	int idle = 0;
	add_pair("127.0.0.2", ELSEWHERE);
	opens(1);
	int client = loopback_connect(1, 2, port);
	STAGE_UNTIL(accepted.calls == 1);
	assert_true(fcntl(accepted.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(accepted.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(getpeername(accepted.fd, (struct sockaddr *)&peer, &length), 0);
	assert_int_equal(ntohs(peer.sin_port), loopback_port(client));
	length = sizeof(idle);
	getsockopt(accepted.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length);
	assert_int_equal(idle, KEEPALIVE_S);
	forget_accepted();
	stage_hear_end(client);
}

static void a_wildcard_listens_everywhere(void **state)
{
	(void)state;
	add_pair("0.0.0.0", ELSEWHERE);
	opens(1);
	arrives(2, &pairs[0]);
	arrives(9, &pairs[0]);
}

static void closed_they_refuse(void **state)
{
	(void)state;
	size_t descriptors = stage_descriptors();
	struct sockaddr_in to = loopback_address(2, port);
	add_pair("127.0.0.2", ELSEWHERE);
	opens(1);
	assert_int_equal(stage_descriptors(), descriptors + 1);
	control_listen_close(all);
	all = NULL;
	control_listen_close(NULL);
	assert_int_equal(stage_descriptors(), descriptors);
	int client = loopback_socket();
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), -1);
	assert_int_equal(errno, ECONNREFUSED);
}

static void at_first_they_are_paused(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	opens_paused(1);
	loopback_connect(1, 2, port);
	stage_turn();
	stage_turn();
	assert_int_equal(accepted.calls, 0);
	control_listen_pause(all, false);
	STAGE_UNTIL(accepted.calls == 1);
}

static void paused_they_let_clients_wait(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("127.0.0.3", ELSEWHERE);
	opens(2);
	control_listen_pause(all, true);
	control_listen_pause(all, true);
	int client = loopback_connect(1, 2, port);
	loopback_connect(1, 3, port);
	stage_turn();
	assert_int_equal(accepted.calls, 0);
	assert_false(loopback_has_ended(client));
	control_listen_pause(all, false);
	STAGE_UNTIL(accepted.calls == 2);
}

static void without_descriptors_all_are_paused(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("127.0.0.3", ELSEWHERE);
	opens(2);
	loopback_connect(1, 2, port);
	stage_exhaust_descriptors(true);
	STAGE_UNTIL(exhausted.calls > 0);
	stage_exhaust_descriptors(false);
	assert_string_equal(exhausted.reason, "Too many open files");
	loopback_connect(1, 3, port);
	stage_turn();
	stage_turn();
	assert_int_equal(exhausted.calls, 1);
	assert_int_equal(accepted.calls, 0);
	control_listen_pause(all, false);
	STAGE_UNTIL(accepted.calls == 2);
}

/* ---- conflicts ---- */

static void the_same_address_again_is_ignored(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("127.0.0.2", "192.0.2.2");
	add_pair("127.0.0.3", ELSEWHERE);
	opens(2);
	assert_logged_once(
	    "warning: pair 127.0.0.2:%1$u,192.0.2.2:%1$u ignored: its listen address "
	    "conflicts with that of an earlier pair, 127.0.0.2:%1$u\n");
	arrives(2, &pairs[0]);
	arrives(3, &pairs[2]);
}

static void behind_a_wildcard_all_are_ignored(void **state)
{
	(void)state;
	add_pair("0.0.0.0", ELSEWHERE);
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("0.0.0.0", ELSEWHERE);
	opens(1);
	assert_int_equal(stage_log_count("conflicts with that of an earlier pair, 0.0.0.0:"), 2);
	arrives(2, &pairs[0]);
}

static void a_late_wildcard_is_ignored(void **state)
{
	(void)state;
	struct sockaddr_in elsewhere = loopback_address(4, port);
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("127.0.0.3", ELSEWHERE);
	add_pair("0.0.0.0", ELSEWHERE);
	opens(2);
	assert_int_equal(stage_log_count("ignored"), 1);
	assert_logged_once("warning: pair 0.0.0.0:%1$u," ELSEWHERE ":%1$u ignored: its listen "
			   "address conflicts with that of an earlier pair, 127.0.0.2:%1$u\n");
	int client = loopback_socket();
	assert_int_equal(connect(client, (struct sockaddr *)&elsewhere, sizeof(elsewhere)), -1);
}

/* What was ignored takes no address away from those behind it. */
static void an_ignored_pair_conflicts_with_nobody(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("0.0.0.0", ELSEWHERE);
	add_pair("127.0.0.3", ELSEWHERE);
	opens(2);
	arrives(3, &pairs[2]);
}

static void names_conflict_by_their_addresses(void **state)
{
	(void)state;
	stage_hosts("127.0.0.2 here\n");
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("here", ELSEWHERE);
	opens(1);
	assert_logged_once("warning: pair here:%1$u," ELSEWHERE ":%1$u ignored: its listen address "
			   "conflicts with that of an earlier pair, 127.0.0.2:%1$u\n");
}

/* ---- names ---- */

static void a_listen_name_means_its_first_address(void **state)
{
	(void)state;
	stage_hosts("127.0.0.3 here\n127.0.0.2 here\n");
	add_pair("here", ELSEWHERE);
	opens(1);
	assert_logged_once(
	    "warning: listen address 'here' is 2 addresses: the first one is used\n");
	arrives(3, &pairs[0]);
}

static void a_listen_name_that_is_none(void **state)
{
	(void)state;
	add_pair("127.0.0.2", "nowhere");
	add_pair("absent", ELSEWHERE);
	add_pair("missing", ELSEWHERE);
	does_not_open("listen address 'absent': no name server is configured");
}

static void a_listen_name_that_had_an_address_before(void **state)
{
	(void)state;
	goes_on = true;
	add_pair("here", ELSEWHERE);
	opens(1);
	assert_logged_once(
	    "warning: listen address 'here': no name server is configured; the address "
	    "that it had, 127.0.0.3, is used\n");
	arrives(3, &pairs[0]);
	control_listen_close(all);
	stage_hosts("192.0.2.3 here\n");
	opens(1);
	assert_logged_once(
	    "warning: listen on here:%1$u: Cannot assign requested address (no address "
	    "of this host); the address that it had, 127.0.0.3, is used\n");
	arrives(3, &pairs[0]);
	control_listen_close(all);
	pair_count = 0;
	add_pair("absent", ELSEWHERE);
	does_not_open("listen address 'absent': no name server is configured");
	pair_count = 0;
	add_pair("192.0.2.4", ELSEWHERE);
	does_not_open("listen on 192.0.2.4:%1$u: Cannot assign requested address "
		      "(no address of this host)");
}

static void an_unresolved_peer_is_a_warning(void **state)
{
	(void)state;
	add_pair("127.0.0.2", "absent");
	opens(1);
	assert_logged_once("warning: peer 'absent': no name server is configured; "
			   "it is tried again with each connection\n");
	arrives(2, &pairs[0]);
}

static void leave_the_loop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	event_base_loopbreak(arg);
}

static void the_program_may_end_meanwhile(void **state)
{
	(void)state;
	struct timeval at_once = {0};
	add_pair("127.0.0.2", "absent");
	event_base_once(stage_base, -1, EV_TIMEOUT, leave_the_loop, stage_base, &at_once);
	does_not_open("ended while it was looking up names");
}

/* ---- addresses that cannot be had ---- */

static void an_address_of_another_host(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("192.0.2.3", ELSEWHERE);
	does_not_open("listen on 192.0.2.3:%1$u: Cannot assign requested address "
		      "(no address of this host)");
}

static void a_taken_port(void **state)
{
	(void)state;
	loopback_listen(3, port);
	add_pair("127.0.0.2", ELSEWHERE);
	add_pair("127.0.0.3", ELSEWHERE);
	does_not_open("listen on 127.0.0.3:%1$u: Address already in use "
		      "(another program has the port)");
}

static void no_descriptor_is_left(void **state)
{
	(void)state;
	add_pair("127.0.0.2", ELSEWHERE);
	stage_exhaust_descriptors(true);
	open_listeners();
	stage_exhaust_descriptors(false);
	assert_null(all);
	assert_non_null(strstr(why.text, "listen on 127.0.0.2:"));
	assert_non_null(strstr(why.text, ": Too many open files"));
}

/* ---- circles ---- */

static void a_pair_that_dials_itself(void **state)
{
	(void)state;
	add_pair("127.0.0.3", ELSEWHERE);
	add_pair("127.0.0.2", "127.0.0.2");
	does_not_open("pair 127.0.0.2:%1$u,127.0.0.2:%1$u would dial itself");
	pair_count = 0;
	add_pair("0.0.0.0", "127.0.0.9");
	does_not_open("pair 0.0.0.0:%1$u,127.0.0.9:%1$u would dial itself");
}

static void a_name_that_dials_itself(void **state)
{
	(void)state;
	stage_hosts("192.0.2.1 server\n127.0.0.2 server\n127.0.0.2 here\n");
	add_pair("here", "server");
	does_not_open("pair here:%1$u,server:%1$u would dial itself");
}

static void a_circle_of_pairs(void **state)
{
	(void)state;
	add_pair("127.0.0.5", "127.0.0.2"); /* leads into it, is none of it */
	add_pair("127.0.0.2", "127.0.0.3");
	add_pair("127.0.0.3", "127.0.0.4");
	add_pair("127.0.0.4", "127.0.0.2");
	does_not_open("pair 127.0.0.2:%1$u,127.0.0.3:%1$u would dial itself by way of other pairs");
}

static void a_circle_that_has_come_up_meanwhile(void **state)
{
	(void)state;
	goes_on = true;
	add_pair("127.0.0.2", "127.0.0.2");
	add_pair("127.0.0.3", ELSEWHERE);
	opens(2);
	assert_logged_once("warning: pair 127.0.0.2:%1$u,127.0.0.2:%1$u would dial itself\n");
	arrives(2, &pairs[0]);
	assert_true(control_listen_forbidden(accepted.loop_check, 0x7f000002, port));
}

static void another_port_closes_no_circle(void **state)
{
	(void)state;
	add_pair("127.0.0.2", "127.0.0.3");
	add_pair("127.0.0.3", "127.0.0.2");
	pairs[1].peer.port = (uint16_t)(port - 1);
	opens(2);
}

static void an_ignored_pair_closes_no_circle(void **state)
{
	(void)state;
	add_pair("127.0.0.2", "127.0.0.3");
	add_pair("0.0.0.0", "127.0.0.2");
	opens(1);
	arrives(2, &pairs[0]);
}

static bool is_forbidden(uint8_t host)
{
	return control_listen_forbidden(accepted.loop_check, 0x7f000000U + host, port);
}

static void ways_back_are_forbidden(void **state)
{
	(void)state;
	add_pair("127.0.0.2", "absent"); /* which may come to mean us */
	add_pair("127.0.0.3", "127.0.0.4");
	add_pair("127.0.0.4", "127.0.0.2");
	add_pair("127.0.0.5", ELSEWHERE);
	opens(4);
	arrives(2, &pairs[0]);
	assert_true(is_forbidden(2));
	assert_true(is_forbidden(3));
	assert_true(is_forbidden(4));
	assert_true(is_forbidden(3));
	assert_false(is_forbidden(5));
	assert_false(is_forbidden(9));
	assert_false(control_listen_forbidden(accepted.loop_check, 0x7f000002, port + 1));
	/* For another pair the same addresses lead elsewhere. */
	arrives(5, &pairs[3]);
	assert_true(is_forbidden(5));
	assert_false(is_forbidden(2));
	assert_false(is_forbidden(3));
}

static void a_wildcard_is_reached_by_any_address_of_ours(void **state)
{
	(void)state;
	add_pair("0.0.0.0", "absent");
	opens(1);
	arrives(2, &pairs[0]);
	assert_true(is_forbidden(1));
	assert_true(is_forbidden(77));
	assert_false(control_listen_forbidden(accepted.loop_check, 0xc0000201, port));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(clients_are_told_with_their_pair),
	    CASE(an_accepted_socket_is_ready_for_use),
	    CASE(a_wildcard_listens_everywhere),
	    CASE(closed_they_refuse),
	    CASE(at_first_they_are_paused),
	    CASE(paused_they_let_clients_wait),
	    CASE(without_descriptors_all_are_paused),
	    CASE(the_same_address_again_is_ignored),
	    CASE(behind_a_wildcard_all_are_ignored),
	    CASE(a_late_wildcard_is_ignored),
	    CASE(an_ignored_pair_conflicts_with_nobody),
	    CASE(names_conflict_by_their_addresses),
	    CASE(a_listen_name_means_its_first_address),
	    CASE(a_listen_name_that_is_none),
	    CASE(a_listen_name_that_had_an_address_before),
	    CASE(an_unresolved_peer_is_a_warning),
	    CASE(the_program_may_end_meanwhile),
	    CASE(an_address_of_another_host),
	    CASE(a_taken_port),
	    CASE(no_descriptor_is_left),
	    CASE(a_pair_that_dials_itself),
	    CASE(a_name_that_dials_itself),
	    CASE(a_circle_of_pairs),
	    CASE(a_circle_that_has_come_up_meanwhile),
	    CASE(another_port_closes_no_circle),
	    CASE(an_ignored_pair_closes_no_circle),
	    CASE(ways_back_are_forbidden),
	    CASE(a_wildcard_is_reached_by_any_address_of_ours),
	};
	return cmocka_run_group_tests_name("control_listen", tests, stage_open, stage_close);
}
