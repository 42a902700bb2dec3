/*
 * What a program of somebody else finds when it is started: this unit's own program plays it.
 */
#include "host/command.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { STATUS = 5, SAID_MAX = 4096 };
#define SELF "/proc/self/exe"

/* ---- the program ---- */

static int tell(char **words)
{
	char target[200];
	struct sigaction action;
	sigset_t mask;
	unsigned ignored = 0, blocked = 0, descriptors = 0;

	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < NSIG; number++) {
		/* A handler does not outlive an exec. */
		ignored += sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
		blocked += sigismember(&mask, number) == 1;
	}
	for (int fd = 3; fd < 1024; fd++)
		descriptors += fcntl(fd, F_GETFD) >= 0;
	ssize_t length = readlink("/proc/self/fd/0", target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	printf("input %s; %u signals ignored, %u blocked; %u descriptors; group %d; word %s; %s; "
	       "uid %d\n",
	       target, ignored, blocked, descriptors, getpgrp() == getpid(), words[2],
	       getenv("PPTPPROXY_PEER"), (int)getuid());
	fflush(stdout);
	fputs("and on standard error\n", stderr);
	return STATUS;
}

/* ---- cases ---- */

static char said[SAID_MAX];
static int status;

static char tells[] = "tells", word[] = "a b;$c", variable[] = "PPTPPROXY_PEER=peer";
static char *environment[] = {variable, NULL};

static int run(const char *path, const struct user *as)
{
	char *words[] = {(char *)(uintptr_t)path, tells, word, NULL};
	int output[2];
	size_t length = 0;
	ssize_t got;
	pid_t pid = 0;

	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	int error = command_start(&pid, words, environment, output[1], as);
	close(output[1]);
	while ((got = read(output[0], said + length, sizeof(said) - 1 - length)) > 0)
		length += (size_t)got;
	said[length] = '\0';
	close(output[0]);
	if (error == 0)
		assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left */
	return error;
}

static void program_finds_nothing_of_ours(void **state)
{
	char expected[SAID_MAX];
	sigset_t some, before;
	(void)state;
	int inherited = open("/dev/null", O_RDONLY), high = dup2(inherited, 700);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigprocmask(SIG_BLOCK, &some, &before);
	assert_int_equal(run(SELF, NULL), 0);
	sigset_t after;
	sigprocmask(SIG_SETMASK, &before, &after);
	assert_int_equal(sigismember(&after, SIGTERM), 1); /* ours are as they were */
	assert_int_equal(sigismember(&after, SIGUSR1), 0);
	assert_ptr_equal(signal(SIGPIPE, SIG_DFL), SIG_IGN);
	signal(SIGHUP, SIG_DFL);
	close(inherited);
	close(high);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == STATUS);
	snprintf(
	    expected, sizeof(expected),
	    "input /dev/null; 0 signals ignored, 0 blocked; 0 descriptors; group 1; word a b;$c; "
	    "peer; uid %d\nand on standard error\n",
	    (int)getuid());
	assert_string_equal(said, expected);
}

static void program_becomes_another_user(void **state)
{
	const struct user nobody = {.uid = 65534, .gid = 65534, .name = "nobody"};
	(void)state;
	if (geteuid() != 0) {
		print_message("# skipped: needs root\n");
		skip();
	}
	/* A program that this user may read wherever this one lies. */
	char id[] = "/usr/bin/id", *words[] = {id, NULL};
	int output[2];
	pid_t pid;
	assert_int_equal(pipe2(output, O_CLOEXEC), 0);
	assert_int_equal(command_start(&pid, words, environment, output[1], &nobody), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ssize_t length = read(output[0], said, sizeof(said) - 1);
	said[length > 0 ? length : 0] = '\0';
	close(output[0]);
	close(output[1]);
	assert_non_null(strstr(said, "uid=65534"));
	assert_non_null(strstr(said, "gid=65534"));
	assert_int_equal(geteuid(), 0); /* we share no more than memory with it */
}

static void what_cannot_be_executed_is_no_process(void **state)
{
	(void)state;
	assert_int_equal(run("/nonexistent", NULL), ENOENT);
	assert_int_equal(run("/etc/passwd", NULL), EACCES);
	assert_int_equal(run("/etc", NULL), EACCES);
	assert_string_equal(said, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(program_finds_nothing_of_ours),
	    cmocka_unit_test(program_becomes_another_user),
	    cmocka_unit_test(what_cannot_be_executed_is_no_process),
	};
	if (argc > 2 && strcmp(argv[1], tells) == 0)
		return tell(argv);
	return cmocka_run_group_tests_name("command", tests, NULL, NULL) != 0;
}
