/*
 * A bounded ring of packets: order, octets, what does not fit, and its turns.
 */
#include "capture/capture_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 4096 };

static struct capture_queue queue;

static int set_up(void **state)
{
	(void)state;
	return capture_queue_init(&queue, SIZE);
}

static int tear_down(void **state)
{
	(void)state;
	capture_queue_clear(&queue);
	return 0;
}

/* Its octets are its number's, in two pieces. */
static bool put(unsigned number, size_t head, size_t body)
{
	uint8_t octets[SIZE + 1];
	memset(octets, (int)number, sizeof(octets));
	return capture_queue_put(&queue, number, (struct capture_piece){octets, head},
				 (struct capture_piece){octets, body});
}

static void expect(unsigned number, size_t length)
{
	struct capture_packet packet;
	assert_true(capture_queue_first(&queue, &packet));
	assert_int_equal(packet.time_us, number);
	assert_int_equal(packet.length, length);
	for (size_t i = 0; i < length; i++)
		assert_int_equal(packet.octets[i], (uint8_t)number);
	capture_queue_drop(&queue);
}

static void expect_empty(void)
{
	struct capture_packet packet;
	assert_false(capture_queue_first(&queue, &packet));
}

static void in_order(void **state)
{
	(void)state;
	expect_empty();
	assert_true(put(1, 10, 20));
	assert_true(put(2, 0, 5));
	assert_true(put(3, 44, 0));
	expect(1, 30);
	expect(2, 5);
	expect(3, 44);
	expect_empty();
}

static void what_does_not_fit_is_counted(void **state)
{
	unsigned count = 0;
	(void)state;
	assert_false(put(0, SIZE, 0));
	assert_int_equal(queue.lost, 1);
	while (put(count + 1, 100, 0))
		count++;
	assert_true(count > 20);
	assert_int_equal(queue.lost, 2);
	for (unsigned i = 1; i <= count; i++)
		expect(i, 100);
	expect_empty();
	assert_true(put(9, 100, 0)); /* there is room again */
}

/* What has been given out stays where it is while others come. */
static void first_stays_in_place(void **state)
{
	struct capture_packet packet;
	(void)state;
	assert_true(put(1, 500, 0));
	assert_true(capture_queue_first(&queue, &packet));
	while (put(2, 300, 0))
		;
	for (size_t i = 0; i < 500; i++)
		assert_int_equal(packet.octets[i], 1);
}

/* Of all sizes, at all fillings, for many turns: none is lost, changed or out of order. */
static void many_turns(void **state)
{
	size_t lengths[64];
	unsigned put_count = 0, got = 0;
	(void)state;
	srandom(1);
	while (got < 20000) {
		size_t length = (size_t)random() % 700, head = length / 3;
		if (put_count - got < 64 && random() % 5 < 3 &&
		    put(put_count, head, length - head)) {
			lengths[put_count++ % 64] = length;
		} else if (got < put_count) {
			expect(got, lengths[got % 64]);
			got++;
		}
	}
	assert_true(queue.lost > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(in_order, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_does_not_fit_is_counted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(first_stays_in_place, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(many_turns, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
