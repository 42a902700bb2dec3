/*
 * Two ends in one process: bounds and order, a slow end, descriptors, what a dead one said,
 * garbage, and a system that has no memory for a moment.
 */
#include "keeper/link.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 20000, NEVER = -1 };

static struct event_base *base;
static struct link *link_a, *link_b;
static int fd_b;
static struct {
	uint32_t count,
	    next; /* next: the number of the message that is to come, if they are in order */
	bool in_order, gone;
	struct link_message last;
} heard;

/* ---- a system that fails ---- */

static int fails_with, fail_times;

ssize_t __real_sendmsg(int fd, const struct msghdr *header, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *header, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *header, int flags);

static bool fails(void)
{
	if (fail_times == 0)
		return false;
	if (fail_times > 0)
		fail_times--;
	errno = fails_with;
	return true;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *header, int flags)
{
	return fails() ? -1 : __real_sendmsg(fd, header, flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *header, int flags)
{
	return fails() ? -1 : __real_recvmsg(fd, header, flags);
}

/* ---- the stage ---- */

static void on_received(void *arg, const struct link_message *message)
{
	assert_ptr_equal(arg, &heard);
	heard.in_order = heard.in_order && message->number == heard.next;
	heard.next++;
	heard.count++;
	heard.last = *message;
}

static void on_gone(void *arg)
{
	assert_ptr_equal(arg, &heard);
	assert_false(heard.gone); /* it is told once */
	heard.gone = true;
}

static int set_up(void **state)
{
	int ends[2];
	(void)state;
	memset(&heard, 0, sizeof(heard));
	heard.in_order = true;
	fail_times = 0;
	base = event_base_new();
	assert_int_equal(link_pair(ends), 0);
	fd_b = ends[1];
	link_a = link_open(base, ends[0], true, on_received, on_gone, &heard);
	link_b = link_open(base, ends[1], false, on_received, on_gone, &heard);
	return link_a && link_b ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	link_close(link_a);
	link_close(link_b);
	event_base_free(base);
	return 0;
}

static int send_number(uint32_t number)
{
	struct link_message message = {.type = LINK_RELEASE, .number = number};
	return link_send(link_b, &message);
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* ---- cases ---- */

static void ends_are_for_us_and_for_the_executed(void **state)
{
	int ends[2];
	(void)state;
	assert_int_equal(link_pair(ends), 0);
	assert_int_equal(fcntl(ends[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(ends[1], F_GETFD), 0);
	close(ends[0]);
	close(ends[1]);
}

static void messages_keep_their_content(void **state)
{
	struct link_message message = {
	    .type = LINK_CHECK,
	    .number = UINT32_MAX,
	    .count = {1, UINT32_MAX},
	    .addr = 0xc0a80001,
	    .port = 65535,
	    .answer = -3,
	    .check = {.connection = UINT64_MAX, .pair = 7, .client_port = 9},
	    .text = "why",
	};
	(void)state;
	assert_int_equal(link_send(link_a, &message), 0);
	link_drain(link_b);
	assert_int_equal(heard.count, 1);
	assert_memory_equal(&heard.last, &message, sizeof(message));
}

static void slow_end_hears_all_in_order(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(send_number(i), 0);
	assert_true(link_waiting(link_b) > 0); /* or the case tries nothing */
	while (link_waiting(link_b) > 0)
		turn();
	while (heard.count < MANY)
		turn();
	assert_true(heard.in_order);
}

static void busy_end_leaves_others_their_turn(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2000; i++)
		assert_int_equal(send_number(i), 0);
	turn();
	assert_in_range(heard.count, 1, 1000);
	link_drain(link_a);
	assert_int_equal(heard.count, 2000);
	assert_true(heard.in_order);
}

static void descriptors_pass(void **state)
{
	struct link_message message = {.fds = {-1, -1, -1, -1}, .fd_count = LINK_DESCRIPTORS_MAX};
	int pipes[4];
	char octet;
	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pipes + 2), 0);
	memcpy(message.fds, pipes, sizeof(pipes));
	assert_int_equal(link_send(link_a, &message), 0);
	assert_int_equal(link_send(link_b, &message), 0);
	for (int i = 0; i < 4; i++)
		close(pipes[i]);
	/* For the one they are closed on exec, for the other one inherited. */
	for (int which = 0; which < 2; which++) {
		link_drain(which == 0 ? link_b : link_a);
		assert_int_equal(heard.last.fd_count, 4);
		assert_int_equal(write(heard.last.fds[1], "x", 1), 1);
		assert_int_equal(read(heard.last.fds[0], &octet, 1), 1);
		for (int i = 0; i < 4; i++) {
			assert_int_equal(fcntl(heard.last.fds[i], F_GETFD),
					 which == 0 ? FD_CLOEXEC : 0);
			close(heard.last.fds[i]);
		}
	}
}

/* They would be the caller's no more when their turn comes. */
static void descriptors_do_not_wait(void **state)
{
	struct link_message message = {.fds = {fd_b}, .fd_count = 1};
	(void)state;
	for (uint32_t i = 0; link_waiting(link_b) == 0; i++)
		assert_int_equal(send_number(i), 0);
	assert_int_equal(link_send(link_b, &message), -1);
	assert_int_equal(errno, EAGAIN);
}

static void dead_ones_last_words_are_heard(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(send_number(i), 0);
	link_close(link_b);
	link_b = NULL;
	link_drain(link_a);
	assert_int_equal(heard.count, 10);
	assert_true(heard.in_order && heard.gone);
	link_drain(link_a);
	turn();
	struct link_message message = {.type = LINK_END};
	assert_int_equal(link_send(link_a, &message), -1);
	assert_int_equal(errno, EPIPE);
}

/* The type is anybody's, the text has no end, there are descriptors; each may be a stranger's. */
static void nonsense_is_bounded(void **state)
{
	struct link_message message;
	(void)state;
	memset(&message, 0xff, sizeof(message));
	assert_int_equal(send(fd_b, &message, sizeof(message), 0), sizeof(message));
	link_drain(link_a);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.last.fd_count, 0);
	assert_int_equal(strlen(heard.last.text), LINK_TEXT_MAX - 1);
	assert_false(heard.gone);
}

static void wrong_size_is_none_of_ours(void **state)
{
	const size_t sizes[] = {1, sizeof(struct link_message) - 1,
				sizeof(struct link_message) + 1};
	char octets[sizeof(struct link_message) + 1] = {0};
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(send(fd_b, octets, sizes[i], 0), sizes[i]);
		link_drain(link_a);
		assert_int_equal(heard.count, 0);
		assert_true(heard.gone);
		tear_down(NULL);
		set_up(NULL);
	}
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void too_many_descriptors_are_closed(void **state)
{
	enum { COUNT = 100 };
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(COUNT * sizeof(int))];
	} control = {.octets = {0}};
	struct link_message message = {0};
	struct iovec iov = {&message, sizeof(message)};
	struct msghdr header = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = control.octets,
				.msg_controllen = sizeof(control.octets)};
	unsigned before = open_descriptors();
	(void)state;
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(COUNT * sizeof(int));
	for (int i = 0; i < COUNT; i++)
		memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof(int), &fd_b, sizeof(int));
	assert_int_equal(sendmsg(fd_b, &header, 0), sizeof(message));
	link_drain(link_a);
	assert_int_equal(heard.last.fd_count, LINK_DESCRIPTORS_MAX);
	assert_int_equal(open_descriptors(), before + LINK_DESCRIPTORS_MAX);
	for (unsigned i = 0; i < heard.last.fd_count; i++)
		close(heard.last.fds[i]);
}

static const int passing[] = {ENOMEM, ENOBUFS, EINTR};

static void each_passing(void (*body)(void))
{
	for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++) {
		fails_with = passing[i];
		body();
		assert_false(heard.gone);
	}
}

static void receive_once_more(void)
{
	uint32_t count = heard.count;
	assert_int_equal(send_number(1), 0);
	fail_times = 1;
	link_drain(link_a);
	assert_int_equal(heard.count, count + 1);
}

static void receive_later(void)
{
	uint32_t count = heard.count;
	assert_int_equal(send_number(1), 0);
	fail_times = NEVER;
	turn();
	fail_times = 0;
	assert_int_equal(heard.count, count);
	turn();
	assert_int_equal(heard.count, count + 1);
}

/* The end of one process must not be what another one is told of where there is no memory. */
static void failure_of_the_system_is_no_end(void **state)
{
	(void)state;
	each_passing(receive_once_more);
	each_passing(receive_later);
}

static void send_once_more(void)
{
	struct link_message message = {.fds = {fd_b}, .fd_count = 1};
	fail_times = 1;
	assert_int_equal(link_send(link_b, &message), 0);
	assert_int_equal(link_waiting(link_b), 0);
	link_drain(link_a);
	close(heard.last.fds[0]);
}

static void send_later(void)
{
	uint32_t count = heard.count;
	fail_times = NEVER;
	assert_int_equal(send_number(1), 0);
	fail_times = 0;
	assert_int_equal(link_waiting(link_b), 1);
	while (link_waiting(link_b) > 0)
		turn();
	link_drain(link_a);
	assert_int_equal(heard.count, count + 1);
}

static void what_the_system_does_not_take_is_sent_again(void **state)
{
	(void)state;
	each_passing(send_once_more);
	each_passing(send_later);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ends_are_for_us_and_for_the_executed),
	    CASE(messages_keep_their_content),
	    CASE(slow_end_hears_all_in_order),
	    CASE(busy_end_leaves_others_their_turn),
	    CASE(descriptors_pass),
	    CASE(descriptors_do_not_wait),
	    CASE(dead_ones_last_words_are_heard),
	    CASE(nonsense_is_bounded),
	    CASE(wrong_size_is_none_of_ours),
	    CASE(too_many_descriptors_are_closed),
	    CASE(failure_of_the_system_is_no_end),
	    CASE(what_the_system_does_not_take_is_sent_again),
	};
	return cmocka_run_group_tests_name("link", tests, NULL, NULL) != 0;
}
