/*
 * What the worker has of the keeper's descriptors, listening sockets and legs, with a keeper at the
 * link's other end that this unit plays.
 */
#include "worker/worker_listen.h"

#include "worker/worker_legs.h"
#include "worker/worker_wishes.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ADDR = 0x0a010001, PORT = 1723, OTHER_PORT = 1724, DEADLINE_S = 20 };

static struct event_base *base;
static struct link *keeper;
static struct worker_wishes wishes;
static struct worker_listen listen_here;
static struct worker_legs legs;
static struct letter letter;
static struct why why;

/* What the keeper heard, and what it does. */
static struct {
	unsigned listen, unlisten, keep, release;
	struct link_message last;
	bool refuses, breaks;
} heard;

static int any_descriptor(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* ---- the keeper ---- */

static void answer_listen(const struct link_message *wish)
{
	struct link_message answer = {
	    .type = LINK_LISTENING, .addr = wish->addr, .port = wish->port};
	if (heard.refuses) {
		snprintf(answer.text, sizeof(answer.text), "listen on %.100s: no", wish->text);
		link_send(keeper, &answer);
		return;
	}
	answer.fds[0] = any_descriptor();
	answer.fd_count = 1;
	link_send(keeper, &answer);
	close(answer.fds[0]);
}

static void on_wish(void *arg, const struct link_message *wish)
{
	(void)arg;
	heard.last = *wish;
	heard.unlisten += wish->type == LINK_UNLISTEN;
	heard.keep += wish->type == LINK_KEEP;
	heard.release += wish->type == LINK_RELEASE;
	for (unsigned i = 0; i < wish->fd_count; i++)
		close(wish->fds[i]);
	if (wish->type != LINK_LISTEN)
		return;
	heard.listen++;
	if (heard.breaks)
		event_base_loopbreak(base);
	else
		answer_listen(wish);
}

static void on_answer(void *arg, const struct link_message *message)
{
	worker_wishes_answered(arg, message);
}

static void on_gone(void *arg)
{
	(void)arg;
}

/* What has been said so far arrives. */
static void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

/* ---- the stage ---- */

static int set_up(void **state)
{
	int ends[2];
	(void)state;
	alarm(DEADLINE_S);
	memset(&heard, 0, sizeof(heard));
	letter = LETTER_NONE;
	listen_here = (struct worker_listen){.count = 0};
	legs = (struct worker_legs){.asked = NULL};
	base = event_base_new();
	if (link_pair(ends) != 0)
		return -1;
	keeper = link_open(base, ends[0], false, on_wish, on_gone, NULL);
	wishes = (struct worker_wishes){.base = base};
	wishes.link = link_open(base, ends[1], false, on_answer, on_gone, &wishes);
	return 0;
}

static void begin(void)
{
	assert_int_equal(worker_listen_open(&listen_here, &letter, &wishes, &why), 0);
}

static int get(uint16_t port, const char *name)
{
	return worker_listen_get(&listen_here, ADDR, port, name, &why);
}

static bool is_used(void *arg, uint32_t addr, uint16_t port)
{
	assert_int_equal(addr, ADDR);
	return port == *(const uint16_t *)arg;
}

static void drop_all_but(uint16_t port)
{
	worker_listen_drop(&listen_here, is_used, &port);
	turn();
}

static int tear_down(void **state)
{
	(void)state;
	if (listen_here.count > 0)
		drop_all_but(0);
	worker_listen_free(&listen_here);
	worker_legs_free(&legs);
	link_close(wishes.link);
	link_close(keeper);
	event_base_free(base);
	return 0;
}

/* ---- listening sockets ---- */

static void a_socket_is_asked_for_once(void **state)
{
	(void)state;
	begin();
	int fd = get(PORT, "here");
	assert_true(is_open(fd));
	assert_int_equal(heard.last.addr, ADDR);
	assert_int_equal(heard.last.port, PORT);
	assert_string_equal(heard.last.text, "here");
	assert_int_equal(get(PORT, "here"), fd);
	assert_int_equal(heard.listen, 1);
}

static void another_name_is_told_and_the_socket_stays(void **state)
{
	uint32_t addr = 0;
	(void)state;
	begin();
	int fd = get(PORT, "there");
	assert_int_equal(get(PORT, "here"), fd);
	assert_int_equal(heard.listen, 2);
	assert_int_equal(listen_here.count, 1);
	assert_true(worker_listen_address(&listen_here, "here", &addr));
	assert_int_equal(addr, ADDR);
	assert_false(worker_listen_address(&listen_here, "there", &addr));
}

static void the_letters_are_ours(void **state)
{
	char name[] = "here";
	struct letter_listener listener = {
	    .addr = ADDR, .port = PORT, .fd = any_descriptor(), .name = name};
	uint32_t addr = 0;
	(void)state;
	letter.listeners = &listener;
	letter.listener_count = 1;
	begin();
	assert_int_equal(get(PORT, "here"), listener.fd);
	assert_int_equal(heard.listen, 0);
	assert_true(worker_listen_address(&listen_here, "here", &addr));
}

static void a_refusal_has_the_keepers_words(void **state)
{
	(void)state;
	begin();
	heard.refuses = true;
	assert_int_equal(get(PORT, "here"), -1);
	assert_string_equal(why.text, "listen on here: no");
	assert_int_equal(listen_here.count, 0);
}

static void an_end_does_not_wait_for_the_answer(void **state)
{
	(void)state;
	begin();
	heard.breaks = true;
	assert_int_equal(get(PORT, "here"), -1);
	assert_string_equal(why.text, "ended while it waited for the keeper");
}

static void unused_ones_go(void **state)
{
	(void)state;
	begin();
	int used = get(PORT, "here"), unused = get(OTHER_PORT, "beside");
	drop_all_but(PORT);
	assert_true(is_open(used));
	assert_false(is_open(unused));
	assert_int_equal(heard.unlisten, 1);
	assert_int_equal(heard.last.port, OTHER_PORT);
	assert_int_equal(listen_here.count, 1);
	assert_int_equal(get(PORT, "here"), used);
	drop_all_but(0);
	assert_false(is_open(used));
	assert_int_equal(heard.unlisten, 2);
}

/* ---- legs ---- */

static void legs_are_given_and_let_go_of(void **state)
{
	int fds[2] = {any_descriptor(), any_descriptor()};
	(void)state;
	assert_int_equal(worker_legs_open(&legs, &letter, &wishes, &why), 0);
	assert_int_equal(worker_legs_keep(&legs, 17, fds), 0);
	turn();
	assert_int_equal(heard.keep, 1);
	assert_int_equal(heard.last.number, 17);
	assert_int_equal(heard.last.fd_count, 2);
	assert_true(is_open(fds[0]) && is_open(fds[1]));
	worker_legs_release(&legs, 17);
	turn();
	assert_int_equal(heard.release, 1);
	assert_int_equal(heard.last.number, 17);
	close(fds[0]);
	close(fds[1]);
}

static void legs_of_the_letter(void **state)
{
	enum { ALL = 3 };
	struct letter_legs all[ALL];
	int found[2];
	(void)state;
	for (unsigned i = 0; i < ALL; i++) {
		all[i] = (struct letter_legs){.index = 10 * i};
		for (int side = 0; side < 2; side++) {
			all[i].fds[side] = any_descriptor();
			fcntl(all[i].fds[side], F_SETFD, 0);
		}
	}
	letter.legs = all;
	letter.legs_count = ALL;
	assert_int_equal(worker_legs_open(&legs, &letter, &wishes, &why), 0);
	assert_false(worker_legs_find(&legs, 5, found));
	assert_true(worker_legs_find(&legs, 20, found));
	assert_memory_equal(found, all[2].fds, sizeof(found));
	assert_int_equal(fcntl(found[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(found[1], F_GETFD), FD_CLOEXEC);
	worker_legs_close_unasked(&legs);
	turn();
	assert_int_equal(heard.release, 2);
	for (unsigned i = 0; i < ALL; i++) {
		assert_int_equal(is_open(all[i].fds[0]), i == 2);
		assert_int_equal(is_open(all[i].fds[1]), i == 2);
	}
	close(found[0]);
	close(found[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_socket_is_asked_for_once, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(another_name_is_told_and_the_socket_stays, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(the_letters_are_ours, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_refusal_has_the_keepers_words, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_end_does_not_wait_for_the_answer, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(unused_ones_go, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(legs_are_given_and_let_go_of, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(legs_of_the_letter, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
