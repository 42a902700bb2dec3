/*
 * Far ends; see loopback.h.
 */
#include "tests/unit/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { ENDS_MAX = 64, HEARD_MAX = 8192, FILLERS_MAX = 8 };

static int ends[ENDS_MAX];
static size_t end_count;

static int keep(int fd)
{
	assert_true(fd >= 0);
	assert_true(end_count < ENDS_MAX);
	return ends[end_count++] = fd;
}

void loopback_close(int fd)
{
	for (size_t i = 0; i < end_count; i++) {
		if (ends[i] != fd)
			continue;
		ends[i] = ends[--end_count];
		close(fd);
		return;
	}
	fail_msg("descriptor %d is none of ours", fd);
}

void loopback_reset(int fd)
{
	struct linger at_once = {.l_onoff = 1};
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	loopback_close(fd);
}

void loopback_close_all(void)
{
	while (end_count > 0)
		close(ends[--end_count]);
}

struct sockaddr_in loopback_address(uint8_t host, uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(0x7f000000U + host)};
}

int loopback_socket(void)
{
	return keep(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

int loopback_bind(uint8_t host, uint16_t port)
{
	struct sockaddr_in at = loopback_address(host, port);
	int fd = loopback_socket(), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

int loopback_listen(uint8_t host, uint16_t port)
{
	int fd = loopback_bind(host, port);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* Connections that nobody accepts: the first that hangs has found the queue full. */
int loopback_listen_silent(uint8_t host)
{
	int listener = loopback_bind(host, 0);
	struct sockaddr_in to = loopback_address(host, loopback_port(listener));
	assert_int_equal(listen(listener, 0), 0);
	for (int i = 0; i < FILLERS_MAX; i++) {
		int filler = loopback_socket();
		struct pollfd connected = {.fd = filler, .events = POLLOUT};
		fcntl(filler, F_SETFL, O_NONBLOCK);
		connect(filler, (struct sockaddr *)&to, sizeof(to));
		if (poll(&connected, 1, 100) == 0)
			return listener;
	}
	fail_msg("the queue of %d does not get full", listener);
	return -1;
}

int loopback_connect(uint8_t from, uint8_t to, uint16_t port)
{
	struct sockaddr_in at = loopback_address(to, port);
	int fd = loopback_bind(from, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

int loopback_take(int listener)
{
	loopback_wait(listener, POLLIN);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(fd >= 0);
	return fd;
}

int loopback_accept(int listener)
{
	return keep(loopback_take(listener));
}

uint16_t loopback_port(int fd)
{
	struct sockaddr_in at;
	socklen_t length = sizeof(at);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
	return ntohs(at.sin_port);
}

uint16_t loopback_free_port(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = loopback_socket();
	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	uint16_t port = loopback_port(fd);
	loopback_close(fd);
	return port;
}

void loopback_wait(int fd, short events)
{
	struct pollfd state = {.fd = fd, .events = events};
	assert_int_equal(poll(&state, 1, LOOPBACK_DEADLINE_MS), 1);
}

bool loopback_is(int fd, short events)
{
	struct pollfd state = {.fd = fd, .events = events};
	return poll(&state, 1, 0) == 1 && (state.revents & events);
}

size_t loopback_waiting(int fd)
{
	int octets = 0;
	assert_int_equal(ioctl(fd, FIONREAD, &octets), 0);
	return (size_t)octets;
}

bool loopback_has_ended(int fd)
{
	char octet;
	ssize_t got = recv(fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT);
	return got == 0 || (got < 0 && errno == ECONNRESET);
}

void loopback_send(int fd, const uint8_t *octets, size_t length)
{
	assert_int_equal(send(fd, octets, length, MSG_NOSIGNAL), (ssize_t)length);
}

void loopback_hear(int fd, const uint8_t *octets, size_t length)
{
	uint8_t got[HEARD_MAX];
	assert_true(length <= sizeof(got));
	for (size_t at = 0; at < length;) {
		loopback_wait(fd, POLLIN);
		ssize_t count = recv(fd, got + at, length - at, MSG_DONTWAIT);
		assert_true(count > 0);
		at += (size_t)count;
	}
	assert_memory_equal(got, octets, length);
	assert_int_equal(loopback_waiting(fd), 0);
}
