/*
 * The keeper's log and its workers' descriptor, over rotation, upgrade and another configuration.
 */
#include "keeper/keeper_log.h"

#include "host/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_keeper_log.XXXXXX";
static char path[64], other_path[64], nowhere[] = "/nowhere/x.log";
static struct options options, other;
static struct keeper_log keepers;
static struct why why;

static int set_up(void **state)
{
	(void)state;
	strcpy(directory + strlen(directory) - 6, "XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/x.log", directory);
	snprintf(other_path, sizeof(other_path), "%s/other.log", directory);
	options = (struct options){.log_file = path, .log_level = LOG_LEVEL_INFO};
	other = (struct options){.log_file = other_path, .log_level = LOG_LEVEL_INFO};
	keepers = KEEPER_LOG_NONE;
	return 0;
}

static int tear_down(void **state)
{
	char command[80];
	(void)state;
	keeper_log_close(&keepers);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	return system(command);
}

static void open_it(void)
{
	assert_int_equal(keeper_log_open(&keepers, &options, &why), 0);
	assert_true(keepers.open);
}

static bool is(int fd, const char *name)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && stat(name, &b) == 0 && a.st_ino == b.st_ino;
}

/* A line of ours lands in this file. */
static void writes_to(const char *name)
{
	char text[200] = "";
	log_info("here");
	log_close();
	FILE *file = fopen(name, "r");
	assert_non_null(file);
	while (fgets(text, sizeof(text), file))
		;
	fclose(file);
	assert_non_null(strstr(text, "here"));
}

static void workers_have_the_same_file(void **state)
{
	(void)state;
	open_it();
	assert_true(is(keepers.file, path));
	assert_int_equal(fcntl(keepers.file, F_GETFD), 0); /* over an exec */
	writes_to(path);
}

static void without_a_file(void **state)
{
	(void)state;
	options = (struct options){.foreground = true};
	open_it();
	assert_int_equal(keepers.file, -1);
	assert_int_equal(keeper_log_reopen(&keepers, &options), -1);
}

static void a_file_that_cannot_be(void **state)
{
	(void)state;
	options.log_file = nowhere;
	assert_int_equal(keeper_log_open(&keepers, &options, &why), -1);
	assert_false(keepers.open);
	assert_int_equal(keepers.file, -1);
	assert_false(keeper_log_try(&options, &why));
	assert_non_null(strstr(why.text, nowhere));
}

static void rotation(void **state)
{
	char old[80];
	(void)state;
	open_it();
	snprintf(old, sizeof(old), "%s.1", path);
	rename(path, old);
	int fd = keeper_log_reopen(&keepers, &options);
	assert_int_equal(fd, keepers.file);
	assert_true(is(fd, path));
	assert_false(is(fd, old));
	writes_to(path);
	options.log_file = nowhere; /* as if its directory were gone */
	assert_int_equal(keeper_log_reopen(&keepers, &options), -1);
	assert_true(is(keepers.file, path)); /* the worker goes on there */
}

static void an_upgrade_goes_on_with_the_file_that_is_open(void **state)
{
	(void)state;
	keepers.file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	options.log_file = nowhere;
	assert_int_equal(keeper_log_open(&keepers, &options, &why), 0);
	assert_true(keepers.open);
	assert_true(is(keepers.file, path));
	writes_to(path);
}

static void what_is_wanted_is_used(void **state)
{
	(void)state;
	open_it();
	int before = keepers.file;
	assert_int_equal(keeper_log_prepare(&keepers, &other, &why), 0);
	assert_true(is(keepers.wanted, other_path));
	assert_true(is(keepers.file, path));
	keeper_log_use(&keepers, &options, &other);
	keeper_log_forget(&keepers);
	assert_true(is(keepers.file, other_path));
	assert_int_equal(keepers.wanted, -1);
	assert_int_equal(fcntl(before, F_GETFD), -1); /* closed */
	writes_to(other_path);
}

static void what_is_wanted_is_forgotten(void **state)
{
	(void)state;
	open_it();
	assert_int_equal(keeper_log_prepare(&keepers, &other, &why), 0);
	int wanted = keepers.wanted;
	keeper_log_forget(&keepers);
	assert_int_equal(keepers.wanted, -1);
	assert_int_equal(fcntl(wanted, F_GETFD), -1);
	other.log_file = nowhere;
	assert_int_equal(keeper_log_prepare(&keepers, &other, &why), -1);
	assert_int_equal(keepers.wanted, -1);
	assert_true(is(keepers.file, path));
	writes_to(path);
}

static void an_exec_that_failed(void **state)
{
	(void)state;
	open_it();
	log_close();
	keeper_log_resume(&keepers, &options);
	writes_to(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(workers_have_the_same_file, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(without_a_file, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_file_that_cannot_be, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(rotation, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_upgrade_goes_on_with_the_file_that_is_open, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(what_is_wanted_is_used, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(what_is_wanted_is_forgotten, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_exec_that_failed, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
