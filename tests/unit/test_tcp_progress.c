/*
 * How far a socket's streams have come, over everything that a connection may go through.
 */
#include "host/tcp_progress.h"

#include "tests/unit/loopback.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int near_end, far_end;
static struct tcp_progress start;

/* Accepted and dialled sockets begin with other figures. */
static void connect_ends(bool accepted)
{
	int listener = loopback_listen(1, 0);
	int dialled = loopback_connect(1, 1, loopback_port(listener));
	int taken = loopback_accept(listener);
	near_end = accepted ? taken : dialled;
	far_end = accepted ? dialled : taken;
	assert_int_equal(tcp_progress_get(near_end, &start), 0);
	assert_false(start.over || start.shut);
}

static int tear_down(void **state)
{
	(void)state;
	loopback_close_all();
	return 0;
}

static void check(uint64_t sent, uint64_t taken)
{
	struct tcp_progress now;
	assert_int_equal(tcp_progress_get(near_end, &now), 0);
	assert_int_equal(now.sent - start.sent, sent);
	assert_int_equal(now.taken - start.taken, taken);
	assert_false(now.over);
}

static void take(int fd, size_t length)
{
	uint8_t octets[64];
	loopback_wait(fd, POLLIN);
	assert_int_equal(recv(fd, octets, length, 0), length);
}

static void talk(void)
{
	static const uint8_t octets[100];
	loopback_send(near_end, octets, 10);
	check(10, 0);
	take(far_end, 4);
	check(10, 0);
	loopback_send(far_end, octets, 30);
	loopback_wait(near_end, POLLIN);
	check(10, 0);
	take(near_end, 13);
	check(10, 13);
}

static void sent_and_taken(void **state)
{
	(void)state;
	for (int accepted = 0; accepted < 2; accepted++) {
		connect_ends(accepted);
		talk();
		take(near_end, 17);
		check(10, 30);
	}
}

/* More than the far end's buffer takes: what waits in ours has been handed over, too. */
static void what_waits_has_been_sent(void **state)
{
	(void)state;
	static const uint8_t octets[1 << 16];
	uint64_t all = 0;
	connect_ends(true);
	for (ssize_t sent; (sent = send(near_end, octets, sizeof(octets), MSG_DONTWAIT)) > 0;) {
		all += (uint64_t)sent;
		check(all, 0);
	}
	assert_true(errno == EAGAIN && all > 0);
}

/* Before, and behind, the octets that wait in front of it are taken, and itself is. */
static void the_peers_fin_is_no_octet(void **state)
{
	(void)state;
	uint8_t octet;
	for (int accepted = 0; accepted < 2; accepted++) {
		connect_ends(accepted);
		talk();
		shutdown(far_end, SHUT_WR);
		loopback_wait(near_end, POLLRDHUP);
		check(10, 13);
		take(near_end, 17);
		check(10, 30);
		assert_int_equal(recv(near_end, &octet, 1, MSG_PEEK), 0);
		check(10, 30);
		assert_int_equal(recv(near_end, &octet, 1, 0), 0);
		check(10, 30);
		/* A record that is made only now starts behind it. */
		assert_int_equal(tcp_progress_get(near_end, &start), 0);
		loopback_send(near_end, &octet, 1);
		check(1, 0);
	}
}

static bool is_shut(void)
{
	struct tcp_progress now;
	assert_int_equal(tcp_progress_get(near_end, &now), 0);
	return now.shut;
}

static void our_fin_is_no_octet(void **state)
{
	(void)state;
	uint8_t octet;
	for (int accepted = 0; accepted < 2; accepted++) {
		connect_ends(accepted);
		talk();
		assert_false(is_shut());
		shutdown(near_end, SHUT_WR);
		check(10, 13);
		assert_true(is_shut());
		take(far_end, 6);
		loopback_wait(far_end, POLLIN);
		assert_int_equal(recv(far_end, &octet, 1, 0), 0);
		check(10, 13);
		loopback_send(far_end, (const uint8_t *)"abc", 3);
		take(near_end, 20);
		check(10, 33);
	}
}

static void when_it_is_over_one_octet_is_in_doubt(void **state)
{
	(void)state;
	struct tcp_progress now;
	connect_ends(true);
	talk();
	take(far_end, 6);
	shutdown(near_end, SHUT_WR);
	take(near_end, 17);
	loopback_close(far_end);
	loopback_wait(near_end, POLLHUP);
	assert_int_equal(tcp_progress_get(near_end, &now), 0);
	assert_true(now.over);
	assert_in_range(now.sent - start.sent, 10, 11);
	assert_in_range(now.taken - start.taken, 30, 31);
}

static void no_socket_is_an_error(void **state)
{
	(void)state;
	struct tcp_progress now;
	int ends[2];
	assert_int_equal(tcp_progress_get(-1, &now), -1);
	assert_int_equal(errno, EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(tcp_progress_get(ends[0], &now), -1);
	close(ends[0]);
	close(ends[1]);
}

#define CASE(name) cmocka_unit_test_teardown(name, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(sent_and_taken),
	    CASE(what_waits_has_been_sent),
	    CASE(the_peers_fin_is_no_octet),
	    CASE(our_fin_is_no_octet),
	    CASE(when_it_is_over_one_octet_is_in_doubt),
	    CASE(no_socket_is_an_error),
	};
	return cmocka_run_group_tests_name("tcp_progress", tests, NULL, NULL) != 0;
}
