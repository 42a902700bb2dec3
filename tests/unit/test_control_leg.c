/*
 * One leg and its peer, over the loopback: the peer is 127.0.0.2, and reads or not as a case likes.
 */
#include "control/control_leg.h"

#include "tests/unit/loopback.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNK = 1000, STREAM_MAX = 4 * 1024 * 1024 };

static struct event_base *base;
static struct control_leg leg;
static int peer;
static uint16_t listen_port;

static struct {
	int count;
	short what;
} told;

/* The next ones that throw octets away fail with ENOMEM. */
static int consumes_fail;

ssize_t __real_recv(int fd, void *octets, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *octets, size_t length, int flags);

ssize_t __wrap_recv(int fd, void *octets, size_t length, int flags)
{
	if ((flags & MSG_TRUNC) == 0 || consumes_fail == 0)
		return __real_recv(fd, octets, length, flags);
	consumes_fail--;
	errno = ENOMEM;
	return -1;
}

static void on_leg(evutil_socket_t fd, short what, void *arg)
{
	assert_int_equal(fd, leg.fd);
	assert_ptr_equal(arg, &told);
	told.count++;
	told.what |= what;
}

/* A connected pair of sockets; ours has the options that a listener gave it. */
static int connect_peer(void)
{
	int listener = loopback_bind(1, 0), small = 4096;
	control_leg_tune(listener, 7);
	assert_int_equal(listen(listener, 1), 0);
	listen_port = loopback_port(listener);
	struct sockaddr_in at = loopback_address(1, listen_port);
	peer = loopback_bind(2, 0);
	setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(peer, (struct sockaddr *)&at, sizeof(at)), 0);
	int fd = loopback_take(listener);
	loopback_close(listener);
	fcntl(peer, F_SETFL, O_NONBLOCK);
	return fd;
}

static int set_up(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	base = event_base_new();
	struct control_socket near = {.fd = connect_peer()};
	return control_leg_open(&leg, &near, base, on_leg, &told);
}

static int tear_down(void **state)
{
	(void)state;
	control_leg_close(&leg);
	loopback_close_all();
	event_base_free(base);
	return 0;
}

static void turn(void)
{
	/* Once: with a level-triggered event a loop that only does not block would never end. */
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
}

static void peer_says(const char *text)
{
	loopback_send(peer, (const uint8_t *)text, strlen(text));
	loopback_wait(leg.fd, POLLIN);
}

static void peer_resets(void)
{
	loopback_reset(peer);
	loopback_wait(leg.fd, POLLRDHUP);
}

static void peer_finishes(void)
{
	assert_int_equal(shutdown(peer, SHUT_WR), 0);
	loopback_wait(leg.fd, POLLRDHUP);
}

static void waits(const char *text)
{
	uint8_t octets[64];
	assert_int_equal(control_leg_peek(&leg, octets, sizeof(octets)), strlen(text));
	assert_memory_equal(octets, text, strlen(text));
}

static void nothing_waits(void)
{
	uint8_t octet;
	assert_int_equal(control_leg_peek(&leg, &octet, 1), -1);
	assert_int_equal(errno, EAGAIN);
}

/* The octet at that place of the stream: no two chunks are alike. */
static uint8_t pattern(size_t at)
{
	return (uint8_t)(at ^ (at >> 8) * 31);
}

static int write_pattern(size_t at, size_t length)
{
	uint8_t octets[CONTROL_OUTBOX_MAX + 1];
	assert_true(length <= sizeof(octets));
	for (size_t i = 0; i < length; i++)
		octets[i] = pattern(at + i);
	return control_leg_write(&leg, octets, length);
}

/* Writes until the system takes no more: the length of the stream so far, outbox included. */
static size_t fill(void)
{
	size_t written = 0;
	for (; control_leg_drained(&leg); written += CHUNK) {
		assert_true(written < STREAM_MAX);
		assert_int_equal(write_pattern(written, CHUNK), 0);
	}
	return written;
}

/* ---- cases ---- */

static void addresses_are_read(void **state)
{
	(void)state;
	assert_true(control_leg_is_open(&leg));
	assert_true(control_leg_drained(&leg));
	assert_int_equal(leg.proxy.addr, 0x7f000001);
	assert_int_equal(leg.proxy.port, listen_port);
	assert_int_equal(leg.peer.addr, 0x7f000002);
	assert_int_equal(leg.peer.port, loopback_port(peer));
	assert_false(leg.peer_closed);
	assert_false(leg.shut);
}

static void known_addresses_are_not_asked_for(void **state)
{
	(void)state;
	struct control_leg other;
	struct control_socket lone = {
	    .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    .proxy = {0x0a000001, 1},
	    .peer = {0x0a000002, 2},
	};
	assert_int_equal(control_leg_open(&other, &lone, base, on_leg, &told), 0);
	assert_int_equal(other.proxy.addr, 0x0a000001);
	assert_int_equal(other.proxy.port, 1);
	assert_int_equal(other.peer.addr, 0x0a000002);
	assert_int_equal(other.peer.port, 2);
	control_leg_close(&other);
}

static void close_copes_with_any_state(void **state)
{
	(void)state;
	struct control_leg none = CONTROL_LEG_NONE;
	int fd = leg.fd;
	assert_false(control_leg_is_open(&none));
	control_leg_close(&none);
	fill();
	control_leg_close(&leg);
	assert_false(control_leg_is_open(&leg));
	assert_true(control_leg_drained(&leg));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	control_leg_close(&leg);
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
}

static void unconnected_descriptor_is_closed(void **state)
{
	(void)state;
	struct control_leg other;
	struct control_socket lone = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(control_leg_open(&other, &lone, base, on_leg, &told), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(fcntl(lone.fd, F_GETFD), -1);
	assert_false(control_leg_is_open(&other));
	control_leg_close(&other);
}

static void options_are_inherited(void **state)
{
	(void)state;
	static const struct {
		int level, option, value;
	} rows[] = {
	    {IPPROTO_TCP, TCP_NODELAY, 1},	    {SOL_SOCKET, SO_KEEPALIVE, 1},
	    {IPPROTO_TCP, TCP_KEEPIDLE, 7},	    {IPPROTO_TCP, TCP_KEEPINTVL, 7},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT, 21000}, {SOL_SOCKET, SO_SNDBUF, 2 * 32768},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int value = 0;
		socklen_t length = sizeof(value);
		assert_int_equal(getsockopt(leg.fd, rows[i].level, rows[i].option, &value, &length),
				 0);
		if (rows[i].option == TCP_NODELAY || rows[i].option == SO_KEEPALIVE)
			value = value != 0;
		if (value != rows[i].value)
			fail_msg("row %zu: %d instead of %d", i, value, rows[i].value);
	}
}

static void each_change_is_told_once(void **state)
{
	(void)state;
	turn(); /* writable */
	assert_int_equal(told.count, 1);
	peer_says("a");
	turn();
	assert_int_equal(told.count, 2);
	assert_false(told.what & EV_CLOSED);
	turn(); /* though it still waits */
	assert_int_equal(told.count, 2);
	peer_finishes();
	turn();
	assert_int_equal(told.count, 3);
	assert_true(told.what & EV_CLOSED);
}

static void peek_does_not_consume(void **state)
{
	(void)state;
	uint8_t two[2];
	nothing_waits();
	peer_says("abcdef");
	assert_int_equal(control_leg_peek(&leg, two, sizeof(two)), 2);
	assert_memory_equal(two, "ab", 2);
	waits("abcdef");
	waits("abcdef");
}

static void consume_takes_what_it_is_told(void **state)
{
	(void)state;
	peer_says("abcdef");
	control_leg_consume(&leg, 2);
	waits("cdef");
	control_leg_consume(&leg, 3);
	waits("f");
	control_leg_consume(&leg, 1);
	nothing_waits();
}

static void what_is_consumed_is_never_seen_again(void **state)
{
	uint8_t octets[16];
	(void)state;
	peer_says("onetwo");
	assert_int_equal(control_leg_peek(&leg, octets, sizeof(octets)), 6);
	consumes_fail = 2;
	control_leg_consume(&leg, 3);
	assert_int_equal(control_leg_peek(&leg, octets, sizeof(octets)), -1);
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(consumes_fail, 0);
	assert_int_equal(control_leg_peek(&leg, octets, sizeof(octets)), 3);
	assert_memory_equal(octets, "two", 3);
}

/* A look is saved only where an event will tell of all that comes. */
static void quiet_once_all_that_was_seen_is_consumed(void **state)
{
	(void)state;
	uint8_t octets[8];
	peer_says("onetwo");
	assert_int_equal(control_leg_peek(&leg, octets, 3), 3);
	control_leg_consume(&leg, 3);
	assert_false(leg.quiet); /* there may be more than was looked at */
	assert_int_equal(control_leg_peek(&leg, octets, sizeof(octets)), 3);
	control_leg_consume(&leg, 1);
	assert_false(leg.quiet);
	control_leg_consume(&leg, 2);
	assert_true(leg.quiet);
	peer_says("three");
	assert_int_equal(control_leg_peek(&leg, octets, sizeof(octets)), 5);
	assert_false(leg.quiet);
	leg.peer_closed = true; /* told by the event that told of the octets, too: no other comes */
	control_leg_consume(&leg, 5);
	assert_false(leg.quiet);
	nothing_waits();
	assert_true(leg.quiet);
}

static void end_of_the_stream(void **state)
{
	(void)state;
	uint8_t octet;
	peer_says("a");
	peer_finishes();
	waits("a");
	assert_false(leg.peer_closed);
	control_leg_consume(&leg, 1);
	assert_int_equal(control_leg_peek(&leg, &octet, 1), 0);
	assert_true(leg.peer_closed);
}

static void short_write_drains_in_order(void **state)
{
	(void)state;
	uint8_t octets[8192];
	size_t written = fill(), read_so_far = 0;
	assert_in_range(leg.outbox->length, 1, CHUNK);
	assert_int_equal(write_pattern(written, 100), 0);
	written += 100;
	/* Nothing overtakes what waits, wherever there is room again. */
	while (read_so_far < written) {
		loopback_wait(peer, POLLIN);
		ssize_t got = recv(peer, octets, sizeof(octets), 0);
		assert_true(got > 0);
		for (ssize_t i = 0; i < got; i++, read_so_far++)
			if (octets[i] != pattern(read_so_far))
				fail_msg("octet %zu of %zu is out of order", read_so_far, written);
		if (!control_leg_drained(&leg) && leg.outbox->length + 100 <= CONTROL_OUTBOX_MAX &&
		    written % CHUNK == 100) {
			assert_int_equal(write_pattern(written, 100), 0);
			written += 100;
		}
		assert_int_equal(control_leg_flush(&leg), 0);
	}
	assert_true(control_leg_drained(&leg));
	assert_int_equal(control_leg_flush(&leg), 0);
	assert_int_equal(recv(peer, octets, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void outbox_holds_no_more_than_its_size(void **state)
{
	(void)state;
	size_t written = fill(), kept = leg.outbox->length, room = CONTROL_OUTBOX_MAX - kept;
	assert_int_equal(write_pattern(written, room + 1), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(leg.outbox->length, kept);
	assert_int_equal(write_pattern(written, room), 0);
	assert_int_equal(leg.outbox->length, CONTROL_OUTBOX_MAX);
	assert_int_equal(write_pattern(written, 1), -1);
	assert_int_equal(errno, ENOBUFS);
	assert_int_equal(control_leg_flush(&leg), 0);
	assert_int_equal(leg.outbox->length, CONTROL_OUTBOX_MAX);
}

static void failed_flush_forgets_the_outbox(void **state)
{
	(void)state;
	fill();
	peer_resets();
	assert_int_equal(control_leg_flush(&leg), -1);
	assert_true(errno == ECONNRESET || errno == EPIPE);
	assert_true(control_leg_drained(&leg));
}

static void write_to_a_reset_peer_fails(void **state)
{
	(void)state;
	peer_resets();
	assert_int_equal(write_pattern(0, 10), -1);
	assert_true(errno == ECONNRESET || errno == EPIPE);
	assert_true(control_leg_drained(&leg));
}

static void fin_behind_unread_octets_is_seen(void **state)
{
	(void)state;
	assert_false(control_leg_peer_is_gone(&leg));
	peer_says("abc");
	assert_false(control_leg_peer_is_gone(&leg));
	peer_finishes();
	assert_true(control_leg_peer_is_gone(&leg));
	assert_false(leg.peer_closed);
	waits("abc");
}

static void reset_is_seen(void **state)
{
	(void)state;
	peer_resets();
	assert_true(control_leg_peer_is_gone(&leg));
}

static void noted_end_is_enough(void **state)
{
	(void)state;
	leg.peer_closed = true;
	assert_true(control_leg_peer_is_gone(&leg));
}

static void shut_sends_a_fin_and_still_reads(void **state)
{
	(void)state;
	char octet;
	control_leg_shut(&leg);
	assert_true(leg.shut);
	loopback_wait(peer, POLLIN);
	assert_int_equal(recv(peer, &octet, 1, 0), 0);
	control_leg_shut(&leg);
	assert_true(leg.shut);
	peer_says("late");
	waits("late");
	assert_false(control_leg_peer_is_gone(&leg));
}

static void shut_leg_is_not_shut_again(void **state)
{
	(void)state;
	char octet;
	leg.shut = true;
	control_leg_shut(&leg);
	assert_int_equal(write_pattern(0, 1), 0);
	loopback_wait(peer, POLLIN);
	assert_int_equal(recv(peer, &octet, 1, 0), 1);
}

static void discard_notes_the_end(void **state)
{
	(void)state;
	peer_says("abc");
	control_leg_discard(&leg);
	nothing_waits();
	assert_false(leg.peer_closed);
	peer_says("def");
	peer_finishes();
	control_leg_discard(&leg);
	assert_true(leg.peer_closed);
}

static void discard_notes_a_reset(void **state)
{
	(void)state;
	control_leg_discard(&leg);
	assert_false(leg.peer_closed);
	peer_resets();
	control_leg_discard(&leg);
	assert_true(leg.peer_closed);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(addresses_are_read),
	    CASE(known_addresses_are_not_asked_for),
	    CASE(close_copes_with_any_state),
	    CASE(unconnected_descriptor_is_closed),
	    CASE(options_are_inherited),
	    CASE(each_change_is_told_once),
	    CASE(peek_does_not_consume),
	    CASE(consume_takes_what_it_is_told),
	    CASE(what_is_consumed_is_never_seen_again),
	    CASE(quiet_once_all_that_was_seen_is_consumed),
	    CASE(end_of_the_stream),
	    CASE(short_write_drains_in_order),
	    CASE(outbox_holds_no_more_than_its_size),
	    CASE(failed_flush_forgets_the_outbox),
	    CASE(write_to_a_reset_peer_fails),
	    CASE(fin_behind_unread_octets_is_seen),
	    CASE(reset_is_seen),
	    CASE(noted_end_is_enough),
	    CASE(shut_sends_a_fin_and_still_reads),
	    CASE(shut_leg_is_not_shut_again),
	    CASE(discard_notes_the_end),
	    CASE(discard_notes_a_reset),
	};
	return cmocka_run_group_tests_name("control_leg", tests, NULL, NULL) != 0;
}
