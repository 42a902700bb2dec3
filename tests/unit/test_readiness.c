#include "host/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "notify"
#include "tests/unit/scratch.h"

static int supervisor = -1;
static struct why why;

/* As a supervisor does; name[0] is '@' for an abstract one. */
static void listen_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	supervisor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(supervisor, (struct sockaddr *)&address, length), 0);
	setenv(READINESS_VARIABLE, name, 1);
}

static int stop_listening(void **state)
{
	(void)state;
	unsetenv(READINESS_VARIABLE);
	unlink(path);
	if (supervisor >= 0)
		close(supervisor);
	supervisor = -1;
	return 0;
}

/* The next message; "": none. */
static const char *heard(void)
{
	static char message[1024];
	ssize_t length = recv(supervisor, message, sizeof(message) - 1, 0);
	message[length > 0 ? length : 0] = '\0';
	return message;
}

static void expect_ready(const char *status)
{
	char expected[1024];
	snprintf(expected, sizeof(expected), "READY=1\nMAINPID=%ld\nSTATUS=%s\n", (long)getpid(),
		 status);
	assert_string_equal(heard(), expected);
	assert_string_equal(heard(), "");
}

static void a_path(void **state)
{
	(void)state;
	listen_at(path);
	readiness_ready(-1, "2 pairs");
	expect_ready("2 pairs");
}

static void an_abstract_name(void **state)
{
	(void)state;
	char name[64];
	snprintf(name, sizeof(name), "@test_readiness.%ld", (long)getpid());
	listen_at(name);
	readiness_ready(-1, "1 pair");
	expect_ready("1 pair");
}

static void the_longest_path(void **state)
{
	(void)state;
	struct sockaddr_un address;
	char name[sizeof(address.sun_path) + 2];
	memset(name, 'x', sizeof(name));
	name[0] = '@';
	name[sizeof(address.sun_path) - 1] = '\0';
	listen_at(name);
	readiness_status("here");
	assert_string_equal(heard(), "STATUS=here\n");
	name[sizeof(address.sun_path) - 1] = 'x'; /* one octet more */
	name[sizeof(address.sun_path)] = '\0';
	setenv(READINESS_VARIABLE, name, 1);
	readiness_status("nowhere");
	assert_string_equal(heard(), "");
}

static void what_else_there_is_to_say(void **state)
{
	(void)state;
	struct timespec now;
	unsigned long long microseconds;
	int end = 0;
	listen_at(path);
	readiness_reloading();
	clock_gettime(CLOCK_MONOTONIC, &now);
	const char *message = heard();
	assert_int_equal(
	    sscanf(message, "RELOADING=1\nMONOTONIC_USEC=%llu\n%n", &microseconds, &end), 1);
	assert_int_equal(end, (int)strlen(message));
	uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	assert_in_range(microseconds, us > 60000000 ? us - 60000000 : 1, us);
	readiness_status("no worker");
	assert_string_equal(heard(), "STATUS=no worker\n");
	readiness_stopping();
	assert_string_equal(heard(), "STOPPING=1\nSTATUS=ending\n");
}

static void a_long_status_is_cut(void **state)
{
	(void)state;
	char status[600], expected[601 + 16];
	listen_at(path);
	memset(status, 's', sizeof(status) - 1);
	status[sizeof(status) - 1] = '\0';
	readiness_status(status);
	snprintf(expected, sizeof(expected), "STATUS=%.200s\n", status);
	assert_string_equal(heard(), expected);
	readiness_ready(-1, status);
	snprintf(expected, sizeof(expected), "%.200s", status);
	expect_ready(expected);
}

static void nobody_listens(void **state)
{
	(void)state;
	static const char *const names[] = {"",		"@",	     "/",
					    "relative", "vsock:2:3", "/no/such/socket"};
	readiness_ready(-1, "no variable");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		setenv(READINESS_VARIABLE, names[i], 1);
		readiness_ready(-1, "nobody");
		readiness_stopping();
	}
}

static void a_supervisor_that_does_not_read(void **state)
{
	(void)state;
	int small = 1;
	struct timespec begun, done;
	listen_at(path);
	setsockopt(supervisor, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path, path, strlen(path));
	while (sendto(sender, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)) == 1)
		;
	assert_int_equal(errno, EAGAIN);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	readiness_status("lost");
	clock_gettime(CLOCK_MONOTONIC, &done);
	assert_in_range(done.tv_sec - begun.tv_sec, 0, 20);
	close(sender);
}

static void a_descriptor(void **state)
{
	(void)state;
	int ends[2];
	char text[8];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(readiness_take_descriptor(ends[1], &why), 0);
	assert_int_equal(fcntl(ends[1], F_GETFD), FD_CLOEXEC);
	readiness_ready(ends[1], "1 pair");
	assert_int_equal(read(ends[0], text, sizeof(text)), 1);
	assert_int_equal(text[0], '\n');
	assert_int_equal(read(ends[0], text, sizeof(text)), 0);
	assert_int_equal(fcntl(ends[1], F_GETFD), -1);
	close(ends[0]);
}

static void a_descriptor_that_is_none(void **state)
{
	(void)state;
	int ends[2];
	char expected[80];
	assert_int_equal(pipe(ends), 0);
	snprintf(expected, sizeof(expected), "--ready-fd %d: %s", ends[0], strerror(EBADF));
	assert_int_equal(readiness_take_descriptor(ends[0], &why), -1);
	assert_string_equal(why.text, expected);
	snprintf(expected, sizeof(expected), "--ready-fd %d: %s", ends[1], strerror(EBADF));
	close(ends[1]);
	assert_int_equal(readiness_take_descriptor(ends[1], &why), -1);
	assert_string_equal(why.text, expected);
	close(ends[0]);
}

#define CASE(name) cmocka_unit_test_teardown(name, stop_listening)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_path),
	    CASE(an_abstract_name),
	    CASE(the_longest_path),
	    CASE(what_else_there_is_to_say),
	    CASE(a_long_status_is_cut),
	    CASE(nobody_listens),
	    CASE(a_supervisor_that_does_not_read),
	    CASE(a_descriptor),
	    CASE(a_descriptor_that_is_none),
	};
	return cmocka_run_group_tests(tests, scratch_set_up, scratch_tear_down);
}
