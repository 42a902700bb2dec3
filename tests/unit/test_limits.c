#include "host/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

static struct rlimit before;

static int set_up(void **state)
{
	(void)state;
	return getrlimit(RLIMIT_NOFILE, &before);
}

static int tear_down(void **state)
{
	(void)state;
	return setrlimit(RLIMIT_NOFILE, &before);
}

static size_t hard(void)
{
	return before.rlim_max == RLIM_INFINITY ? SIZE_MAX : (size_t)before.rlim_max;
}

static void soft_limit_becomes_the_hard_one(void **state)
{
	(void)state;
	struct rlimit lowered = {.rlim_cur = 64, .rlim_max = before.rlim_max}, after;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lowered), 0);
	assert_true(limits_raise_descriptors() == hard());
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_true(after.rlim_cur == before.rlim_max);
	assert_true(after.rlim_max == before.rlim_max);
}

static void a_second_time_changes_nothing(void **state)
{
	(void)state;
	struct rlimit after;
	assert_true(limits_raise_descriptors() == hard());
	assert_true(limits_raise_descriptors() == hard());
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &after), 0);
	assert_true(after.rlim_cur == before.rlim_max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(soft_limit_becomes_the_hard_one, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_second_time_changes_nothing, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("limits", tests, NULL, NULL) != 0;
}
