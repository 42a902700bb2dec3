/*
 * A descriptor with a duplicate elsewhere leaves the event loop's watch list before it is closed.
 */
#include "control/control_graves.h"

#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { MANY = 200 };

static struct event_base *base;
static struct control_graves *graves;
static unsigned told;

/* As the program's: changes of the watch list wait for the loop's next turn. */
static int set_up(void **state)
{
	(void)state;
	struct event_config *config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	graves = control_graves_new(base);
	told = 0;
	return base && graves ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	control_graves_free(graves);
	event_base_free(base);
	return 0;
}

static void note(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	told++;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void nobody_hears_of_it_any_more(void **state)
{
	(void)state;
	int ends[2], another[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	int duplicate = dup(ends[0]), number = ends[0];
	struct event *event = event_new(base, ends[0], EV_READ | EV_PERSIST, note, NULL);
	event_add(event, NULL);
	turn();
	event_free(event);
	control_graves_bury(graves, ends[0]);
	assert_true(is_open(number));
	/* It may take a turn that has something else to do, too. */
	turn();
	turn();
	assert_false(is_open(number));
	/* Whoever gets the number hears of its own descriptor only. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, another), 0);
	assert_int_equal(another[0], number);
	event = event_new(base, another[0], EV_READ | EV_PERSIST, note, NULL);
	event_add(event, NULL);
	assert_int_equal(write(ends[1], "x", 1), 1);
	turn();
	turn();
	assert_int_equal(told, 0);
	assert_int_equal(write(another[1], "x", 1), 1);
	turn();
	assert_int_equal(told, 1);
	event_free(event);
	turn();
	close(duplicate);
	close(ends[1]);
	close(another[0]);
	close(another[1]);
}

/* One that ends, and has another one end in the loop's next turn. */
struct mortal {
	struct event *event;
	int ends[2];
	struct mortal *next;
};

static void die(evutil_socket_t fd, short what, void *arg)
{
	struct mortal *mortal = arg;
	(void)what;
	event_free(mortal->event);
	control_graves_bury(graves, fd);
	if (mortal->next)
		assert_int_equal(write(mortal->next->ends[1], "x", 1), 1);
}

static struct mortal *live(struct mortal *mortal, struct mortal *next)
{
	mortal->next = next;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, mortal->ends), 0);
	mortal->event = event_new(base, mortal->ends[0], EV_READ | EV_PERSIST, die, mortal);
	event_add(mortal->event, NULL);
	return mortal;
}

/* The first one's timer is active already when the next one is buried. */
static void a_burial_while_others_are_closed(void **state)
{
	(void)state;
	struct mortal third, second, first;
	live(&first, live(&second, live(&third, NULL)));
	turn();
	assert_int_equal(write(first.ends[1], "x", 1), 1);
	turn();
	assert_true(is_open(first.ends[0]));
	turn();
	assert_true(is_open(second.ends[0]));
	turn();
	assert_true(is_open(third.ends[0]));
	for (int i = 0; i < 3; i++)
		turn();
	assert_false(is_open(first.ends[0]));
	assert_false(is_open(second.ends[0]));
	assert_false(is_open(third.ends[0]));
	close(first.ends[1]);
	close(second.ends[1]);
	close(third.ends[1]);
}

static void many_at_once(void **state)
{
	(void)state;
	int fds[MANY];
	for (int i = 0; i < MANY; i++) {
		fds[i] = dup(STDOUT_FILENO);
		control_graves_bury(graves, fds[i]);
	}
	turn();
	turn();
	for (int i = 0; i < MANY; i++)
		assert_false(is_open(fds[i]));
}

static void what_is_left_is_closed_at_the_end(void **state)
{
	(void)state;
	int fd = dup(STDOUT_FILENO);
	control_graves_bury(graves, fd);
	control_graves_free(graves);
	graves = NULL;
	assert_false(is_open(fd));
	control_graves_free(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(nobody_hears_of_it_any_more),
	    CASE(a_burial_while_others_are_closed),
	    CASE(many_at_once),
	    CASE(what_is_left_is_closed_at_the_end),
	};
	return cmocka_run_group_tests_name("control_graves", tests, NULL, NULL) != 0;
}
