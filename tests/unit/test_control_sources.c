/*
 * Who has how many connections: limits a source, and who gives way when there is no room.
 */
#include "control/control_sources.h"

#include "host/log.h"
#include "tests/unit/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { A = 0x0A010203, B = 0x0A010204, C = 0x0A010205, GUESTS = 1000 };

static struct log_limits limited;
static struct control_sources *sources;
static struct control_guest guests[GUESTS];

static void limit(unsigned max, unsigned max_rate)
{
	control_sources_set(sources, max, max_rate);
}

static int set_up(void **state)
{
	struct control_sources_config config = {.limited = &limited};
	if (stage_set_up(state) != 0)
		return -1;
	stage_log_without_debug();
	TAILQ_INIT(&limited);
	memset(guests, 0, sizeof(guests));
	sources = control_sources_new(&config);
	return sources ? 0 : -1;
}

static int tear_down(void **state)
{
	for (size_t i = 0; i < GUESTS; i++)
		control_sources_del(sources, &guests[i], 0);
	control_sources_free(sources);
	return stage_tear_down(state);
}

static void add(unsigned guest, uint32_t addr, uint64_t now)
{
	assert_int_equal(control_sources_add(sources, &guests[guest], addr, now), 0);
}

static void settle(unsigned guest)
{
	control_sources_settle(sources, &guests[guest]);
}

static void del(unsigned guest, uint64_t now)
{
	control_sources_del(sources, &guests[guest], now);
}

static void assert_oldest(unsigned guest)
{
	struct control_guest *oldest = control_sources_oldest(sources);
	assert_non_null(oldest);
	assert_int_equal(oldest - guests, guest);
}

static void assert_none_half_open(void)
{
	assert_null(control_sources_oldest(sources));
}

static void assert_welcome(uint32_t addr, uint64_t now)
{
	assert_int_equal(control_sources_ask(sources, addr, now), CONTROL_SOURCES_WELCOME);
}

/* ---- how many ---- */

static void so_many_of_a_source(void **state)
{
	(void)state;
	limit(2, 0);
	assert_welcome(A, 1);
	add(0, A, 1);
	assert_welcome(A, 1);
	add(1, A, 1);
	assert_int_equal(control_sources_ask(sources, A, 1), CONTROL_SOURCES_TOO_MANY);
	assert_welcome(B, 1);
	/* One that is half open no more counts all the same. */
	settle(0);
	assert_int_equal(control_sources_ask(sources, A, 1), CONTROL_SOURCES_TOO_MANY);
	del(0, 1);
	assert_welcome(A, 1);
}

static void without_limits_any_number(void **state)
{
	(void)state;
	for (unsigned i = 0; i < GUESTS; i++) {
		assert_welcome(A, 1);
		add(i, A, 1);
	}
	limit(GUESTS, 0);
	assert_int_equal(control_sources_ask(sources, A, 1), CONTROL_SOURCES_TOO_MANY);
	limit(GUESTS + 1, 0);
	assert_welcome(A, 1);
}

/* ---- how fast ---- */

/* How many come of those that try in one moment, each leaving at once. */
static unsigned burst(uint32_t addr, unsigned tries, uint64_t now)
{
	unsigned came = 0;
	for (unsigned i = 0; i < tries; i++) {
		if (control_sources_ask(sources, addr, now) != CONTROL_SOURCES_WELCOME)
			continue;
		add(0, addr, now);
		del(0, now);
		came++;
	}
	return came;
}

static void so_many_a_second_of_a_source(void **state)
{
	(void)state;
	limit(0, 10);
	assert_int_equal(burst(A, 100, 5000), 10);
	assert_int_equal(control_sources_ask(sources, A, 5000), CONTROL_SOURCES_TOO_FAST);
	assert_int_equal(burst(B, 100, 5000), 10);
	assert_int_equal(burst(A, 100, 5099), 0);
	assert_int_equal(burst(A, 100, 5100), 1);
	assert_int_equal(burst(A, 100, 5500), 4);
	/* What was not used for long adds up to one second's. */
	assert_int_equal(burst(A, 100, 9000), 10);
	assert_int_equal(burst(A, 100, 90000), 10);
}

static void a_rate_over_time(void **state)
{
	(void)state;
	static const unsigned rates[] = {1, 3, 1000, 100000};
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		unsigned came = 0, ms = 10000;
		uint32_t addr = A + (uint32_t)i;
		limit(0, rates[i]);
		for (uint64_t now = 1; now <= ms; now++)
			came += burst(addr, 200, now);
		/* The first second's burst comes on top. */
		unsigned expected = rates[i] * 11 < 200 * ms ? rates[i] * 11 : 200 * ms;
		if (came > expected + 1 || came + 1 < expected - expected / 1000)
			fail_msg("%u a second: %u came, not %u", rates[i], came, expected);
	}
}

/* As many as one likes come back at once with a new worker. */
static void restored_ones_do_not_count_as_new(void **state)
{
	(void)state;
	limit(20, 1);
	for (unsigned i = 0; i < 19; i++)
		assert_int_equal(control_sources_restore(sources, &guests[i], A, 1), 0);
	assert_none_half_open();
	assert_welcome(A, 1);
	add(19, A, 1);
	assert_int_equal(control_sources_ask(sources, A, 9999), CONTROL_SOURCES_TOO_MANY);
	for (unsigned i = 0; i < 20; i++)
		del(i, 1);
	assert_int_equal(control_sources_ask(sources, A, 1), CONTROL_SOURCES_TOO_FAST);
}

static void no_rate_where_none_is_given(void **state)
{
	(void)state;
	assert_int_equal(burst(A, 5000, 1), 5000);
}

/* ---- who gives way ---- */

static void the_oldest_of_the_busiest(void **state)
{
	(void)state;
	assert_none_half_open();
	add(0, A, 1);
	assert_oldest(0);
	add(1, B, 2);
	assert_oldest(0); /* as busy, and for longer */
	add(2, B, 3);
	assert_oldest(1);
	assert_int_equal(control_sources_half_open(&guests[1]), 2);
	add(3, A, 4);
	assert_oldest(1);
	add(4, A, 5);
	assert_oldest(0);
	settle(0); /* two each; B for longer */
	assert_oldest(1);
	del(1, 6);
	assert_oldest(3);
	del(3, 6);
	assert_oldest(2);
	settle(2);
	assert_oldest(4);
	del(4, 7);
	assert_none_half_open();
	assert_int_equal(guests[0].since, 1);
}

static void settled_ones_never(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		add(i, A, i);
		settle(i);
		settle(i);
		assert_none_half_open();
	}
	add(100, B, 100);
	assert_oldest(100);
	/* No table, no trouble. */
	control_sources_settle(sources, &guests[GUESTS - 1]);
	control_sources_del(sources, &guests[GUESTS - 1], 1);
	assert_int_equal(control_sources_half_open(&guests[GUESTS - 1]), 0);
	assert_null(control_sources_lines(&guests[GUESTS - 1]));
}

/* A model without any structure, and a random walk. */

static struct {
	uint32_t addr; /* 0: none */
	bool half_open;
	unsigned since;
} model[GUESTS];

static unsigned half_open_of(uint32_t addr)
{
	unsigned count = 0;
	for (unsigned i = 0; i < GUESTS; i++)
		count += model[i].addr == addr && model[i].half_open;
	return count;
}

static void assert_as_the_model(void)
{
	const struct control_guest *oldest = control_sources_oldest(sources);
	unsigned most = 0;
	for (uint32_t addr = A; addr < A + 20; addr++) {
		unsigned count = half_open_of(addr);
		most = count > most ? count : most;
	}
	assert_int_equal(oldest != NULL, most > 0);
	if (!oldest)
		return;
	long at = oldest - guests;
	assert_true(model[at].half_open);
	assert_int_equal(half_open_of(model[at].addr), most);
	assert_int_equal(control_sources_half_open(oldest), most);
	for (unsigned i = 0; i < GUESTS; i++)
		assert_false(model[i].addr == model[at].addr && model[i].half_open &&
			     model[i].since < model[at].since);
}

static void as_a_model_has_it(void **state)
{
	(void)state;
	srandom(7);
	memset(model, 0, sizeof(model));
	for (unsigned step = 1; step < 20000; step++) {
		unsigned guest = (unsigned)random() % (step < 10000 ? 60 : 7);
		if (model[guest].addr == 0) {
			model[guest].addr = A + (uint32_t)random() % 20;
			model[guest].half_open = true;
			model[guest].since = step;
			add(guest, model[guest].addr, step);
		} else if (random() % 2) {
			model[guest].half_open = false;
			settle(guest);
		} else {
			model[guest].addr = 0;
			model[guest].half_open = false;
			del(guest, step);
		}
		control_sources_expire(sources, step);
		assert_as_the_model();
	}
}

/* ---- many ---- */

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void of_so_many_sources_one_after_the_other(struct control_guest *crowd, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(control_sources_add(sources, &crowd[i], A + i * 77, i), 0);
	for (unsigned i = 0; i < count; i++) {
		struct control_guest *oldest = control_sources_oldest(sources);
		assert_ptr_equal(oldest, &crowd[i]);
		control_sources_del(sources, oldest, i);
		assert_int_equal(control_sources_add(sources, oldest, A + i * 77, i), 0);
	}
	for (unsigned i = 0; i < count; i++)
		control_sources_del(sources, &crowd[i], count);
}

/* The flood's own weight: a search among sources or connections would make this take minutes. */
static void a_crowd_costs_each_newcomer_the_same(void **state)
{
	(void)state;
	enum { CROWD = 200000 };
	struct control_guest *crowd = calloc(CROWD, sizeof(*crowd));
	assert_non_null(crowd);
	double began = seconds();
	of_so_many_sources_one_after_the_other(crowd, CROWD);
	/* And of one source. */
	for (unsigned i = 0; i < CROWD; i++)
		assert_int_equal(control_sources_add(sources, &crowd[i], B, i), 0);
	for (unsigned i = 0; i < CROWD; i++)
		control_sources_del(sources, control_sources_oldest(sources), i);
	if (seconds() - began > 20)
		fail_msg("%.1f s", seconds() - began);
	free(crowd);
}

/* ---- what is remembered ---- */

static void lines_of_a_source_outlive_its_connection(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LOG_LIMIT_LINES + 7; i++) {
		add(0, A, 1000);
		assert_int_equal(log_limit_allows(control_sources_lines(&guests[0]), 1000),
				 i < LOG_LIMIT_LINES);
		del(0, 1000);
	}
	add(1, B, 1000);
	assert_true(log_limit_allows(control_sources_lines(&guests[1]), 1000));
	control_sources_expire(sources, 1000 + CONTROL_SOURCES_REST_MS - 1);
	assert_int_equal(stage_log_count("more lines"), 0);
	control_sources_expire(sources, 1000 + CONTROL_SOURCES_REST_MS);
	assert_int_equal(stage_log_count("connections and calls of 10.1.2.3: 7 more lines"), 1);
	assert_true(TAILQ_EMPTY(&limited));
}

static void few_are_remembered(void **state)
{
	(void)state;
	limit(0, 1);
	for (uint32_t i = 0; i < CONTROL_SOURCES_RESTING; i++)
		assert_int_equal(burst(A + i, 2, 1), 1);
	assert_int_equal(burst(A, 1, 1), 0);
	/* One too many: the first one is forgotten, its rate too. */
	assert_int_equal(burst(A + CONTROL_SOURCES_RESTING, 1, 1), 1);
	assert_int_equal(burst(A + 1, 1, 1), 0);
	assert_int_equal(burst(A, 1, 1), 1);
}

static void an_empty_one(void **state)
{
	(void)state;
	control_sources_expire(sources, 1);
	control_sources_free(NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    CASE(so_many_of_a_source),
	    CASE(without_limits_any_number),
	    CASE(so_many_a_second_of_a_source),
	    CASE(a_rate_over_time),
	    CASE(restored_ones_do_not_count_as_new),
	    CASE(no_rate_where_none_is_given),
	    CASE(the_oldest_of_the_busiest),
	    CASE(settled_ones_never),
	    CASE(as_a_model_has_it),
	    CASE(a_crowd_costs_each_newcomer_the_same),
	    CASE(lines_of_a_source_outlive_its_connection),
	    CASE(few_are_remembered),
	    CASE(an_empty_one),
	};
	return cmocka_run_group_tests_name("control_sources", tests, stage_open, stage_close);
}
