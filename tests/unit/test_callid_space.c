/*
 * Which call IDs are taken, and that a space and its home come and go together, without memory too.
 */
#include "callid/callid_space.h"

#include "tests/unit/no_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct callid_spaces spaces;

static const struct callid_leg leg = {0x0A000001, 0x0A000002}, beside = {0x0A000001, 0x0A000003};

static int set_up(void **state)
{
	(void)state;
	no_memory_in = -1;
	return callid_space_init(&spaces);
}

static int tear_down(void **state)
{
	(void)state;
	no_memory_in = -1;
	callid_space_clear(&spaces);
	return 0;
}

static struct callid_space *get(const struct callid_leg *of)
{
	struct callid_space *space = callid_space_get(&spaces, of);
	assert_non_null(space);
	return space;
}

static bool is_free(const void *arg, const struct callid_leg *of, uint16_t id)
{
	(void)arg, (void)of, (void)id;
	return true;
}

static void a_leg_has_one_space(void **state)
{
	(void)state;
	struct callid_space *space = get(&leg), *other = get(&beside);
	assert_ptr_equal(get(&leg), space);
	assert_ptr_not_equal(other, space);
	assert_ptr_equal(other->home, space->home);
	callid_space_drop_if_unused(&spaces, space);
	callid_space_drop_if_unused(&spaces, other);
}

static void what_the_home_has_taken_is_not_chosen(void **state)
{
	(void)state;
	struct callid_space *space = get(&leg), *other = get(&beside);
	uint16_t id;
	callid_space_take(space, 7);
	assert_true(callid_space_choose(&spaces, other, 7, is_free, NULL, &id));
	assert_int_not_equal(id, 7);
	callid_space_give_back(space, 7);
	assert_true(callid_space_choose(&spaces, other, 7, is_free, NULL, &id));
	assert_int_equal(id, 7);
	callid_space_drop_if_unused(&spaces, space);
	callid_space_drop_if_unused(&spaces, other);
}

/* The first allocation is the home, the second one the space; nothing is left behind, or the
 * sanitizer tells. */
static void without_memory_there_is_none(void **state)
{
	(void)state;
	for (no_memory_in = 0; no_memory_in < 2;) {
		int which = no_memory_in;
		assert_null(callid_space_get(&spaces, &leg));
		assert_true(no_memory_in < 0);
		no_memory_in = which + 1;
	}
	no_memory_in = -1;
	callid_space_drop_if_unused(&spaces, get(&leg));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_leg_has_one_space),
	    CASE(what_the_home_has_taken_is_not_chosen),
	    CASE(without_memory_there_is_none),
	};
	return cmocka_run_group_tests_name("callid_space", tests, NULL, NULL);
}
