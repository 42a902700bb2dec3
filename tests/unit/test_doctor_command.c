#include "doctor/doctor_command.h"

#include "host/monotonic.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/test_doctor_command.XXXXXX";
static char program[64];

/* A program called "said" that is this script, found by PATH. */
static void write_program(const char *script)
{
	FILE *file = fopen(program, "w");
	assert_non_null(file);
	fputs(script, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(program, 0700), 0);
}

static int make_directory(void **state)
{
	(void)state;
	if (!mkdtemp(directory) || setenv("PATH", directory, 1) != 0)
		return -1;
	snprintf(program, sizeof(program), "%s/said", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	unlink(program);
	return rmdir(directory);
}

enum { LONG_MS = 20000, SHORT_MS = 300 };

static const char *const words[] = {"said", "a b", NULL};
static struct why why;
static char *output;

static void the_whole_output_comes_back(void **state)
{
	(void)state;
	write_program("#!/bin/sh\necho \"$1\"\nyes | /usr/bin/head -c 200000\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_OK);
	assert_int_equal(strlen(output), 200004);
	assert_memory_equal(output, "a b\ny\n", 6);
	free(output);
	write_program("#!/bin/sh\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_OK);
	assert_string_equal(output, "");
	free(output);
}

static void nothing_of_ours_is_there_but_a_path(void **state)
{
	(void)state;
	setenv("LD_PRELOAD_OF_OURS", "1", 1);
	write_program("#!/bin/sh\nenv\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_OK);
	assert_non_null(strstr(output, "PATH=/usr/local/sbin:/usr/sbin:"));
	assert_non_null(strstr(output, "LC_ALL=C"));
	assert_null(strstr(output, "OF_OURS"));
	free(output);
}

static void failures_have_a_sentence(void **state)
{
	(void)state;
	write_program("#!/bin/sh\necho 'not for you'\necho more\nexit 3\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_FAILED);
	assert_null(output);
	assert_string_equal(why.text, "said ended with status 3: not for you");
	write_program("#!/bin/sh\nkill -9 $$\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_FAILED);
	assert_string_equal(why.text, "said ended by signal 9");
	write_program("#!/nowhere\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_FAILED);
	assert_string_equal(why.text, "said: No such file or directory");
	write_program("#!/bin/sh\nexec dd if=/dev/zero bs=1M count=64 status=none\n");
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_FAILED);
	assert_string_equal(why.text, "said prints more than 16 MiB");
}

/* It may hold its output open, close it and stay, or leave that to a child. */
static void one_that_stays_is_killed(void **state)
{
	static const char *const scripts[] = {
	    "#!/bin/sh\nexec /bin/sleep 60\n",
	    "#!/bin/sh\nexec >/dev/null 2>&1\nexec /bin/sleep 60\n",
	    "#!/bin/sh\n/bin/sleep 60 &\n",
	    "#!/bin/sh\ntrap '' TERM\nexec /bin/sleep 60 >/dev/null 2>&1\n",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
		uint64_t began = monotonic_ms();
		write_program(scripts[i]);
		assert_int_equal(doctor_command_run(words, SHORT_MS, &output, &why),
				 DOCTOR_COMMAND_FAILED);
		assert_string_equal(why.text, "said has not ended in time, and was killed");
		assert_true(monotonic_ms() - began < LONG_MS);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
	}
}

static void on_alarm(int number)
{
	(void)number;
}

/* A signal to us while we wait for its output. */
static void one_that_stays_is_killed_after_a_signal(void **state)
{
	const struct sigaction caught = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	const struct itimerval soon = {.it_value = {.tv_usec = SHORT_MS * 1000 / 2}};
	uint64_t began = monotonic_ms();
	(void)state;
	write_program("#!/bin/sh\nexec /bin/sleep 60\n");
	assert_int_equal(sigaction(SIGALRM, &caught, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	assert_int_equal(doctor_command_run(words, SHORT_MS, &output, &why), DOCTOR_COMMAND_FAILED);
	assert_string_equal(why.text, "said has not ended in time, and was killed");
	assert_true(monotonic_ms() - began < LONG_MS);
	signal(SIGALRM, SIG_DFL);
}

static void a_missing_one_is_told_apart(void **state)
{
	static const char *const none[] = {"pptpproxy-no-such-program", NULL};
	(void)state;
	assert_int_equal(doctor_command_run(none, LONG_MS, &output, &why), DOCTOR_COMMAND_MISSING);
	assert_null(output);
}

/* "." in PATH, or an empty part of it. */
static void where_somebody_stands_does_not_count(void **state)
{
	(void)state;
	write_program("#!/bin/sh\necho bad\n");
	assert_int_equal(chdir(directory), 0);
	setenv("PATH", ":.", 1);
	assert_int_equal(doctor_command_run(words, LONG_MS, &output, &why), DOCTOR_COMMAND_MISSING);
	setenv("PATH", directory, 1);
	assert_int_equal(chdir("/"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_whole_output_comes_back),
	    cmocka_unit_test(nothing_of_ours_is_there_but_a_path),
	    cmocka_unit_test(failures_have_a_sentence),
	    cmocka_unit_test(one_that_stays_is_killed),
	    cmocka_unit_test(one_that_stays_is_killed_after_a_signal),
	    cmocka_unit_test(a_missing_one_is_told_apart),
	    cmocka_unit_test(where_somebody_stands_does_not_count),
	};
	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
