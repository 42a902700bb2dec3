/*
 * The worker as a process. What the keeper executes is its own program, so this unit plays the
 * worker, too, when it finds a letter; the letter's word is its part.
 */
#include "keeper/keeper_worker.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINES = 500, DEADLINE_S = 20, STATUS = 7 };

/* ---- the worker ---- */

static int play(const struct letter *letter)
{
	struct event_base *worker_base = event_base_new();
	struct link *link = link_open(worker_base, letter->link, false, NULL, NULL, NULL);
	const char *part = letter->words[0];
	struct link_message message = {.type = LINK_RELEASE};

	alarm(DEADLINE_S);
	if (strcmp(part, "talks") == 0) {
		for (; message.number < LINES; message.number++)
			link_send(link, &message);
		_exit(STATUS);
	}
	if (strcmp(part, "dies") == 0)
		raise(SIGUSR1);
	if (strcmp(part, "ready") == 0) {
		message.type = LINK_READY;
		link_send(link, &message);
		_exit(0);
	}
	pause();
	return EXIT_FAILURE;
}

/* ---- the clock ---- */

static time_t ahead;

int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	int result = __real_clock_gettime(clock, time);
	time->tv_sec += ahead;
	return result;
}

/* ---- the stage ---- */

static struct event_base *base;
static struct keeper_worker *worker;
static struct why why;
static struct {
	uint32_t messages;
	bool in_order;
	unsigned deaths;
	pid_t pid;
	int status;
	bool was_ready;
} heard;

static void on_received(void *arg, const struct link_message *message)
{
	assert_ptr_equal(arg, &heard);
	assert_int_equal(heard.deaths, 0);
	if (message->type == LINK_READY)
		keeper_worker_note_ready(worker);
	heard.in_order = heard.in_order && message->number == heard.messages;
	heard.messages++;
}

static void on_ended(void *arg, pid_t pid, int status, bool was_ready)
{
	assert_ptr_equal(arg, &heard);
	heard.deaths++;
	heard.pid = pid;
	heard.status = status;
	heard.was_ready = was_ready;
	event_base_loopbreak(base);
}

static int set_up(void **state)
{
	const struct keeper_worker_events events = {on_received, on_ended, &heard};
	(void)state;
	ahead = 0;
	base = event_base_new();
	worker = keeper_worker_new(base, &events, &why);
	return worker ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	keeper_worker_free(worker);
	event_base_free(base);
	alarm(0);
	return 0;
}

static pid_t start(const char *part)
{
	char *words[] = {strdup(part), NULL};
	struct letter letter = LETTER_NONE;
	letter.words = words;
	letter.word_count = 1;
	memset(&heard, 0, sizeof(heard));
	heard.in_order = true;
	assert_int_equal(keeper_worker_start(worker, &letter, &why), 0);
	free(words[0]);
	alarm(DEADLINE_S);
	return keeper_worker_pid(worker);
}

static void wait_for_death(void)
{
	event_base_dispatch(base);
	assert_int_equal(heard.deaths, 1);
	assert_int_equal(keeper_worker_pid(worker), 0);
}

/* ---- cases ---- */

static void death_is_told_behind_all_that_was_said(void **state)
{
	(void)state;
	pid_t pid = start("talks");
	assert_true(pid > 0);
	/* It is dead before anything is read. */
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	wait_for_death();
	assert_int_equal(heard.messages, LINES);
	assert_true(heard.in_order);
	assert_int_equal(heard.pid, pid);
	assert_true(WIFEXITED(heard.status) && WEXITSTATUS(heard.status) == STATUS);
	assert_false(heard.was_ready);
}

static void signal_is_told(void **state)
{
	(void)state;
	start("dies");
	wait_for_death();
	assert_true(WIFSIGNALED(heard.status) && WTERMSIG(heard.status) == SIGUSR1);
}

static void dead_one_is_sent_nothing(void **state)
{
	const struct link_message message = {.type = LINK_END};
	(void)state;
	assert_int_equal(keeper_worker_send(worker, &message), -1);
	assert_int_equal(errno, ESRCH);
	keeper_worker_kill(worker);
	keeper_worker_kill_in(worker, 0);
	start("dies");
	wait_for_death();
	assert_int_equal(keeper_worker_send(worker, &message), -1);
	assert_int_equal(errno, ESRCH);
}

static void one_that_does_not_end_is_killed(void **state)
{
	(void)state;
	start("sleeps");
	keeper_worker_kill_in(worker, 0);
	wait_for_death();
	assert_true(WIFSIGNALED(heard.status) && WTERMSIG(heard.status) == SIGKILL);
	start("sleeps");
	keeper_worker_kill(worker);
	wait_for_death();
}

static void one_that_does_not_listen_is_not_sent_more_and_more(void **state)
{
	const struct link_message message = {.type = LINK_CHECKED};
	size_t sent = 0;
	(void)state;
	start("sleeps");
	while (sent < 100000 && keeper_worker_send(worker, &message) == 0)
		sent++;
	assert_int_equal(errno, ENOBUFS);
	assert_in_range(sent, 10000, 50000);
}

static void live_one_ends_with_its_keeper(void **state)
{
	(void)state;
	pid_t pid = start("sleeps");
	keeper_worker_free(worker);
	worker = NULL;
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
}

static void one_that_was_not_ready_is_waited_for(void **state)
{
	(void)state;
	start("dies");
	wait_for_death();
	assert_int_equal(keeper_worker_pause_s(worker), 1);
	start("ready");
	wait_for_death();
	assert_true(heard.was_ready);
	assert_int_equal(keeper_worker_pause_s(worker), 0);
}

static void many_deaths_slow_down(void **state)
{
	(void)state;
	for (int death = 1; death <= 10; death++) {
		start("ready");
		wait_for_death();
		assert_int_equal(keeper_worker_pause_s(worker), 0);
	}
	start("ready");
	wait_for_death();
	assert_int_equal(keeper_worker_pause_s(worker), 1);
	ahead += 11;
	start("ready");
	wait_for_death();
	assert_int_equal(keeper_worker_pause_s(worker), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CASE(death_is_told_behind_all_that_was_said),
	    CASE(signal_is_told),
	    CASE(dead_one_is_sent_nothing),
	    CASE(one_that_does_not_end_is_killed),
	    CASE(one_that_does_not_listen_is_not_sent_more_and_more),
	    CASE(live_one_ends_with_its_keeper),
	    CASE(one_that_was_not_ready_is_waited_for),
	    CASE(many_deaths_slow_down),
	};
	struct letter letter;
	if (letter_receive(&letter, &why) != 0)
		return EXIT_FAILURE;
	if (letter.to == LETTER_TO_WORKER)
		return play(&letter);
	return cmocka_run_group_tests_name("keeper_worker", tests, NULL, NULL) != 0;
}
