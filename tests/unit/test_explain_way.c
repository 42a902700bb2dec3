/*
 * Sequence numbers of every kind, and what is said of them.
 */
#include "explain/explain_way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct explain_way way, back;
static int64_t now_us;

static int begin(void **state)
{
	(void)state;
	way = back = (struct explain_way){0};
	now_us = 0;
	return 0;
}

static void take(uint32_t number)
{
	const struct gre_header header = {
	    .has_sequence = true, .sequence = number, .payload_length = 10};
	explain_way_take(&way, &back, &header, now_us);
}

static void take_all(uint32_t from, uint32_t to)
{
	for (uint32_t number = from; number != to; number++)
		take(number);
}

static void check(uint64_t missing, uint64_t late, uint64_t twice)
{
	if (way.missing != missing || way.late != late || way.twice != twice)
		fail_msg("%d missing, %d late, %d twice", (int)way.missing, (int)way.late,
			 (int)way.twice);
	assert_int_equal(way.restarts, 0);
}

static void all_in_order(void **state)
{
	(void)state;
	take_all(1, 5001);
	check(0, 0, 0);
	assert_int_equal(way.packets, 5000);
}

static void numbers_wrap(void **state)
{
	(void)state;
	take_all(0xFFFFFE00, 0x200);
	check(0, 0, 0);
	take(0xFFFFFFFF);
	check(0, 0, 1);
}

static void some_are_missing(void **state)
{
	(void)state;
	take_all(0, 10);
	take_all(15, 20);
	check(5, 0, 0);
	take(3000);
	check(2985, 0, 0);
}

static void some_come_late(void **state)
{
	(void)state;
	take(0);
	take(2);
	check(1, 0, 0);
	take(1);
	check(0, 1, 0);
	take(1);
	check(0, 1, 1);
}

static void the_window_is_a_ring(void **state)
{
	(void)state;
	/* In the place of 5 stands 5 + EXPLAIN_WAY_WINDOW later, which has not come. */
	take_all(0, 100);
	take_all(200, 5 + EXPLAIN_WAY_WINDOW);
	take(7 + EXPLAIN_WAY_WINDOW);
	check(102, 0, 0);
	take(5 + EXPLAIN_WAY_WINDOW);
	check(101, 1, 0);
	take(5 + EXPLAIN_WAY_WINDOW);
	check(101, 1, 1);
	take(150);
	check(100, 2, 1);
	/* Too far back to know whether it has come. */
	take(3);
	check(99, 3, 1);
}

static void what_is_before_the_first_was_not_sent(void **state)
{
	(void)state;
	take(100);
	take(99);
	check(0, 0, 1);
}

static void numbers_that_begin_anew(void **state)
{
	(void)state;
	take_all(0, 10);
	take(1000000);
	take(1000001);
	take(1000003);
	take_all(1, 5);
	assert_int_equal(way.restarts, 2);
	assert_int_equal(way.missing, 1);
	assert_int_equal(way.twice, 0);
}

static void acknowledgements(void **state)
{
	(void)state;
	const struct gre_header ack = {.has_acknowledgement = true, .acknowledgement = 7};
	explain_way_take(&way, &back, &ack, 0);
	assert_int_equal(way.acks, 1);
	assert_int_equal(way.packets, 1);
	assert_int_equal(way.numbered, 0);
	assert_true(back.acknowledged);
	assert_int_equal(back.acknowledged_to, 7);
	assert_false(way.acknowledged);
}

static void silence(void **state)
{
	(void)state;
	struct explain_silence last;
	take(0);
	now_us = 1000000;
	back.packets = EXPLAIN_SILENCE_PACKETS;
	assert_false(explain_way_silent(&way, &back, EXPLAIN_SILENCE_S * 1000000, &last));
	now_us = EXPLAIN_SILENCE_S * 1000000 + 1;
	assert_true(explain_way_silent(&way, &back, now_us, &last));
	assert_int_equal(last.from_us, 0);
	assert_int_equal(last.to_us, now_us);
	assert_int_equal(last.packets, EXPLAIN_SILENCE_PACKETS);
	take(1);
	assert_int_equal(way.silence_count, 1);
	assert_int_equal(way.silences[0].packets, EXPLAIN_SILENCE_PACKETS);
	assert_false(explain_way_silent(&way, &back, 10 * now_us, &last));
	back.packets--;
	assert_false(explain_way_silent(&back, &way, 10 * now_us, &last) && back.packets == 0);
}

static void many_silences(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		take(i);
		now_us += EXPLAIN_SILENCE_S * 2000000;
		back.packets += EXPLAIN_SILENCE_PACKETS;
	}
	assert_int_equal(way.silence_count, 9);
	assert_int_equal(way.silences[EXPLAIN_SILENCES - 1].from_us,
			 (EXPLAIN_SILENCES - 1) * EXPLAIN_SILENCE_S * 2000000);
}

/* A call that was never there is not silent. */
static void never_there(void **state)
{
	(void)state;
	struct explain_silence last;
	back.packets = 100;
	assert_false(explain_way_silent(&way, &back, 1000000000, &last));
}

#define CASE(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(all_in_order),
	    CASE(numbers_wrap),
	    CASE(some_are_missing),
	    CASE(some_come_late),
	    CASE(the_window_is_a_ring),
	    CASE(what_is_before_the_first_was_not_sent),
	    CASE(numbers_that_begin_anew),
	    CASE(acknowledgements),
	    CASE(silence),
	    CASE(many_silences),
	    CASE(never_there),
	};
	return cmocka_run_group_tests_name("explain_way", tests, NULL, NULL) != 0;
}
