#include "host/background.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRATCH_FILE "pid"
#include "tests/unit/scratch.h"

enum { DEADLINE_MS = 20000 };

/* What a daemon tells the test about itself. */
struct report {
	pid_t pid, session, parent, group;
	bool null[3]; /* descriptors 0 to 2 are /dev/null */
	bool ready;
	char text[200];
};

static bool is_null(int fd)
{
	struct stat null, status;
	return stat("/dev/null", &null) == 0 && fstat(fd, &status) == 0 &&
	       S_ISCHR(status.st_mode) && status.st_rdev == null.st_rdev;
}

static void tell(int fd, struct report *report)
{
	report->pid = getpid();
	report->session = getsid(0);
	report->group = getpgrp();
	for (int i = 0; i < 3; i++)
		report->null[i] = is_null(i);
	if (write(fd, report, sizeof(*report)) != sizeof(*report))
		_exit(3);
}

/* Starts `daemon_main` in the background of a process that is like the one that a user starts;
 * returns the latter's pid. What goes to the descriptor can be read from *reports. */
static pid_t start(void (*daemon_main)(int reports), int *reports)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct why why;
		close(ends[0]);
		if (background_begin(&why) < 0)
			_exit(2);
		daemon_main(ends[1]);
		_exit(0);
	}
	close(ends[1]);
	*reports = ends[0];
	return pid;
}

static void read_report(int reports, struct report *report)
{
	struct pollfd ready = {.fd = reports, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
	assert_int_equal(read(reports, report, sizeof(*report)), sizeof(*report));
}

static void wait_for_end(int reports)
{
	char octet;
	struct pollfd ready = {.fd = reports, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
	assert_int_equal(read(reports, &octet, 1), 0);
	close(reports);
}

static int exit_status(pid_t pid)
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void ready_daemon(int reports)
{
	struct report report = {0};
	struct why why;
	tell(reports, &report);
	report.ready = background_ready(&why) == 0 && background_ready(&why) == 0;
	tell(reports, &report);
}

static void parent_waits_for_readiness(void **state)
{
	(void)state;
	int reports;
	struct report before, after;
	pid_t pid = start(ready_daemon, &reports);
	read_report(reports, &before);
	assert_int_equal(exit_status(pid), 0);
	read_report(reports, &after);
	assert_true(after.ready);
	assert_int_equal(after.pid, before.pid);
	assert_true(after.pid != pid);
	/* In a session of its own, but not its leader. */
	assert_true(after.session != getsid(0));
	assert_true(after.session != after.pid);
	assert_int_equal(after.session, after.group);
	for (int i = 0; i < 3; i++)
		assert_true(after.null[i]);
	/* Until then errors can be seen. */
	assert_int_equal(before.null[2], is_null(STDERR_FILENO));
	wait_for_end(reports);
}

static void failing_daemon(int reports)
{
	struct report report = {0};
	tell(reports, &report);
	_exit(0);
}

static void parent_exits_1_if_the_daemon_ends(void **state)
{
	(void)state;
	int reports;
	struct report report;
	pid_t pid = start(failing_daemon, &reports);
	read_report(reports, &report);
	assert_int_equal(exit_status(pid), 1);
	wait_for_end(reports);
}

static void crashing_daemon(int reports)
{
	struct report report = {0};
	tell(reports, &report);
	raise(SIGKILL);
}

static void parent_exits_1_if_the_daemon_crashes(void **state)
{
	(void)state;
	int reports;
	struct report report;
	pid_t pid = start(crashing_daemon, &reports);
	read_report(reports, &report);
	assert_int_equal(exit_status(pid), 1);
	wait_for_end(reports);
}

static void patient_daemon(int reports)
{
	struct report report = {0};
	struct why why = {""};
	sigset_t set;
	int signal_number;
	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	tell(reports, &report);
	sigwait(&set, &signal_number);
	report.ready = background_ready(&why) == 0;
	memcpy(report.text, why.text, sizeof(report.text) - 1);
	tell(reports, &report);
}

static void nobody_waits_any_more(void **state)
{
	(void)state;
	int reports;
	struct report report;
	pid_t pid = start(patient_daemon, &reports);
	read_report(reports, &report);
	kill(pid, SIGKILL);
	assert_int_equal(exit_status(pid), -SIGKILL);
	kill(report.pid, SIGUSR1);
	read_report(reports, &report);
	assert_false(report.ready);
	assert_non_null(strstr(report.text, "did not wait"));
	wait_for_end(reports);
}

static void ready_without_background_does_nothing(void **state)
{
	(void)state;
	struct why why;
	bool before = is_null(STDOUT_FILENO);
	assert_int_equal(background_ready(&why), 0);
	assert_int_equal(is_null(STDOUT_FILENO), before);
}

static void closed_descriptors_are_filled(void **state)
{
	(void)state;
	int ends[2];
	struct report report;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct why why;
		struct report mine = {0};
		close(STDIN_FILENO);
		close(STDERR_FILENO);
		mine.ready = background_standard_descriptors(&why) == 0 &&
			     background_standard_descriptors(&why) == 0;
		tell(ends[1], &mine);
		_exit(0);
	}
	close(ends[1]);
	read_report(ends[0], &report);
	assert_int_equal(exit_status(pid), 0);
	assert_true(report.ready && report.null[0] && report.null[2]);
	assert_int_equal(report.null[1], is_null(STDOUT_FILENO));
	close(ends[0]);
}

static void check_file(const char *text)
{
	char found[64] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(read(fd, found, sizeof(found) - 1) >= 0);
	close(fd);
	assert_string_equal(found, text);
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void pid_file(void **state)
{
	(void)state;
	struct why why;
	struct stat status;
	char text[64];
	snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	write_file("an older one, and longer than any pid\n");
	assert_int_equal(background_pid_file_write(path, &why), 0);
	check_file(text);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07133, 0);
	background_pid_file_remove(path);
	assert_int_equal(access(path, F_OK), -1);
	background_pid_file_remove(path);
	background_pid_file_remove(NULL);
}

static void pid_file_of_another_stays(void **state)
{
	(void)state;
	char text[64];
	snprintf(text, sizeof(text), "%ld\n", (long)getppid());
	write_file(text);
	background_pid_file_remove(path);
	check_file(text);
	unlink(path);
}

static void bad_pid_file_is_named(void **state)
{
	(void)state;
	struct why why;
	assert_int_equal(background_pid_file_write("/nonexistent/pid", &why), -1);
	assert_string_equal(why.text,
			    "cannot write pid file /nonexistent/pid: No such file or directory");
	/* Nothing is left over. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(background_pid_file_write(path, &why), -1);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(mkdir(directory, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parent_waits_for_readiness),
	    cmocka_unit_test(parent_exits_1_if_the_daemon_ends),
	    cmocka_unit_test(parent_exits_1_if_the_daemon_crashes),
	    cmocka_unit_test(nobody_waits_any_more),
	    cmocka_unit_test(ready_without_background_does_nothing),
	    cmocka_unit_test(closed_descriptors_are_filled),
	    cmocka_unit_test(pid_file),
	    cmocka_unit_test(pid_file_of_another_stays),
	    cmocka_unit_test(bad_pid_file_is_named),
	};
	return cmocka_run_group_tests_name("background", tests, scratch_set_up,
					   scratch_tear_down) != 0;
}
