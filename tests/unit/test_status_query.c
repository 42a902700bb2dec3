/*
 * A question to whoever listens: here a child, which says what a case wants.
 */
#include "status/status_query.h"

#include "host/instance.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char name[64];
static struct why why;

/* By which the clock goes on when it is looked at. */
static uint64_t each_look_ms;
static uint64_t ahead_ms;

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = __real_clock_gettime(clock, now);
	ahead_ms += each_look_ms;
	now->tv_sec += (time_t)(ahead_ms / 1000);
	return result;
}

static void serve(int listening, const char *says, size_t length)
{
	char request[64] = "";
	int fd = accept(listening, NULL, NULL);
	if (fd < 0 || read(fd, request, sizeof(request) - 1) < 0)
		_exit(1);
	if (send(fd, says, length, MSG_NOSIGNAL) != (ssize_t)length)
		_exit(2);
	_exit(strcmp(request, "show calls\n") == 0 ? 0 : 3);
}

/* What somebody who says these octets is understood to say. */
static char *heard(const char *says, size_t length)
{
	int listening = instance_open(name, &why), status;
	assert_true(listening >= 0);
	/* It is non-blocking, and the child waits. */
	alarm(20);
	pid_t pid = fork();
	if (pid == 0) {
		fd_set set;
		FD_ZERO(&set);
		FD_SET(listening, &set);
		select(listening + 1, &set, NULL, NULL, NULL);
		serve(listening, says, length);
	}
	close(listening);
	why.text[0] = '\0';
	char *answer = status_query(name, "show calls\n", &why);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	alarm(0);
	return answer;
}

static void answers(const char *says, const char *text)
{
	char *answer = heard(says, strlen(says));
	if (!answer)
		fail_msg("%s", why.text);
	assert_string_equal(answer, text);
	free(answer);
}

static void fails(const char *says, const char *sentence)
{
	assert_null(heard(says, strlen(says)));
	if (!strstr(why.text, sentence))
		fail_msg("\"%s\" lacks \"%s\"", why.text, sentence);
}

static void a_whole_answer(void **state)
{
	(void)state;
	answers("OK 4\nabc\n", "abc\n");
	answers("OK 0\n", "");
	enum { LONG = 1 << 20 };
	char *says = malloc(LONG + 20);
	size_t head = (size_t)sprintf(says, "OK %d\n", LONG);
	memset(says + head, 'x', LONG);
	char *answer = heard(says, head + LONG);
	assert_non_null(answer);
	assert_int_equal(strlen(answer), LONG);
	free(answer);
	free(says);
}

static void an_answer_that_is_not_whole(void **state)
{
	(void)state;
	fails("OK 5\nabc\n", "the instance ended before it had answered");
	fails("OK 3\nabc\n", "the instance ended before it had answered");
	fails("OK 4", "the instance ended before it had answered");
	fails("OK \nabc", "the instance ended before it had answered");
	fails("OK 4x\nabc\n", "the instance ended before it had answered");
	fails("OK 99999999999999999999\nabc\n", "the instance ended before it had answered");
	fails("OK -1\nabc\n", "the instance ended before it had answered");
	fails("", "the instance ended before it answered");
}

static void a_refusal(void **state)
{
	(void)state;
	fails("12:5: no such call\n", "12:5: no such call");
	fails("bad\033[2J\302\233 news", "bad?[2J?? news");
	assert_null(strchr(why.text, '\033'));
	char longest[3000];
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	fails(longest, "aaaaaaaa");
	assert_true(strlen(why.text) < 500);
}

/* Octet by octet for ever, or half of it and then nothing. */
static void drip(int listening, bool for_ever)
{
	struct pollfd caller = {.fd = listening, .events = POLLIN};
	poll(&caller, 1, -1);
	int fd = accept(listening, NULL, NULL);
	if (send(fd, "OK 1000000\n", 11, MSG_NOSIGNAL) != 11)
		_exit(1);
	while (for_ever && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
		poll(NULL, 0, 1);
	char rest[64];
	while (read(fd, rest, sizeof(rest)) > 0)
		continue;
	_exit(0);
}

/* The time for an answer is one for all of it. */
static void who_drips_is_not_waited_for(void **state)
{
	(void)state;
	for (int for_ever = 0; for_ever < 2; for_ever++) {
		int listening = instance_open(name, &why);
		alarm(20);
		pid_t pid = fork();
		if (pid == 0)
			drip(listening, for_ever);
		close(listening);
		each_look_ms = for_ever ? 100 : 7500;
		assert_null(status_query(name, "show calls\n", &why));
		each_look_ms = 0;
		assert_non_null(strstr(why.text, ": no answer in 15 s"));
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		alarm(0);
	}
}

static void nobody_is_there(void **state)
{
	(void)state;
	char sentence[128];
	snprintf(sentence, sizeof(sentence), "no instance at control socket %s", name);
	assert_null(status_query(name, "show calls\n", &why));
	assert_string_equal(why.text, sentence);
	assert_null(status_query("/nonexistent/socket", "show calls\n", &why));
	assert_string_equal(why.text, "no instance at control socket /nonexistent/socket");
	assert_null(status_query("@", "show calls\n", &why));
	assert_non_null(strstr(why.text, "a name is missing"));
	assert_null(status_query("/dev/null", "show calls\n", &why));
	assert_string_equal(why.text, "no instance at control socket /dev/null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_whole_answer),  cmocka_unit_test(an_answer_that_is_not_whole),
	    cmocka_unit_test(a_refusal),       cmocka_unit_test(who_drips_is_not_waited_for),
	    cmocka_unit_test(nobody_is_there),
	};
	snprintf(name, sizeof(name), "@test_status_query.%ld", (long)getpid());
	return cmocka_run_group_tests_name("status_query", tests, NULL, NULL) != 0;
}
