/*
 * Early packets: how many wait, in which order they go, and who owns their octets.
 */
#include "gre/gre_hold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct gre_hold *hold;

static int set_up(void **state)
{
	(void)state;
	hold = gre_hold_new(NULL);
	return hold ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	gre_hold_free(hold); /* with whatever is still in it */
	return 0;
}

/* The number of the packet is its since, and in its octets. */
static bool add(callid_ref call, uint64_t number)
{
	uint8_t octets[16] = {0};
	memcpy(octets, &number, sizeof(number));
	struct gre_held packet = {
	    .key = {1, 2, (uint16_t)number},
	    .route = {.proxy_addr = 3, .peer_addr = 4, .call_id = 5, .call = call},
	    .since = number,
	    .tos = 0xB9,
	    .length = sizeof(octets),
	    .ip_length = 36,
	    .octets = octets,
	};
	bool added = gre_hold_add(hold, &packet);
	memset(octets, 0xFF, sizeof(octets)); /* the caller's buffer is used again at once */
	return added;
}

static struct {
	callid_ref take; /* this call's; 0: everybody's */
	bool keep;	 /* everything */
	size_t asked, taken;
	uint64_t order[GRE_HOLD_ALL];
} sweep;

static enum gre_hold_fate judge(void *arg, struct gre_held *packet)
{
	uint64_t number;
	assert_ptr_equal(arg, &sweep);
	sweep.asked++;
	memcpy(&number, packet->octets, sizeof(number));
	assert_int_equal(packet->length, 16);
	assert_int_equal(packet->ip_length, 36);
	assert_int_equal(packet->tos, 0xB9);
	assert_int_equal(packet->since, number);
	assert_int_equal(packet->key.call_id, (uint16_t)number);
	assert_int_equal(packet->route.call_id, 5);
	if (sweep.keep || (sweep.take && packet->route.call != sweep.take))
		return GRE_HOLD_KEEP;
	sweep.order[sweep.taken++] = number;
	return GRE_HOLD_DROP;
}

static void sweep_of(callid_ref take)
{
	memset(&sweep, 0, sizeof(sweep));
	sweep.take = take;
	gre_hold_sweep(hold, judge, &sweep);
}

static void an_empty_one(void **state)
{
	(void)state;
	assert_int_equal(gre_hold_count(hold), 0);
	assert_int_equal(gre_hold_oldest(hold), 0);
	sweep_of(0);
	assert_int_equal(sweep.asked, 0);
	gre_hold_free(NULL);
}

static void eight_a_call(void **state)
{
	(void)state;
	assert_int_equal(GRE_HOLD_A_CALL, 8);
	for (uint64_t i = 1; i <= 8; i++) {
		assert_true(add(1, i));
		assert_int_equal(gre_hold_count(hold), i);
	}
	assert_false(add(1, 9));
	assert_int_equal(gre_hold_count(hold), 8);
	/* Another call has its own eight. */
	for (uint64_t i = 1; i <= 8; i++)
		assert_true(add(2, 100 + i));
	assert_false(add(2, 109));
	assert_false(add(1, 10));
	/* What was refused is nowhere, and there is room again once they are gone. */
	sweep_of(1);
	assert_int_equal(sweep.asked, 16);
	assert_int_equal(sweep.taken, 8);
	assert_true(add(1, 11));
	assert_int_equal(gre_hold_count(hold), 9);
}

static void all_calls_together(void **state)
{
	(void)state;
	assert_int_equal(GRE_HOLD_ALL, 2048);
	for (uint64_t i = 0; i < GRE_HOLD_ALL; i++)
		assert_true(add(1 + i / 8, i + 1));
	assert_false(add(100000, 5000));
	assert_int_equal(gre_hold_count(hold), GRE_HOLD_ALL);
	sweep_of(1);
	assert_int_equal(gre_hold_count(hold), GRE_HOLD_ALL - 8);
	for (uint64_t i = 0; i < 8; i++)
		assert_true(add(100000, 5000 + i));
	assert_false(add(100001, 6000));
}

static void fewer_where_it_is_said(void **state)
{
	(void)state;
	gre_hold_set_max(hold, 3);
	for (uint64_t i = 0; i < 3; i++)
		assert_true(add(1 + i, i + 1));
	assert_false(add(9, 9));
	gre_hold_set_max(hold, 4);
	assert_true(add(9, 9));
	/* Never more than there may be. */
	static const size_t all[] = {0, GRE_HOLD_ALL, GRE_HOLD_ALL + 1};
	for (size_t i = 0; i < 3; i++) {
		sweep_of(0);
		gre_hold_set_max(hold, all[i]);
		for (uint64_t k = 0; k < GRE_HOLD_ALL; k++)
			assert_true(add(1 + k / 8, k + 1));
		assert_false(add(100000, 5000));
	}
}

static void order_of_arrival_is_kept(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 24; i++)
		assert_true(add(1 + i % 3, i));
	sweep_of(2);
	assert_int_equal(sweep.taken, 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(sweep.order[i], 1 + 3 * i);
	sweep_of(0);
	assert_int_equal(sweep.taken, 16);
	for (size_t i = 1; i < 16; i++)
		assert_true(sweep.order[i] > sweep.order[i - 1]);
	assert_int_equal(gre_hold_count(hold), 0);
}

static void the_oldest_is_known(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 6; i++)
		assert_true(add(1 + i % 2, 100 + i));
	assert_int_equal(gre_hold_oldest(hold), 101);
	sweep_of(2);
	assert_int_equal(gre_hold_oldest(hold), 102);
	sweep_of(0);
	assert_int_equal(gre_hold_oldest(hold), 0);
}

static void what_is_kept_stays(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 8; i++)
		assert_true(add(1, i));
	for (int i = 0; i < 3; i++) {
		memset(&sweep, 0, sizeof(sweep));
		sweep.keep = true;
		gre_hold_sweep(hold, judge, &sweep);
		assert_int_equal(sweep.asked, 8);
		assert_int_equal(gre_hold_count(hold), 8);
	}
	sweep_of(1);
	assert_int_equal(sweep.taken, 8);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(sweep.order[i], i + 1);
}

static struct gre_held lent;

static enum gre_hold_fate lend(void *arg, struct gre_held *packet)
{
	(void)arg;
	lent = *packet;
	return GRE_HOLD_LEND;
}

static void lent_octets_stay_until_given_back(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= GRE_HOLD_ALL; i++)
		assert_true(add(i, i));
	gre_hold_sweep(hold, lend, NULL);
	assert_int_equal(gre_hold_count(hold), 0);
	assert_int_equal(lent.octets[0] | lent.octets[1] << 8, GRE_HOLD_ALL);
	assert_false(add(1, 1)); /* all are somebody's */
	gre_hold_give_back(hold, lent.octets);
	assert_true(add(1, 1));
	assert_false(add(1, 2));
}

/* The largest that is held, copied whole, and one more octet. */
static void a_long_one(void **state)
{
	(void)state;
	uint8_t octets[GRE_HOLD_OCTETS + 1];
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 31);
	struct gre_held packet = {
	    .since = 1, .length = GRE_HOLD_OCTETS, .ip_length = 2068, .octets = octets};
	assert_int_equal(GRE_HOLD_OCTETS, 2048);
	assert_true(gre_hold_add(hold, &packet));
	gre_hold_sweep(hold, lend, NULL);
	assert_int_equal(lent.length, GRE_HOLD_OCTETS);
	assert_ptr_not_equal(lent.octets, octets);
	assert_memory_equal(lent.octets, octets, GRE_HOLD_OCTETS);
	packet.length++;
	assert_false(gre_hold_add(hold, &packet));
}

/* ---- the next process ---- */

static void go_on(int fd, struct kept **kept)
{
	struct why why;
	gre_hold_free(hold);
	kept_close(*kept);
	*kept = kept_open(fd, &why);
	assert_non_null(*kept);
	hold = gre_hold_new(*kept);
	assert_non_null(hold);
}

/* What waits, and what was lent and not given back, but not what has gone; in order. */
static void the_next_process_holds_them(void **state)
{
	(void)state;
	struct why why;
	struct kept *kept = NULL;
	int fd = kept_create(&why);
	go_on(fd, &kept);
	for (uint64_t i = 1; i <= 6; i++)
		assert_true(add(1 + i % 2, i));
	sweep_of(1);
	for (int round = 0; round < 2; round++) {
		go_on(fd, &kept);
		assert_int_equal(gre_hold_count(hold), 3 + round);
		assert_int_equal(gre_hold_oldest(hold), 1);
		gre_hold_sweep(hold, lend, NULL);
		go_on(fd, &kept);
		if (round == 0)
			assert_true(add(2, 7));
	}
	sweep_of(2);
	assert_int_equal(sweep.taken, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(sweep.order[i], 1 + 2 * i);
	go_on(fd, &kept);
	assert_int_equal(gre_hold_count(hold), 0);
	gre_hold_free(hold);
	hold = NULL;
	kept_close(kept);
	close(fd);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(an_empty_one),
	    CASE(eight_a_call),
	    CASE(all_calls_together),
	    CASE(fewer_where_it_is_said),
	    CASE(order_of_arrival_is_kept),
	    CASE(the_oldest_is_known),
	    CASE(what_is_kept_stays),
	    CASE(lent_octets_stay_until_given_back),
	    CASE(a_long_one),
	    CASE(the_next_process_holds_them),
	};
	return cmocka_run_group_tests_name("gre_hold", tests, NULL, NULL) != 0;
}
