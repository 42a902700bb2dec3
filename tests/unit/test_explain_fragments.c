#include "explain/explain_fragments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct explain_fragments fragments;
static uint8_t octets[65536];
static unsigned lost, lost_heads;
static size_t lost_available;

static void on_lost(void *context, const struct explain_packet *packet)
{
	assert_ptr_equal(context, &fragments);
	lost++;
	lost_heads += packet->length > 0;
	lost_available = packet->available;
	/* All of it can be read. */
	for (size_t i = 0; i < packet->available; i++)
		assert_int_equal(packet->octets[i], octets[i]);
}

static int begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(i * 7 + i / 256);
	lost = lost_heads = 0;
	if (explain_fragments_init(&fragments) < 0)
		return -1;
	fragments.lost = on_lost;
	fragments.context = &fragments;
	return 0;
}

static int clear(void **state)
{
	(void)state;
	explain_fragments_clear(&fragments);
	return 0;
}

static bool take_cut(struct explain_packet *packet, uint16_t id, size_t from, size_t to,
		     size_t available)
{
	size_t length = to - from;
	/* Exactly as much memory as there is. */
	uint8_t *copy = malloc(available ? available : 1);
	assert_non_null(copy);
	memcpy(copy, octets + from, available);
	*packet = (struct explain_packet){
	    .time_us = packet->time_us,
	    .source = 1,
	    .destination = 2,
	    .protocol = 47,
	    .identification = id,
	    .offset = (uint16_t)from,
	    .more_fragments = packet->more_fragments,
	    .octets = copy,
	    .available = available,
	    .length = length,
	    .total = length + 20,
	};
	bool whole = explain_fragments_take(&fragments, packet);
	free(copy);
	return whole;
}

/* The octets from..to of the packet with this identification. */
static bool take(struct explain_packet *packet, uint16_t id, size_t from, size_t to, bool more)
{
	packet->more_fragments = more;
	return take_cut(packet, id, from, to, to - from);
}

static void check_whole(const struct explain_packet *packet, size_t length)
{
	assert_true(packet->fragmented);
	assert_false(packet->more_fragments);
	assert_int_equal(packet->offset, 0);
	assert_int_equal(packet->length, length);
	assert_int_equal(packet->available, length);
	assert_memory_equal(packet->octets, octets, length);
}

static void in_order(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	assert_false(take(&packet, 1, 0, 1480, true));
	assert_true(take(&packet, 1, 1480, 1500, false));
	check_whole(&packet, 1500);
	assert_int_equal(packet.total, 1520);
}

static void in_any_order_and_twice(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	assert_false(take(&packet, 1, 24, 30, false));
	assert_false(take(&packet, 1, 16, 24, true));
	assert_false(take(&packet, 1, 16, 24, true));
	assert_false(take(&packet, 1, 24, 30, false));
	assert_true(take(&packet, 1, 0, 16, true));
	check_whole(&packet, 30);
}

static void overlapping(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	assert_false(take(&packet, 1, 0, 16, true));
	octets[8] ^= 0xFF;
	assert_true(take(&packet, 1, 8, 24, false));
	octets[8] ^= 0xFF;
	check_whole(&packet, 24);
}

static void two_at_once(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	assert_false(take(&packet, 1, 0, 16, true));
	assert_false(take(&packet, 2, 0, 16, true));
	assert_true(take(&packet, 1, 16, 17, false));
	check_whole(&packet, 17);
	assert_true(take(&packet, 2, 16, 24, false));
	check_whole(&packet, 24);
}

static void the_largest(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	assert_false(take(&packet, 1, 65528, 65535, false));
	assert_true(take(&packet, 1, 0, 65528, true));
	check_whole(&packet, 65535);
}

static void what_is_none(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	/* Beyond the largest; of nothing; not of whole units; behind the end. */
	assert_false(take(&packet, 1, 65528, 65536, false));
	assert_false(take(&packet, 1, 8, 8, true));
	assert_false(take(&packet, 1, 0, 15, true));
	explain_fragments_end(&fragments);
	assert_int_equal(lost, 0);
	assert_false(take(&packet, 2, 8, 16, false));
	assert_false(take(&packet, 2, 16, 24, true));
	assert_false(take(&packet, 2, 0, 8, true));
	explain_fragments_end(&fragments);
	assert_int_equal(lost, 1);
}

static void cut_in_the_capture(void **state)
{
	(void)state;
	struct explain_packet packet = {.more_fragments = true};
	assert_false(take_cut(&packet, 1, 0, 1480, 60));
	packet.more_fragments = false;
	assert_true(take_cut(&packet, 1, 1480, 1500, 0));
	assert_int_equal(packet.length, 1500);
	assert_int_equal(packet.available, 60);
	assert_memory_equal(packet.octets, octets, 60);
}

static void what_never_gets_whole(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	take(&packet, 1, 0, 16, true);
	take(&packet, 2, 16, 24, false);
	explain_fragments_end(&fragments);
	assert_int_equal(lost, 2);
	assert_int_equal(lost_heads, 1);
	assert_int_equal(fragments.index.count, 0);
}

static void the_oldest_gives_way(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	for (int id = 0; id < EXPLAIN_FRAGMENTS_MAX; id++)
		assert_false(take(&packet, (uint16_t)id, 0, 16, true));
	assert_int_equal(lost, 0);
	assert_false(take(&packet, 9999, 0, 16, true));
	assert_int_equal(lost, 1);
	assert_int_equal(lost_available, 16);
	assert_false(take(&packet, 0, 16, 24, false));
	assert_true(take(&packet, 9999, 16, 24, false));
	check_whole(&packet, 24);
}

/* Identifications are used again soon. */
static void the_rest_is_not_waited_for(void **state)
{
	(void)state;
	struct explain_packet packet = {0};
	assert_false(take(&packet, 1, 0, 16, true));
	packet.time_us = (EXPLAIN_FRAGMENTS_WAIT_S + 1) * 1000000LL;
	assert_false(take(&packet, 1, 16, 24, false));
	assert_int_equal(lost, 1);
	assert_true(take(&packet, 1, 0, 16, true));
	check_whole(&packet, 24);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(in_order),
	    CASE(in_any_order_and_twice),
	    CASE(overlapping),
	    CASE(two_at_once),
	    CASE(the_largest),
	    CASE(what_is_none),
	    CASE(cut_in_the_capture),
	    CASE(what_never_gets_whole),
	    CASE(the_oldest_gives_way),
	    CASE(the_rest_is_not_waited_for),
	};
	return cmocka_run_group_tests_name("explain_fragments", tests, NULL, NULL) != 0;
}
