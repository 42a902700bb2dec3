/*
 * What outlives a worker: legs by index, listeners by address, and both over a letter; also what a
 * worker might send that is a stranger's by now. The hold is adopted from a letter, which takes no
 * rights.
 */
#include "keeper/keeper_hold.h"

#include "host/sanitized.h"
#include "tests/unit/loopback.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOCAL = 0x7f000001 };

static struct keeper_hold *hold;
static struct letter letter;
static struct why why;

static int nothing(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int leg(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	return fd;
}

static void adopt(struct letter_legs *legs, size_t count)
{
	struct letter from = LETTER_NONE;
	from.kept = nothing();
	from.raw_receive = nothing();
	from.raw_send = nothing();
	from.instance = nothing();
	from.legs = legs;
	from.legs_count = count;
	hold = keeper_hold_adopt("@test_keeper_hold", &from, &why);
	assert_non_null(hold);
}

static int set_up(void **state)
{
	(void)state;
	letter = LETTER_NONE;
	adopt(NULL, 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	letter_clear(&letter);
	keeper_hold_close(hold);
	hold = NULL;
	return 0;
}

static void tell(void)
{
	letter_clear(&letter);
	assert_int_equal(keeper_hold_tell(hold, &letter, &why), 0);
}

/* ---- legs ---- */

static void kept_legs_are_told_in_order(void **state)
{
	int a[2] = {leg(), leg()}, b[2] = {leg(), leg()};
	(void)state;
	keeper_hold_keep(hold, 70000, a);
	keeper_hold_keep(hold, 3, b);
	assert_int_equal(keeper_hold_legs(hold), 2);
	tell();
	assert_int_equal(letter.legs_count, 2);
	assert_int_equal(letter.legs[0].index, 3);
	assert_memory_equal(letter.legs[0].fds, b, sizeof(b));
	assert_int_equal(letter.legs[1].index, 70000);
	assert_memory_equal(letter.legs[1].fds, a, sizeof(a));
}

static void released_legs_are_closed(void **state)
{
	int a[2] = {leg(), leg()};
	(void)state;
	keeper_hold_keep(hold, 5, a);
	keeper_hold_release(hold, 4);
	keeper_hold_release(hold, 6);
	keeper_hold_release(hold, UINT32_MAX);
	assert_true(is_open(a[0]) && is_open(a[1]));
	keeper_hold_release(hold, 5);
	assert_false(is_open(a[0]) || is_open(a[1]));
	keeper_hold_release(hold, 5);
	assert_int_equal(keeper_hold_legs(hold), 0);
}

static void index_that_is_taken_is_replaced(void **state)
{
	int a[2] = {leg(), leg()}, b[2] = {leg(), leg()};
	(void)state;
	keeper_hold_keep(hold, 5, a);
	keeper_hold_keep(hold, 5, b);
	assert_false(is_open(a[0]) || is_open(a[1]));
	assert_int_equal(keeper_hold_legs(hold), 1);
	tell();
	assert_memory_equal(letter.legs[0].fds, b, sizeof(b));
}

static void check_not_kept(uint32_t index, int one, int other)
{
	int fds[2] = {one, other};
	assert_false(keeper_hold_keep(hold, index, fds));
	assert_int_equal(keeper_hold_legs(hold), 0);
	assert_false(is_open(one) || is_open(other));
}

static void index_beyond_the_records_is_refused(void **state)
{
	int a[2] = {leg(), leg()};
	(void)state;
	check_not_kept(KEEPER_HOLD_LEGS_MAX, leg(), leg());
	check_not_kept(UINT32_MAX, leg(), leg());
	assert_true(keeper_hold_keep(hold, KEEPER_HOLD_LEGS_MAX - 1, a));
	assert_int_equal(keeper_hold_legs(hold), 1);
}

static void what_is_no_leg_is_refused(void **state)
{
	int pair[2];
	(void)state;
	check_not_kept(1, leg(), nothing());
	check_not_kept(1, nothing(), leg());
	check_not_kept(1, leg(), socket(AF_INET, SOCK_DGRAM, 0));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	check_not_kept(1, pair[0], pair[1]);
}

static void some_numbers_stay_free(void **state)
{
	struct rlimit before, few = {100, 0};
	(void)state;
	getrlimit(RLIMIT_NOFILE, &before);
	few.rlim_max = before.rlim_max;
	setrlimit(RLIMIT_NOFILE, &few);
	size_t kept = 0;
	for (uint32_t i = 0; i < 60; i++) {
		int fds[2] = {socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_STREAM, 0)};
		keeper_hold_keep(hold, i, fds);
		kept += keeper_hold_legs(hold) == i + 1;
	}
	int room[2];
	assert_int_equal(pipe(room), 0);
	setrlimit(RLIMIT_NOFILE, &before);
	close(room[0]);
	close(room[1]);
	assert_in_range(kept, 20, 45);
	assert_int_equal(keeper_hold_legs(hold), kept);
}

/* ---- listeners ---- */

static void listener_is_made_once(void **state)
{
	(void)state;
	uint16_t port = loopback_free_port();
	int fd = keeper_hold_listen(hold, LOCAL, port, "here", &why);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), 0); /* inherited */
	assert_int_equal(keeper_hold_listen(hold, LOCAL, port, "here", &why), fd);
	assert_int_equal(keeper_hold_listeners(hold), 1);
	int client = loopback_connect(1, 1, port);
	loopback_close(client);
	keeper_hold_unlisten(hold, LOCAL, (uint16_t)(port + 1));
	keeper_hold_unlisten(hold, LOCAL + 1, port);
	assert_true(is_open(fd));
	keeper_hold_unlisten(hold, LOCAL, port);
	assert_false(is_open(fd));
	assert_int_equal(keeper_hold_listeners(hold), 0);
}

static void address_that_is_taken_is_named(void **state)
{
	(void)state;
	int taken = loopback_listen(1, 0);
	assert_int_equal(keeper_hold_listen(hold, LOCAL, loopback_port(taken), "my words", &why),
			 -1);
	assert_non_null(strstr(why.text, "my words"));
	assert_int_equal(keeper_hold_listeners(hold), 0);
	loopback_close_all();
}

/* ---- letters ---- */

static void everything_goes_over_a_letter(void **state)
{
	int a[2] = {leg(), leg()}, b[2] = {leg(), leg()};
	(void)state;
	keeper_hold_keep(hold, 0, a);
	keeper_hold_keep(hold, 900, b);
	uint16_t port = loopback_free_port();
	int listener = keeper_hold_listen(hold, LOCAL, port, "here", &why);
	tell();
	struct keeper_hold *next = keeper_hold_adopt("@test_keeper_hold", &letter, &why);
	assert_non_null(next);
	struct letter again = LETTER_NONE;
	assert_int_equal(keeper_hold_tell(next, &again, &why), 0);
	assert_int_equal(again.legs_count, 2);
	assert_memory_equal(again.legs, letter.legs, 2 * sizeof(*again.legs));
	assert_int_equal(again.listener_count, 1);
	assert_int_equal(again.listeners[0].fd, listener);
	assert_int_equal(again.kept, letter.kept);
	assert_int_equal(again.instance, letter.instance);
	assert_int_equal(again.raw_receive, letter.raw_receive);
	assert_int_equal(again.raw_send, letter.raw_send);
	assert_int_equal(keeper_hold_listen(next, LOCAL, port, "here", &why), listener);
	letter_clear(&again);
	keeper_hold_close(next);
	assert_false(is_open(a[0]) || is_open(b[1]) || is_open(listener) || is_open(letter.kept));
	/* An exec would have left nothing of the first one but these numbers; all are closed. */
}

static void letter_with_an_index_of_nobodys_is_taken_without_it(void **state)
{
	struct letter_legs legs[] = {{UINT32_MAX, {leg(), leg()}}, {2, {leg(), leg()}}};
	(void)state;
	keeper_hold_close(hold);
	adopt(legs, 2);
	assert_int_equal(keeper_hold_legs(hold), 1);
	assert_false(is_open(legs[0].fds[0]));
	assert_true(is_open(legs[1].fds[1]));
}

/* Whatever the next image lacks, it tries again: nothing may be closed until it has all. */
static void hold_that_cannot_be_had_closes_nothing(void **state)
{
	struct letter_legs legs[] = {{KEEPER_HOLD_LEGS_MAX - 1, {leg(), leg()}}};
	struct letter from = LETTER_NONE;
	struct rlimit before, little;
	(void)state;
	if (sanitized) {
		print_message("# skipped: a sanitizer does not survive a bound of its memory\n");
		skip();
	}
	from.kept = nothing();
	from.legs = legs;
	from.legs_count = 1;
	getrlimit(RLIMIT_AS, &before);
	little = before;
	little.rlim_cur = 1 << 20; /* mapped already, and more */
	setrlimit(RLIMIT_AS, &little);
	struct keeper_hold *none = keeper_hold_adopt("@test_keeper_hold", &from, &why);
	setrlimit(RLIMIT_AS, &before);
	assert_null(none);
	assert_true(is_open(from.kept) && is_open(legs[0].fds[0]) && is_open(legs[0].fds[1]));
	close(from.kept);
	close(legs[0].fds[0]);
	close(legs[0].fds[1]);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CASE(kept_legs_are_told_in_order),
	    CASE(released_legs_are_closed),
	    CASE(index_that_is_taken_is_replaced),
	    CASE(index_beyond_the_records_is_refused),
	    CASE(what_is_no_leg_is_refused),
	    CASE(some_numbers_stay_free),
	    CASE(listener_is_made_once),
	    CASE(address_that_is_taken_is_named),
	    CASE(everything_goes_over_a_letter),
	    CASE(letter_with_an_index_of_nobodys_is_taken_without_it),
	    CASE(hold_that_cannot_be_had_closes_nothing),
	};
	return cmocka_run_group_tests_name("keeper_hold", tests, NULL, NULL) != 0;
}
