/*
 * The index grows and shrinks one bucket at a time; whatever its size, every node is found, once,
 * and nothing that was taken out.
 */
#include "callid/callid_index.h"

#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ENTRIES = 100000 };

static struct callid_node nodes[ENTRIES];

static int set_up(void **state)
{
	struct callid_index *index = calloc(1, sizeof(*index));
	*state = index;
	return index && callid_index_init(index) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	callid_index_clear(*state);
	free(*state);
	return 0;
}

/* A bijection of 32 bits: hashes that differ, but are spread like a good hash's. */
static uint32_t mix(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7FEB352D;
	x ^= x >> 15;
	x *= 0x846CA68B;
	return x ^ x >> 16;
}

static unsigned occurrences(const struct callid_index *index, const struct callid_node *wanted)
{
	unsigned found = 0;
	for (struct callid_node *node = callid_index_first(index, wanted->hash); node;
	     node = node->next)
		found += node == wanted;
	return found;
}

static void check_range(const struct callid_index *index, size_t first, size_t end, unsigned want)
{
	for (size_t i = first; i < end; i++) {
		if (occurrences(index, &nodes[i]) != want)
			fail_msg("entry %zu of %zu to %zu: not %u times", i, first, end, want);
	}
}

/* Buckets and segments: what is allocated is what the buckets need. */
static void check_shape(const struct callid_index *index, size_t count)
{
	size_t buckets = (size_t)index->level + index->split;
	assert_int_equal(index->count, count);
	assert_int_equal(index->level & (index->level - 1), 0);
	assert_true(index->level >= CALLID_SEGMENT);
	assert_true(index->split < index->level);
	for (size_t i = 0; i < CALLID_SEGMENTS_MAX; i++)
		assert_int_equal(index->segments[i] != NULL, i * CALLID_SEGMENT < buckets);
}

static bool is_power_of_two(size_t n)
{
	return (n & (n - 1)) == 0;
}

static void a_hundred_thousand_come_and_go(void **state)
{
	struct callid_index *index = *state;
	check_shape(index, 0);
	for (size_t i = 0; i < ENTRIES; i++) {
		nodes[i].hash = mix((uint32_t)i);
		assert_int_equal(occurrences(index, &nodes[i]), 0);
		callid_index_add(index, &nodes[i]);
		if (!is_power_of_two(i + 1))
			continue;
		check_shape(index, i + 1);
		check_range(index, 0, i + 1, 1);
	}
	check_range(index, 0, ENTRIES, 1);
	/* Chains stay short: about one entry a bucket. */
	assert_true(index->level + index->split >= ENTRIES - 1);

	for (size_t i = 0; i < ENTRIES; i++) {
		callid_index_del(index, &nodes[i]);
		assert_null(nodes[i].next);
		if (!is_power_of_two(ENTRIES - i - 1))
			continue;
		check_shape(index, ENTRIES - i - 1);
		check_range(index, 0, i + 1, 0);
		check_range(index, i + 1, ENTRIES, 1);
	}
	check_shape(index, 0);

	/* Memory comes back with the operations that follow, one bucket each, down to one segment.
	 */
	uint32_t buckets = index->level + index->split;
	assert_true(buckets < ENTRIES);
	while (buckets > CALLID_SEGMENT) {
		callid_index_add(index, &nodes[0]);
		callid_index_del(index, &nodes[0]);
		assert_int_equal(index->level + index->split, --buckets);
	}
	check_shape(index, 0);
	assert_null(index->segments[1]);
}

static void no_operation_moves_more_than_one_bucket(void **state)
{
	struct callid_index *index = *state;
	uint32_t before = index->level + index->split;
	for (size_t i = 0; i < 2 * ENTRIES; i++) {
		if (i < ENTRIES) {
			nodes[i].hash = mix((uint32_t)i);
			callid_index_add(index, &nodes[i]);
		} else {
			callid_index_del(index, &nodes[i - ENTRIES]);
		}
		uint32_t after = index->level + index->split;
		assert_true(after <= before + 1 && before <= after + 1);
		before = after;
	}
}

/* One that hovers around a size does not split and merge for ever. */
static void hovering_costs_no_splits(void **state)
{
	struct callid_index *index = *state;
	for (size_t i = 0; i < 5000; i++) {
		nodes[i].hash = mix((uint32_t)i);
		callid_index_add(index, &nodes[i]);
	}
	uint32_t buckets = index->level + index->split;
	for (int i = 0; i < 10000; i++) {
		callid_index_del(index, &nodes[4999]);
		assert_int_equal(index->level + index->split, buckets);
		callid_index_add(index, &nodes[4999]);
		assert_int_equal(index->level + index->split, buckets);
	}
	check_range(index, 0, 5000, 1);
}

static void equal_hashes_live_side_by_side(void **state)
{
	struct callid_index *index = *state;
	for (size_t i = 0; i < 3000; i++) {
		nodes[i].hash = i % 3 == 0 ? 0xFFFFFFFF : 7;
		callid_index_add(index, &nodes[i]);
	}
	check_range(index, 0, 3000, 1);
	/* From the middle, the end and the head of a chain. */
	for (size_t i = 1000; i < 2000; i++)
		callid_index_del(index, &nodes[i]);
	check_range(index, 0, 1000, 1);
	check_range(index, 1000, 2000, 0);
	check_range(index, 2000, 3000, 1);
	for (size_t i = 3000; i-- > 2000;)
		callid_index_del(index, &nodes[i]);
	for (size_t i = 0; i < 1000; i++)
		callid_index_del(index, &nodes[i]);
	check_range(index, 0, 3000, 0);
	check_shape(index, 0);
}

static void a_random_walk(void **state)
{
	struct callid_index *index = *state;
	static bool in[ENTRIES];
	uint32_t random = 1;
	size_t count = 0;
	for (size_t i = 0; i < ENTRIES; i++)
		nodes[i].hash = mix((uint32_t)i) & 0xFFFFF; /* some are equal */
	for (unsigned step = 0; step < 1000000; step++) {
		/* Waves: sizes from nearly none to nearly all. */
		random = random * 1664525 + 1013904223;
		size_t i = (random >> 8) % ENTRIES;
		bool growing = step / 250000 % 2 == 0;
		if (in[i] == growing)
			continue;
		if (growing)
			callid_index_add(index, &nodes[i]);
		else
			callid_index_del(index, &nodes[i]);
		in[i] = growing;
		count += growing ? 1 : (size_t)-1;
		if (step % 100000 == 0)
			check_shape(index, count);
	}
	for (size_t i = 0; i < ENTRIES; i++)
		assert_int_equal(occurrences(index, &nodes[i]), in[i]);
	for (size_t i = 0; i < ENTRIES; i++) {
		if (in[i])
			callid_index_del(index, &nodes[i]);
		in[i] = false;
	}
	check_shape(index, 0);
}

static void clearing_a_full_one_leaves_nothing(void **state)
{
	struct callid_index *index = *state;
	for (size_t i = 0; i < ENTRIES; i++) {
		nodes[i].hash = mix((uint32_t)i);
		callid_index_add(index, &nodes[i]);
	}
	callid_index_clear(index);
	assert_int_equal(index->count, 0);
	for (size_t i = 0; i < CALLID_SEGMENTS_MAX; i++)
		assert_null(index->segments[i]);
	callid_index_clear(index); /* twice is harmless */
}

static void none_without_memory(void **state)
{
	static struct callid_index index;
	(void)state;
	no_memory_in = 0;
	assert_int_equal(callid_index_init(&index), -1);
	callid_index_clear(&index); /* nothing to free, and harmless */
}

static void without_memory_chains_get_longer(void **state)
{
	struct callid_index *index = *state;
	for (size_t i = 0; i < 2 * CALLID_SEGMENT; i++) {
		nodes[i].hash = mix((uint32_t)i);
		no_memory_in = 0; /* for the next segment, where this one makes it wanted */
		callid_index_add(index, &nodes[i]);
	}
	assert_int_equal(index->level + index->split, CALLID_SEGMENT);
	check_shape(index, 2 * CALLID_SEGMENT);
	check_range(index, 0, 2 * CALLID_SEGMENT, 1);

	/* It grows again as soon as there is some. */
	no_memory_in = -1;
	nodes[2 * CALLID_SEGMENT].hash = mix(2 * CALLID_SEGMENT);
	callid_index_add(index, &nodes[2 * CALLID_SEGMENT]);
	check_shape(index, 2 * CALLID_SEGMENT + 1);
	assert_int_equal(index->level + index->split, CALLID_SEGMENT + 1);
	check_range(index, 0, 2 * CALLID_SEGMENT + 1, 1);
}

static void a_full_one_does_not_grow(void **state)
{
	struct callid_index *index = *state;
	/* As after four million entries; only the first segment's buckets are looked at. */
	index->level = CALLID_SEGMENT * CALLID_SEGMENTS_MAX;
	index->count = index->level;
	nodes[0].hash = 5;
	callid_index_add(index, &nodes[0]);
	assert_int_equal(index->level, CALLID_SEGMENT * CALLID_SEGMENTS_MAX);
	assert_int_equal(index->split, 0);
	assert_int_equal(occurrences(index, &nodes[0]), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_hundred_thousand_come_and_go, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(no_operation_moves_more_than_one_bucket, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(hovering_costs_no_splits, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(equal_hashes_live_side_by_side, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_random_walk, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(clearing_a_full_one_leaves_nothing, set_up, tear_down),
	    cmocka_unit_test(none_without_memory),
	    cmocka_unit_test_setup_teardown(without_memory_chains_get_longer, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_full_one_does_not_grow, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("callid_index", tests, NULL, NULL) != 0;
}
