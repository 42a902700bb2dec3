#include "host/process.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

/* What the grandchild says; the pipe ends with it. */
static int ends[2];

static void say(const char *text)
{
	if (write(ends[1], text, strlen(text)) < 0)
		_exit(1);
}

/* Returns the child's pid; `child` and `grandchild` run in them. */
static pid_t start(void (*child)(void), void (*grandchild)(pid_t parent))
{
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		pid_t parent = getpid();
		alarm(DEADLINE_MS / 1000);
		if (fork() == 0) {
			alarm(DEADLINE_MS / 1000);
			grandchild(parent);
			_exit(0);
		}
		close(ends[1]);
		child();
		_exit(0);
	}
	close(ends[1]);
	return pid;
}

/* The next octets, or the end: 0. */
static ssize_t hear(char *text, size_t size)
{
	struct pollfd ready = {.fd = ends[0], .events = POLLIN};
	assert_int_equal(poll(&ready, 1, DEADLINE_MS / 2), 1);
	return read(ends[0], text, size);
}

static void stay(void)
{
	for (;;)
		pause();
}

static void follow(pid_t parent)
{
	struct why why = {""};
	sigset_t all;
	sigfillset(&all);
	sigdelset(&all, SIGALRM);
	sigprocmask(SIG_SETMASK, &all, NULL);
	if (process_follow_parent(parent, &why) != 0)
		say(why.text);
	say("following");
	stay();
}

static void end_of_the_parent_is_its_own(void **state)
{
	(void)state;
	char text[100] = "";
	pid_t pid = start(stay, follow);
	assert_int_equal(hear(text, sizeof(text) - 1), strlen("following"));
	assert_string_equal(text, "following");
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(hear(text, sizeof(text)), 0);
	close(ends[0]);
}

static void end_at_once(void)
{
}

static void follow_too_late(pid_t parent)
{
	struct why why = {""};
	while (getppid() == parent)
		usleep(1000);
	say(process_follow_parent(parent, &why) == -1 ? why.text : "followed a dead one");
}

static void parent_that_is_gone_is_told(void **state)
{
	(void)state;
	char text[400] = "", expected[100];
	pid_t pid = start(end_at_once, follow_too_late);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(hear(text, sizeof(text) - 1) > 0);
	snprintf(expected, sizeof(expected), "process %ld, which started this one, is gone",
		 (long)pid);
	assert_string_equal(text, expected);
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(end_of_the_parent_is_its_own),
	    cmocka_unit_test(parent_that_is_gone_is_told),
	};
	return cmocka_run_group_tests_name("process", tests, NULL, NULL) != 0;
}
