/*
 * What rules and commands have let in, over reloads and processes.
 */
#include "control/control_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct kept *kept;
static struct control_rules *rules;
static int kept_fd;

static void next_process(void)
{
	struct why why;
	control_rules_free(rules);
	kept_close(kept);
	kept = kept_open(kept_fd, &why);
	assert_non_null(kept);
	rules = control_rules_new(kept);
	assert_non_null(rules);
}

static int set_up(void **state)
{
	struct why why;
	(void)state;
	kept_fd = kept_create(&why);
	kept = NULL;
	rules = NULL;
	next_process();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_rules_free(rules);
	kept_close(kept);
	close(kept_fd);
	return 0;
}

/* Rules, and a command after each "!". */
static void use(const char *const *texts, size_t count)
{
	struct acl acl = {0};
	struct acl_cmd_words commands[8] = {0};
	size_t command_count = 0;
	struct why why;
	for (size_t i = 0; i < count; i++) {
		if (texts[i][0] == '!')
			assert_int_equal(
			    acl_cmd_split(texts[i] + 1, &commands[command_count++], &why), 0);
		else
			assert_int_equal(acl_add(&acl, texts[i], &why), 0);
	}
	control_rules_use(rules, &acl, commands, command_count);
	acl_clear(&acl);
	for (size_t i = 0; i < command_count; i++)
		acl_cmd_words_free(&commands[i]);
}

#define USE(...)                                                                                   \
	use((const char *const[]){__VA_ARGS__},                                                    \
	    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void count(size_t place, unsigned times)
{
	while (times-- > 0)
		control_rules_count(rules, control_rules_generation(rules), place);
}

static void check(size_t place, uint64_t allowed)
{
	assert_int_equal(control_rules_allowed(rules, place), allowed);
}

static void each_has_its_count(void **state)
{
	(void)state;
	USE("10.0.0.0/8", "192.0.2.1", "!/etc/allow me", "!/etc/allow");
	count(0, 2);
	count(2, 3);
	count(3, 4);
	count(4, 5);
	check(0, 2);
	check(1, 0);
	check(2, 3);
	check(3, 4);
	check(4, 0);
}

static void a_reload_keeps_the_same_text(void **state)
{
	(void)state;
	USE("10.0.0.0/8", "192.0.2.1", "!/etc/allow me");
	count(0, 2);
	count(1, 3);
	count(2, 4);
	/* No words are a rule, no rule is words. */
	USE("!192.0.2.1", "192.0.2.1", "!/etc/allow me", "!/etc/allow", "!'/etc/allow me'",
	    "10.0.0.0/9");
	check(0, 3);
	check(1, 0);
	check(2, 0);
	check(3, 4);
	check(4, 0);
	check(5, 0);
	USE("10.0.0.0/8");
	check(0, 0);
}

static void refused_ones_have_theirs(void **state)
{
	(void)state;
	USE("10.0.0.0/8", "!/etc/allow", "!/etc/allow");
	control_rules_count_refused(rules, control_rules_generation(rules), 1);
	control_rules_count_refused(rules, control_rules_generation(rules), 2);
	control_rules_count_refused(rules, control_rules_generation(rules) - 1, 1);
	check(1, 0);
	next_process();
	USE("!/etc/allow", "!/etc/allow");
	assert_int_equal(control_rules_refused(rules, 0), 2);
	assert_int_equal(control_rules_refused(rules, 1), 0);
	assert_int_equal(control_rules_refused(rules, 2), 0);
}

static void of_equal_ones_the_first_keeps_it(void **state)
{
	(void)state;
	USE("10.0.0.0/8", "192.0.2.1", "10.0.0.0/8", "10.0.0.0/8");
	count(0, 2);
	count(1, 3);
	for (int i = 0; i < 3; i++) {
		USE("10.0.0.0/8", "192.0.2.1", "10.0.0.0/8", "10.0.0.0/8");
		check(0, 2);
		check(1, 3);
		check(2, 0);
		check(3, 0);
	}
	/* It was another one that had decided. */
	count(3, 5);
	USE("192.0.2.1", "10.0.0.0/8");
	check(0, 3);
	check(1, 7);
}

/* A check that was begun by other rules. */
static void another_configurations_place_is_nobodys(void **state)
{
	(void)state;
	USE("10.0.0.0/8");
	unsigned before = control_rules_generation(rules);
	USE("192.0.2.1");
	control_rules_count(rules, before, 0);
	check(0, 0);
}

static void the_next_process_has_them(void **state)
{
	(void)state;
	USE("10.0.0.0/8", "192.0.2.1");
	count(0, 2);
	count(1, 3);
	next_process();
	USE("192.0.2.1", "10.0.0.0/8", "10.1.1.1");
	check(0, 3);
	check(1, 2);
	check(2, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(each_has_its_count),
	    CASE(a_reload_keeps_the_same_text),
	    CASE(refused_ones_have_theirs),
	    CASE(of_equal_ones_the_first_keeps_it),
	    CASE(another_configurations_place_is_nobodys),
	    CASE(the_next_process_has_them),
	};
	return cmocka_run_group_tests_name("control_rules", tests, NULL, NULL) != 0;
}
