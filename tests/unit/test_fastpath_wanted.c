/*
 * Which next hops are wanted, as the worker says it; the case is the hop thread.
 */
#include "fastpath/fastpath_wanted.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

enum { OURS = 0x0A010001, PEER = 0x0A01000A };

static int fds[2] = {-1, -1};
static struct fastpath_wanted *wanted;
static struct fastpath_wanted_table *table;

static int open_worker(void)
{
	struct why why;
	wanted = fastpath_wanted_open(fds[0], fds[1], &why);
	return wanted ? 0 : -1;
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	if (fastpath_wanted_make(&fds[0], &fds[1], &why) != 0)
		return -1;
	table = fastpath_wanted_map(fds[0]);
	return table ? open_worker() : -1;
}

static int tear_down(void **state)
{
	(void)state;
	fastpath_wanted_close(wanted);
	fastpath_wanted_unmap(table);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

static int get(uint32_t peer)
{
	return fastpath_wanted_get(wanted, OURS, peer);
}

static void put(int hop)
{
	fastpath_wanted_put(wanted, hop);
}

static uint64_t pair_at(int hop)
{
	return table->hops[hop].pair;
}

static bool is_marked(int hop)
{
	return (table->changed[hop / 64] >> hop % 64 & 1) &&
	       (table->groups[hop / 4096] >> hop / 64 % 64 & 1);
}

/* As the hop thread does once he has seen it all. */
static void answer_all(void)
{
	for (int i = 0; i < FASTPATH_HOPS; i++)
		table->hops[i].answer = table->hops[i].ask;
	for (int i = 0; i < FASTPATH_WANTED_WORDS; i++)
		table->changed[i] = 0;
	for (int i = 0; i < FASTPATH_WANTED_GROUPS; i++)
		table->groups[i] = 0;
}

static bool is_awake(void)
{
	uint64_t count;
	return read(fds[1], &count, sizeof(count)) == sizeof(count);
}

/* The worker dies, another one begins. */
static void die_and_begin(void)
{
	fastpath_wanted_close(wanted);
	assert_int_equal(open_worker(), 0);
}

/* ---- */

static void a_pair_has_one_number(void **state)
{
	(void)state;
	is_awake();
	int one = get(PEER);
	assert_true(is_awake());
	assert_true(is_marked(one));
	assert_true(pair_at(one) == ((uint64_t)OURS << 32 | PEER));
	assert_int_equal(get(PEER), one);
	assert_false(is_awake());
	assert_int_not_equal(get(PEER + 1), one);
	put(one);
	assert_true(pair_at(one) != 0);
	put(one);
	assert_true(pair_at(one) == 0);
	assert_true(is_awake());
}

/* Else packets of the one pair could leave by the other's hop. */
static void a_number_is_anothers_only_once_its_record_is_empty(void **state)
{
	(void)state;
	int one = get(PEER);
	answer_all();
	put(one);
	int other = get(PEER + 1);
	assert_int_not_equal(other, one);
	answer_all();
	assert_int_equal(get(PEER + 2), one);
	assert_int_not_equal(table->hops[one].ask, table->hops[one].answer);
}

static void all_numbers(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < FASTPATH_HOPS; i++)
		assert_int_equal(get(PEER + i), i);
	assert_int_equal(get(PEER + FASTPATH_HOPS), -1);
	for (int i = 0; i < FASTPATH_HOPS; i += 4095)
		assert_true(is_marked(i));
	answer_all();
	put(77);
	assert_int_equal(get(PEER + FASTPATH_HOPS), -1);
	answer_all();
	assert_int_equal(get(PEER + FASTPATH_HOPS), 77);
}

/* ---- after another worker ---- */

static void numbers_last_longer_than_a_worker(void **state)
{
	(void)state;
	int gone = get(PEER + 7), one = get(PEER), other = get(PEER + 1);
	put(gone);
	answer_all();
	die_and_begin();
	assert_int_equal(get(PEER + 1), other);
	assert_int_equal(get(PEER), one);
	assert_int_equal(get(PEER), one);
	uint32_t ask = table->hops[one].ask;
	fastpath_wanted_put_unused(wanted);
	assert_true(pair_at(one) != 0 && table->hops[one].ask == ask);
	put(one);
	assert_true(pair_at(one) != 0);
	put(one);
	assert_true(pair_at(one) == 0);
}

static void what_nobody_uses_any_more_is_given_up(void **state)
{
	(void)state;
	int one = get(PEER), other = get(PEER + 1);
	answer_all();
	die_and_begin();
	get(PEER);
	fastpath_wanted_put_unused(wanted);
	assert_true(pair_at(one) != 0);
	assert_true(pair_at(other) == 0);
	assert_true(is_marked(other));
	answer_all();
	assert_int_equal(get(PEER + 2), other);
}

/* At each of his stores. */
static void a_worker_who_dies_in_between(void **state)
{
	(void)state;
	int one = get(PEER), other = get(PEER + 1);
	answer_all();
	/* He gives one up, and has said so nowhere; he wants a new one, and has set no bit. */
	table->hops[one].pair = 0;
	table->hops[other + 1].pair = (uint64_t)OURS << 32 | (PEER + 2);
	table->hops[other + 2].pair = (uint64_t)OURS << 32 | (PEER + 3);
	table->hops[other + 2].ask++;
	die_and_begin();
	assert_true(is_awake());
	for (int i = 0; i <= other + 2; i++)
		assert_true(is_marked(i));
	assert_int_equal(get(PEER + 2), other + 1);
	assert_int_equal(get(PEER + 3), other + 2);
	assert_int_not_equal(get(PEER + 4), one); /* its record may be in use yet */
	answer_all();
	assert_int_equal(get(PEER + 5), one);
}

static void two_numbers_of_a_pair(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		table->hops[i] = (struct fastpath_wanted_hop){(uint64_t)OURS << 32 | PEER, 1, 1};
	die_and_begin();
	int one = get(PEER);
	fastpath_wanted_put_unused(wanted);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pair_at(i) != 0, i == one);
	assert_int_equal(get(PEER), one);
}

static void it_cannot_shrink(void **state)
{
	(void)state;
	assert_int_equal(ftruncate(fds[0], 4096), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(fcntl(fds[0], F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void none_is_fine(void **state)
{
	struct why why;
	(void)state;
	fastpath_wanted_unmap(NULL);
	fastpath_wanted_close(NULL);
	assert_null(fastpath_wanted_open(-1, -1, &why));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest cases[] = {
	    CASE(a_pair_has_one_number),
	    CASE(a_number_is_anothers_only_once_its_record_is_empty),
	    CASE(all_numbers),
	    CASE(numbers_last_longer_than_a_worker),
	    CASE(what_nobody_uses_any_more_is_given_up),
	    CASE(a_worker_who_dies_in_between),
	    CASE(two_numbers_of_a_pair),
	    CASE(it_cannot_shrink),
	    cmocka_unit_test(none_is_fine),
	};
	return cmocka_run_group_tests(cases, NULL, NULL);
}
