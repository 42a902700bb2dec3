/*
 * Pairs' figures over reloads and processes.
 */
#include "control/control_pairs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct kept *kept;
static struct control_pairs *pairs;
static int kept_fd;

static void next_process(void)
{
	struct why why;
	control_pairs_free(pairs);
	kept_close(kept);
	kept = kept_open(kept_fd, &why);
	assert_non_null(kept);
	pairs = control_pairs_new(kept);
	assert_non_null(pairs);
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	kept_fd = kept_create(&why);
	kept = NULL;
	pairs = NULL;
	next_process();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_pairs_free(pairs);
	kept_close(kept);
	close(kept_fd);
	return 0;
}

/* "1,2" is the pair of 10.0.0.1 and 10.0.0.2. */
static void use(const char *a, const char *b)
{
	const char *const texts[] = {a, b};
	struct pair all[2];
	size_t count = 0;
	for (size_t i = 0; i < 2 && texts[i]; i++) {
		char text[80];
		struct why why;
		snprintf(text, sizeof(text), "10.0.0.%c,10.0.0.%c", texts[i][0], texts[i][2]);
		assert_int_equal(pair_parse(text, &all[count++], &why), 0);
	}
	assert_int_equal(control_pairs_use(pairs, all, count), 0);
}

static void a_pair_has_figures(void **state)
{
	(void)state;
	use("1,2", "1,3");
	struct control_pair *pair = control_pairs_take(pairs, 1);
	assert_string_equal(pair->listen, "10.0.0.1:1723");
	assert_string_equal(pair->peer, "10.0.0.3:1723");
	assert_int_equal(pair->state, CONTROL_PAIR_UNTRIED);
	assert_int_equal(control_pairs_connections(pairs, pair), 1);
	assert_ptr_equal(control_pairs_at(pairs, 1), pair);
	assert_null(control_pairs_at(pairs, 2));
	assert_null(control_pairs_take(pairs, 2));
	control_pairs_dialled(pair, "10.0.0.3:1723: Connection refused", 77);
	assert_int_equal(pair->state, CONTROL_PAIR_DOWN);
	assert_int_equal(pair->failed, 1);
	assert_int_equal(pair->last_error_at, 77);
	assert_string_equal(pair->last_error, "10.0.0.3:1723: Connection refused");
	control_pairs_dialled(pair, NULL, 78);
	assert_int_equal(pair->state, CONTROL_PAIR_UP);
	assert_int_equal(pair->connected, 1);
	assert_int_equal(pair->last_error_at, 77);
	control_pairs_dialled(NULL, NULL, 79);
	assert_int_equal(control_pairs_at(pairs, 0)->state, CONTROL_PAIR_UNTRIED);
	control_pairs_put(pairs, pair);
	control_pairs_put(pairs, NULL);
	assert_int_equal(control_pairs_connections(pairs, pair), 0);
}

static void a_reload_keeps_the_same_text(void **state)
{
	(void)state;
	use("1,2", "1,3");
	control_pairs_at(pairs, 0)->accepted = 5;
	control_pairs_at(pairs, 1)->accepted = 7;
	use("1,3", "1,4");
	assert_int_equal(control_pairs_at(pairs, 0)->accepted, 7);
	assert_int_equal(control_pairs_at(pairs, 1)->accepted, 0);
	/* What was gone begins anew. */
	use("1,2", NULL);
	assert_int_equal(control_pairs_at(pairs, 0)->accepted, 0);
	use("1,3", NULL);
	assert_int_equal(control_pairs_at(pairs, 0)->accepted, 0);
}

static void one_in_use_outlives_its_configuration(void **state)
{
	(void)state;
	use("1,2", NULL);
	struct control_pair *pair = control_pairs_take(pairs, 0);
	pair->accepted = 5;
	for (int i = 0; i < 3; i++)
		use("1,3", "1,4");
	assert_string_equal(pair->peer, "10.0.0.2:1723");
	use("1,4", "1,2");
	assert_ptr_equal(control_pairs_at(pairs, 1), pair);
	assert_int_equal(pair->accepted, 5);
	use("1,4", NULL);
	control_pairs_put(pairs, pair);
	use("1,2", NULL);
	assert_int_equal(control_pairs_at(pairs, 0)->accepted, 0);
}

static void the_next_process_has_them(void **state)
{
	(void)state;
	use("1,2", "1,3");
	struct control_pair *pair = control_pairs_take(pairs, 1);
	uint32_t number = control_pairs_number(pairs, pair);
	pair->accepted = 9;
	next_process();
	pair = control_pairs_take_number(pairs, number);
	use("1,3", "1,2");
	assert_ptr_equal(control_pairs_at(pairs, 0), pair);
	assert_int_equal(pair->accepted, 9);
	assert_int_equal(control_pairs_connections(pairs, pair), 1);
	assert_int_equal(control_pairs_number(pairs, NULL), 0);
	assert_null(control_pairs_take_number(pairs, 0));
	assert_null(control_pairs_take_number(pairs, CONTROL_PAIRS_MAX + 1));
}

static void too_many_have_none(void **state)
{
	(void)state;
	static struct pair all[CONTROL_PAIRS_MAX + 1];
	for (size_t i = 0; i <= CONTROL_PAIRS_MAX; i++) {
		char text[80];
		struct why why;
		snprintf(text, sizeof(text), "10.0.0.1:%zu,10.0.0.2", i + 1);
		assert_int_equal(pair_parse(text, &all[i], &why), 0);
	}
	assert_int_equal(control_pairs_use(pairs, all, CONTROL_PAIRS_MAX + 1), 0);
	assert_non_null(control_pairs_at(pairs, CONTROL_PAIRS_MAX - 1));
	assert_null(control_pairs_at(pairs, CONTROL_PAIRS_MAX));
	assert_null(control_pairs_take(pairs, CONTROL_PAIRS_MAX));
	assert_int_equal(control_pairs_use(pairs, all + 1, 1), 0);
	assert_string_equal(control_pairs_at(pairs, 0)->listen, "10.0.0.1:2");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_pair_has_figures),
	    CASE(a_reload_keeps_the_same_text),
	    CASE(one_in_use_outlives_its_configuration),
	    CASE(the_next_process_has_them),
	    CASE(too_many_have_none),
	};
	return cmocka_run_group_tests_name("control_pairs", tests, NULL, NULL) != 0;
}
