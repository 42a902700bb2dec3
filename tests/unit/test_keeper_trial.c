/*
 * What a program file says of itself when it is tried; the files are scripts.
 */
#include "keeper/keeper_trial.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "program"
#include "tests/unit/scratch.h"

static struct event_base *base;
static struct why why;
static int letter;
static struct {
	unsigned calls;
	bool failed;
	char failure[sizeof(struct why)];
} done;

static void on_done(void *arg, const char *failure)
{
	assert_ptr_equal(arg, &done);
	done.calls++;
	done.failed = failure != NULL;
	snprintf(done.failure, sizeof(done.failure), "%s", failure ? failure : "");
	event_base_loopbreak(base);
}

static int set_up(void **state)
{
	(void)state;
	memset(&done, 0, sizeof(done));
	base = event_base_new();
	letter = open("/dev/null", O_RDONLY);
	alarm(20);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(letter);
	event_base_free(base);
	alarm(0);
	return 0;
}

static struct keeper_trial *start(const char *script)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\n%s\n", script);
	fclose(file);
	assert_int_equal(chmod(path, 0700), 0);
	return keeper_trial_start(base, path, letter, on_done, &done, &why);
}

static void check(const char *script, const char *failure)
{
	memset(&done, 0, sizeof(done));
	assert_non_null(start(script));
	event_base_dispatch(base);
	assert_int_equal(done.calls, 1);
	assert_int_equal(done.failed, failure != NULL);
	assert_string_equal(done.failure, failure ? failure : "");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left to be reaped */
}

static void good_one_is_good(void **state)
{
	(void)state;
	check("exit 0", NULL);
	check("echo a warning >&2", NULL);
	check("exec >&- 2>&-; exit 0", NULL);
}

/* The letter is where its environment says, and it is to try only. */
static void it_is_told_what_to_do(void **state)
{
	char script[200];
	(void)state;
	snprintf(
	    script, sizeof(script),
	    "[ \"$1\" = --check ] && [ \"$PPTPPROXY_LETTER\" = %d ] && [ -e /proc/self/fd/%d ]",
	    letter, letter);
	check(script, NULL);
}

static void bad_one_says_why(void **state)
{
	(void)state;
	check("echo pptpproxy: too old >&2; echo more; exit 1", "too old");
	check("echo other words; exit 1", "other words");
	check("printf 'pptpproxy: a\\033b\\n'; exit 1", "a\\x1bb");
	check("exit 3", "exit status 3");
	check("exec >&- 2>&-; exit 4", "exit status 4");
	check("kill -9 $$", "signal 9 (Killed)");
}

static void long_words_are_cut(void **state)
{
	(void)state;
	assert_non_null(start("head -c 200000 /dev/zero | tr '\\0' x; exit 1"));
	event_base_dispatch(base);
	assert_true(done.failed);
	assert_in_range(strlen(done.failure), 100, sizeof(struct why) - 1);
}

/* Its end counts, not that of what it says. */
static void what_it_leaves_behind_is_not_waited_for(void **state)
{
	(void)state;
	check("sleep 15 & exit 0", NULL);
}

static void what_cannot_be_executed_is_told(void **state)
{
	(void)state;
	unlink(path);
	assert_null(keeper_trial_start(base, path, letter, on_done, &done, &why));
	assert_non_null(strstr(why.text, strerror(ENOENT)));
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* no event is left */
	assert_int_equal(done.calls, 0);
}

static void cancelled_one_tells_nobody(void **state)
{
	(void)state;
	struct keeper_trial *trial = start("sleep 15");
	assert_non_null(trial);
	keeper_trial_cancel(trial);
	keeper_trial_cancel(NULL);
	assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 1);
	assert_int_equal(done.calls, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CASE(good_one_is_good),
	    CASE(it_is_told_what_to_do),
	    CASE(bad_one_says_why),
	    CASE(long_words_are_cut),
	    CASE(what_it_leaves_behind_is_not_waited_for),
	    CASE(what_cannot_be_executed_is_told),
	    CASE(cancelled_one_tells_nobody),
	};
	return cmocka_run_group_tests_name("keeper_trial", tests, scratch_set_up,
					   scratch_tear_down) != 0;
}
