/*
 * Lines that somebody outside provokes: how many are told, and what is told of the others.
 */
#include "host/log_limit.h"

#include "host/log.h"
#include "tests/unit/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct log_limits all;
static struct log_limit one, other;

static int set_up(void **state)
{
	if (stage_set_up(state) != 0)
		return -1;
	stage_log_without_debug();
	TAILQ_INIT(&all);
	log_limit_init(&one, &all, "one");
	log_limit_init(&other, &all, "other");
	return 0;
}

/* How many of so many lines may be told. */
static unsigned allowed(struct log_limit *limit, unsigned lines, uint64_t now)
{
	unsigned count = 0;
	for (unsigned i = 0; i < lines; i++)
		count += log_limit_allows(limit, now);
	return count;
}

/* This, or nothing. */
static void assert_told(const char *line)
{
	assert_int_equal(stage_log_count("more lines"), *line != '\0');
	assert_true(*line == '\0' || stage_logged(line));
}

static void the_first_ones_are_told(void **state)
{
	(void)state;
	assert_int_equal(allowed(&one, LOG_LIMIT_LINES, 1), LOG_LIMIT_LINES);
	assert_int_equal(allowed(&one, 1000, 1), 0);
	/* Another kind has its own. */
	assert_int_equal(allowed(&other, LOG_LIMIT_LINES + 3, 1), LOG_LIMIT_LINES);
	assert_told("");
}

static void the_others_are_told_of_when_the_time_is_over(void **state)
{
	(void)state;
	allowed(&one, LOG_LIMIT_LINES + 7, 1000);
	allowed(&other, LOG_LIMIT_LINES + 3, 3000);
	log_limit_tell(&all, 1000 + LOG_LIMIT_MS - 1);
	assert_told("");
	log_limit_tell(&all, 1000 + LOG_LIMIT_MS + 400);
	assert_told("one: 7 more lines like these in the last 5 s\n");
	log_limit_tell(&all, 1000 + LOG_LIMIT_MS + 400);
	assert_int_equal(stage_log_count("one: "), 1);
	log_limit_tell(&all, 3000 + LOG_LIMIT_MS + 2000);
	assert_true(stage_logged("other: 3 more lines like these in the last 7 s\n"));
	assert_true(TAILQ_EMPTY(&all));
}

static void a_new_window_begins_with_the_next_line(void **state)
{
	(void)state;
	assert_int_equal(allowed(&one, LOG_LIMIT_LINES + 7, 1000), LOG_LIMIT_LINES);
	assert_int_equal(allowed(&one, 1, 1000 + LOG_LIMIT_MS - 1), 0);
	/* Also where nobody has asked for it meanwhile. */
	assert_int_equal(allowed(&one, 1000, 1000 + LOG_LIMIT_MS), LOG_LIMIT_LINES);
	assert_told("one: 8 more lines like these in the last 5 s\n");
	log_limit_tell(&all, 1000 + LOG_LIMIT_MS + 1);
	assert_int_equal(stage_log_count("one: "), 1);
}

static void who_is_quiet_has_all_told(void **state)
{
	(void)state;
	for (uint64_t now = 1; now < 100 * LOG_LIMIT_MS; now += LOG_LIMIT_MS / LOG_LIMIT_LINES)
		assert_int_equal(allowed(&one, 1, now), 1);
	log_limit_tell(&all, 1000 * LOG_LIMIT_MS);
	assert_told("");
}

static void one_that_goes_tells_at_once(void **state)
{
	(void)state;
	allowed(&one, LOG_LIMIT_LINES + 7, 1000);
	allowed(&other, LOG_LIMIT_LINES + 1, 1000);
	log_limit_clear(&one, 2000);
	assert_told("one: 7 more lines like these in the last 1 s\n");
	assert_ptr_equal(TAILQ_FIRST(&all), &other);
	log_limit_clear(&one, 2000);
	assert_int_equal(stage_log_count("one: "), 1);
	log_limit_clear(&other, 2000);
	assert_true(TAILQ_EMPTY(&all));
}

static void without_a_kind_all_are_told(void **state)
{
	(void)state;
	assert_int_equal(allowed(NULL, LOG_LIMIT_LINES + 7, 1), LOG_LIMIT_LINES + 7);
}

static void with_debug_lines_all_are_told(void **state)
{
	stage_tear_down(state);
	stage_set_up(state);
	assert_int_equal(allowed(&one, LOG_LIMIT_LINES + 7, 1), LOG_LIMIT_LINES + 7);
	assert_true(TAILQ_EMPTY(&all));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, stage_tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(the_first_ones_are_told),
	    CASE(the_others_are_told_of_when_the_time_is_over),
	    CASE(a_new_window_begins_with_the_next_line),
	    CASE(who_is_quiet_has_all_told),
	    CASE(one_that_goes_tells_at_once),
	    CASE(without_a_kind_all_are_told),
	    CASE(with_debug_lines_all_are_told),
	};
	return cmocka_run_group_tests_name("log_limit", tests, stage_open, stage_close);
}
