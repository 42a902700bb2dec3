/*
 * control_dial and servers at 127.0.0.2 and up, all on one port, that answer, refuse or keep
 * silent.
 */
#include "control/control_dial.h"

#include "host/monotonic.h"
#include "tests/unit/loopback.h"
#include "tests/unit/stage.h"

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

enum { TIMEOUT_S = 1, KEEPALIVE_S = 7 };

static struct {
	int calls, fd;
	struct control_address peer;
	char failure[400]; /* empty: none */
} told;

static struct {
	uint32_t addr; /* 0: none */
	uint16_t port;
	int asked;
} forbidden;

static struct pair_endpoint endpoint;
static struct control_dial *dial;
static uint16_t port; /* of all servers */

static void on_done(void *arg, const struct control_socket *server, const char *failure)
{
	assert_ptr_equal(arg, &told);
	assert_int_equal(server == NULL, failure != NULL);
	told.calls++;
	told.fd = server ? server->fd : -1;
	told.peer = server ? server->peer : (struct control_address){0};
	snprintf(told.failure, sizeof(told.failure), "%s", failure ? failure : "");
	dial = NULL;
}

static bool is_forbidden(void *arg, uint32_t addr, uint16_t to_port)
{
	assert_ptr_equal(arg, &forbidden);
	forbidden.asked++;
	return addr == forbidden.addr && to_port == forbidden.port;
}

static void set_endpoint(const char *word)
{
	char text[300];
	struct pair pair;
	struct why why;
	snprintf(text, sizeof(text), "127.0.0.1,%s:%u", word, port);
	assert_int_equal(pair_parse(text, &pair, &why), 0);
	endpoint = pair.peer;
}

static void start(const char *word)
{
	char label[] = "#7 client";
	struct control_dial_config config = {
	    .base = stage_base,
	    .names = stage_names,
	    .connect_timeout_s = TIMEOUT_S,
	    .keepalive_s = KEEPALIVE_S,
	    .forbidden = is_forbidden,
	    .forbidden_arg = &forbidden,
	    .label = label,
	};
	set_endpoint(word);
	told.calls = 0;
	dial = control_dial_start(&config, &endpoint, on_done, &told);
	/* Both are the dial's no longer. */
	memset(label, '?', sizeof(label) - 1);
	memset(&config, 0, sizeof(config));
	assert_int_equal(told.calls, 0);
}

static void finish(const char *word)
{
	start(word);
	STAGE_UNTIL(told.calls > 0);
	assert_int_equal(told.calls, 1);
}

static void fails(const char *word, const char *failure)
{
	char wanted[400];
	snprintf(wanted, sizeof(wanted), failure, port);
	finish(word);
	assert_int_equal(told.fd, -1);
	assert_string_equal(told.failure, wanted);
}

/* What we got and what this server accepts are one connection. */
static void assert_connected_to(int server)
{
	struct sockaddr_in ours, theirs;
	socklen_t length = sizeof(ours);
	uint8_t octet = 42;
	assert_string_equal(told.failure, "");
	int accepted = loopback_accept(server);
	assert_int_equal(getsockname(told.fd, (struct sockaddr *)&ours, &length), 0);
	assert_int_equal(getpeername(accepted, (struct sockaddr *)&theirs, &length), 0);
	assert_memory_equal(&ours, &theirs, sizeof(ours));
	assert_int_equal(getpeername(told.fd, (struct sockaddr *)&theirs, &length), 0);
	assert_int_equal(told.peer.addr, ntohl(theirs.sin_addr.s_addr));
	assert_int_equal(told.peer.port, ntohs(theirs.sin_port));
	assert_int_equal(send(told.fd, &octet, 1, MSG_NOSIGNAL), 1);
	loopback_hear(accepted, &octet, 1);
	assert_int_equal(close(told.fd), 0);
}

static void assert_nobody_came(int server)
{
	assert_false(loopback_is(server, POLLIN));
}

static int set_up(void **state)
{
	memset(&told, 0, sizeof(told));
	memset(&forbidden, 0, sizeof(forbidden));
	dial = NULL;
	port = loopback_free_port();
	return stage_set_up(state);
}

static int tear_down(void **state)
{
	control_dial_cancel(dial);
	return stage_tear_down(state);
}

/* ---- cases ---- */

static void an_address_that_answers(void **state)
{
	(void)state;
	int server = loopback_listen(2, port), idle = 0;
	socklen_t length = sizeof(idle);
	finish("127.0.0.2");
	assert_int_equal(forbidden.asked, 1);
	assert_true(fcntl(told.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(told.fd, F_GETFD) & FD_CLOEXEC);
	getsockopt(told.fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length);
	assert_int_equal(idle, KEEPALIVE_S);
	assert_connected_to(server);
}

static void done_is_called_once(void **state)
{
	(void)state;
	int server = loopback_listen(2, port), before = stage_events();
	finish("127.0.0.2");
	assert_int_equal(stage_events(), before);
	stage_turn();
	assert_int_equal(told.calls, 1);
	assert_connected_to(server);
}

static void the_first_that_answers(void **state)
{
	(void)state;
	loopback_bind(2, port);
	int third = loopback_listen(3, port), fourth = loopback_listen(4, port);
	stage_hosts("127.0.0.2 server\n127.0.0.3 server\n127.0.0.4 server\n");
	finish("server");
	assert_int_equal(forbidden.asked, 2);
	assert_connected_to(third);
	assert_nobody_came(fourth);
}

static void a_forbidden_address_is_skipped(void **state)
{
	(void)state;
	int second = loopback_listen(2, port), third = loopback_listen(3, port);
	forbidden.addr = 0x7f000002;
	forbidden.port = port;
	stage_hosts("127.0.0.2 server\n127.0.0.3 server\n");
	finish("server");
	assert_connected_to(third);
	assert_nobody_came(second);
}

static void the_only_address_is_forbidden(void **state)
{
	(void)state;
	int server = loopback_listen(2, port);
	forbidden.addr = 0x7f000002;
	forbidden.port = port;
	fails("127.0.0.2", "127.0.0.2:%u: that would come back to this pair");
	assert_nobody_came(server);
}

static void all_refuse(void **state)
{
	(void)state;
	loopback_bind(2, port);
	loopback_bind(3, port);
	fails("127.0.0.2", "127.0.0.2:%u: Connection refused");
	stage_hosts("127.0.0.3 server\n127.0.0.2 server\n");
	fails("server", "127.0.0.2:%u: Connection refused");
}

static void the_last_failure_is_told(void **state)
{
	(void)state;
	loopback_bind(2, port);
	forbidden.addr = 0x7f000003;
	forbidden.port = port;
	stage_hosts("127.0.0.2 server\n127.0.0.3 server\n");
	fails("server", "127.0.0.3:%u: that would come back to this pair");
}

/* A TCP connection to a broadcast address fails before anything is sent. */
static void failing_at_once_is_told_from_the_loop(void **state)
{
	(void)state;
	fails("127.255.255.255", "127.255.255.255:%u: Network is unreachable");
}

static void a_name_that_is_none(void **state)
{
	(void)state;
	fails("server", "server: no name server is configured");
	assert_int_equal(forbidden.asked, 0);
}

static void addresses_of_no_host_are_not_dialled(void **state)
{
	(void)state;
	int server = loopback_listen(2, port);
	stage_hosts("0.0.0.0 none\n224.0.0.1 none\n0.0.0.0 some\n127.0.0.2 some\n");
	fails("none", "224.0.0.1:%u: that is not the address of one host");
	assert_int_equal(forbidden.asked, 0);
	finish("some");
	assert_connected_to(server);
}

static void an_earlier_answer_serves_and_is_told(void **state)
{
	(void)state;
	int server = loopback_listen(2, port);
	stage_hosts("127.0.0.2 server\n");
	finish("server");
	assert_connected_to(server);
	stage_hosts("");
	finish("server");
	assert_connected_to(server);
	assert_int_equal(stage_log_count("#7 client: peer 'server': no name server is configured; "
					 "its last good answer serves\n"),
			 1);
}

static void no_descriptor_is_left(void **state)
{
	(void)state;
	int server = loopback_listen(2, port);
	stage_exhaust_descriptors(true);
	fails("127.0.0.2", "127.0.0.2:%u: Too many open files");
	stage_exhaust_descriptors(false);
	assert_nobody_came(server);
}

static void silence_has_a_deadline(void **state)
{
	(void)state;
	port = loopback_port(loopback_listen_silent(2));
	uint64_t before = monotonic_ms();
	fails("127.0.0.2", "127.0.0.2:%u: no answer in 1 s");
	/* The loop's own clock is a little coarser. */
	assert_true(monotonic_ms() - before >= 900 * TIMEOUT_S);
}

static void behind_a_silent_one_comes_the_next(void **state)
{
	(void)state;
	port = loopback_port(loopback_listen_silent(2));
	int server = loopback_listen(3, port);
	stage_hosts("127.0.0.2 server\n127.0.0.3 server\n");
	finish("server");
	assert_connected_to(server);
}

static void cancel_holding(size_t sockets)
{
	size_t descriptors = stage_descriptors();
	int events = stage_events();
	control_dial_cancel(dial);
	dial = NULL;
	assert_int_equal(stage_descriptors(), descriptors - sockets);
	assert_true(stage_events() < events);
}

static void cancelled_it_leaves_nothing_at_any_stage(void **state)
{
	(void)state;
	int events = stage_events();
	control_dial_cancel(NULL);
	port = loopback_port(loopback_listen_silent(2));
	start("127.0.0.2"); /* connects */
	cancel_holding(1);
	start("server"); /* asks for its name */
	cancel_holding(0);
	forbidden.addr = 0x7f000002;
	forbidden.port = port;
	start("127.0.0.2"); /* has failed, and waits to tell it */
	cancel_holding(0);
	stage_turn();
	assert_int_equal(told.calls, 0);
	assert_int_equal(stage_events(), events);
}

static void cancelled_at_the_second_address(void **state)
{
	(void)state;
	int events = stage_events();
	port = loopback_port(loopback_listen_silent(3));
	loopback_bind(2, port);
	stage_hosts("127.0.0.2 server\n127.0.0.3 server\n");
	start("server");
	STAGE_UNTIL(forbidden.asked == 2);
	cancel_holding(1);
	stage_turn();
	assert_int_equal(told.calls, 0);
	assert_int_equal(stage_events(), events);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(an_address_that_answers),
	    CASE(done_is_called_once),
	    CASE(the_first_that_answers),
	    CASE(a_forbidden_address_is_skipped),
	    CASE(the_only_address_is_forbidden),
	    CASE(all_refuse),
	    CASE(the_last_failure_is_told),
	    CASE(failing_at_once_is_told_from_the_loop),
	    CASE(a_name_that_is_none),
	    CASE(addresses_of_no_host_are_not_dialled),
	    CASE(an_earlier_answer_serves_and_is_told),
	    CASE(no_descriptor_is_left),
	    CASE(silence_has_a_deadline),
	    CASE(behind_a_silent_one_comes_the_next),
	    CASE(cancelled_it_leaves_nothing_at_any_stage),
	    CASE(cancelled_at_the_second_address),
	};
	return cmocka_run_group_tests_name("control_dial", tests, stage_open, stage_close);
}
