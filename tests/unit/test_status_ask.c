/*
 * Callers of the local socket, good and bad; the verbs are the test's own.
 */
#include "status/status_ask.h"

#include "host/instance.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <fcntl.h>
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
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG = 4 << 20, STRANGER = 54321 };

static struct event_base *base;
static struct status_ask *ask;
static int listening, taken;
static char name[64], seen[512];

static void on_words(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	struct evbuffer *answer = evbuffer_new();
	assert_ptr_equal(arg, &listening);
	seen[0] = '\0';
	for (size_t i = 0; i < count; i++) {
		strcat(seen, words[i]);
		strcat(seen, "|");
	}
	evbuffer_add_printf(answer, "%s\n", seen);
	status_ask_answer(caller, answer);
	evbuffer_free(answer);
}

static void on_much(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	(void)arg, (void)words, (void)count;
	struct evbuffer *answer = evbuffer_new();
	for (int i = 0; i < LONG / 64; i++)
		evbuffer_add_printf(answer, "%063d\n", i);
	status_ask_answer(caller, answer);
	evbuffer_free(answer);
}

static void on_refused(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	(void)arg, (void)count;
	status_ask_refuse(caller, "no %s today", words[1]);
}

static void on_taken(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	(void)arg, (void)words, (void)count;
	taken = status_ask_take(caller);
}

static struct status_caller *waits; /* for an answer that comes later */
static unsigned asked, gone;

static void on_gone(void *arg)
{
	assert_ptr_equal(arg, &gone);
	gone++;
}

static void on_later(void *arg, struct status_caller *caller, char *const *words, size_t count)
{
	(void)arg, (void)words, (void)count;
	asked++;
	waits = caller;
	status_ask_wait(caller, on_gone, &gone);
}

static const struct status_verb verbs[] = {{"words", on_words},	    {"much", on_much},
					   {"refused", on_refused}, {"taken", on_taken},
					   {"later", on_later},	    {0}};

static int set_up(void **state)
{
	(void)state;
	struct why why;
	signal(SIGPIPE, SIG_IGN);
	snprintf(name, sizeof(name), "@test_status_ask.%ld", (long)getpid());
	taken = -1;
	listening = instance_open(name, &why);
	/* As the worker's: changes of the watch list wait for the loop's next turn. */
	struct event_config *config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	event_config_free(config);
	struct status_ask_config ask_config = {
	    .base = base, .fd = listening, .verbs = verbs, .arg = &listening};
	ask = status_ask_open(&ask_config, &why);
	return listening >= 0 && ask ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	status_ask_close(ask);
	event_base_free(base);
	instance_close(listening, name);
	if (taken >= 0)
		close(taken);
	return 0;
}

static void turn(void)
{
	event_base_loop(base, EVLOOP_NONBLOCK);
}

static int call(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
	assert_int_equal(
	    connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
	    0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All that comes until the end, with the loop running; its length. */
static size_t listen_to(int fd, char *out, size_t size)
{
	size_t length = 0;
	for (;;) {
		turn();
		ssize_t got = recv(fd, out + length, size - length, MSG_DONTWAIT);
		if (got == 0 || (got < 0 && errno == ECONNRESET))
			break;
		if (got > 0)
			length += (size_t)got;
	}
	close(fd);
	return length;
}

static void answers(int fd, const char *text)
{
	char got[1024];
	got[listen_to(fd, got, sizeof(got) - 1)] = '\0';
	assert_string_equal(got, text);
}

static void asks(const char *request, const char *answer)
{
	int fd = call();
	say(fd, request);
	answers(fd, answer);
}

static void a_request_is_words_and_has_one_answer(void **state)
{
	(void)state;
	asks("words\n", "OK 7\nwords|\n");
	asks("words  a b \n", "OK 11\nwords|a|b|\n");
	asks("words a\nwords b\n", "OK 9\nwords|a|\n");
	asks("refused tea\n", "no tea today\n");
	asks("nonsense\n", "unknown request 'nonsense'\n");
	asks("words 2 3 4 5 6 7 8\n", "OK 21\nwords|2|3|4|5|6|7|8|\n");
}

static void a_request_may_come_octet_by_octet(void **state)
{
	(void)state;
	const char *request = "words slowly\n";
	int fd = call();
	for (const char *at = request; *at; at++) {
		char one[2] = {*at, '\0'};
		say(fd, one);
		turn();
	}
	answers(fd, "OK 14\nwords|slowly|\n");
}

static void bad_requests_are_told_so(void **state)
{
	(void)state;
	char longest[STATUS_ASK_REQUEST_MAX + 1];
	asks("\n", "bad request: no words\n");
	asks("words 2 3 4 5 6 7 8 9\n", "bad request: too many words\n");
	asks("words \033[2J\n", "bad request: not printable\n");
	asks("words \303\244\n", "bad request: not printable\n");
	memset(longest, 'x', sizeof(longest));
	longest[STATUS_ASK_REQUEST_MAX] = '\0';
	asks(longest, "bad request: longer than 256 octets\n");
	memcpy(longest, "words ", 6);
	longest[STATUS_ASK_REQUEST_MAX - 1] = '\n';
	int fd = call();
	say(fd, longest);
	char got[512];
	/* Each blank and the newline become a bar, and there is one newline more. */
	assert_int_equal(listen_to(fd, got, sizeof(got)),
			 strlen("OK 257\n") + STATUS_ASK_REQUEST_MAX + 1);
}

static void a_long_answer_comes_whole_as_it_is_read(void **state)
{
	(void)state;
	char *got = malloc(LONG + 100);
	int fd = call();
	say(fd, "much\n");
	size_t length = listen_to(fd, got, LONG + 100);
	assert_int_equal(length, strlen("OK 4194304\n") + LONG);
	assert_memory_equal(got, "OK 4194304\n", 11);
	assert_memory_equal(got + length - 6, "65535\n", 6);
	free(got);
}

static void who_hangs_up_costs_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 3 * STATUS_ASK_CALLERS_MAX; i++) {
		int fd = call();
		if (i % 3 > 0)
			say(fd, i % 3 > 1 ? "much\n" : "wor");
		turn();
		close(fd);
		turn();
	}
	turn();
	asks("words\n", "OK 7\nwords|\n");
}

static void too_many_at_once_are_told_so(void **state)
{
	(void)state;
	int fds[STATUS_ASK_CALLERS_MAX];
	for (int i = 0; i < STATUS_ASK_CALLERS_MAX; i++) {
		fds[i] = call();
		turn();
	}
	asks("words\n", "busy: too many ask at once\n");
	say(fds[0], "words\n");
	answers(fds[0], "OK 7\nwords|\n");
	asks("words\n", "OK 7\nwords|\n");
	for (int i = 1; i < STATUS_ASK_CALLERS_MAX; i++)
		close(fds[i]);
}

static void more_than_a_turn_takes_are_all_heard(void **state)
{
	(void)state;
	enum { MANY = 60 };
	int fds[MANY];
	for (int i = 0; i < MANY; i++)
		fds[i] = call();
	for (int i = 0; i < STATUS_ASK_CALLERS_MAX; i++)
		say(fds[i], "words\n");
	for (int i = 0; i < MANY; i++) {
		char got[64] = "";
		listen_to(fds[i], got, sizeof(got) - 1);
		assert_string_equal(got, i < STATUS_ASK_CALLERS_MAX
					     ? "OK 7\nwords|\n"
					     : "busy: too many ask at once\n");
	}
}

static void a_taken_connection_is_its_takers(void **state)
{
	(void)state;
	char octet;
	int fd = call();
	say(fd, "taken\n");
	while (taken < 0)
		turn();
	assert_true(fcntl(taken, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(taken, F_GETFD) & FD_CLOEXEC);
	turn();
	assert_int_equal(write(taken, "x", 1), 1);
	assert_int_equal(read(fd, &octet, 1), 1);
	close(fd);
}

static void who_is_silent_is_let_go_of(void **state)
{
	(void)state;
	int fd = call();
	char octet;
	turn();
	assert_int_equal(recv(fd, &octet, 1, MSG_DONTWAIT), -1);
	alarm(30);
	while (recv(fd, &octet, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
		event_base_loop(base, EVLOOP_ONCE);
	alarm(0);
	close(fd);
}

static int wait_for_later(void)
{
	int fd = call();
	asked = gone = 0;
	say(fd, "later\n");
	while (asked == 0)
		turn();
	return fd;
}

static void an_answer_may_come_later(void **state)
{
	(void)state;
	char got[64] = "";
	struct evbuffer *answer = evbuffer_new();
	int fd = wait_for_later();
	say(fd, "later\nlater\n"); /* one request a connection */
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), -1);
	evbuffer_add_printf(answer, "now\n");
	status_ask_answer(waits, answer);
	evbuffer_free(answer);
	listen_to(fd, got, sizeof(got) - 1);
	assert_string_equal(got, "OK 4\nnow\n");
	assert_int_equal(asked, 1);
	assert_int_equal(gone, 0);

	memset(got, 0, sizeof(got));
	fd = wait_for_later();
	status_ask_refuse(waits, "never");
	listen_to(fd, got, sizeof(got) - 1);
	assert_string_equal(got, "never\n");
	assert_int_equal(gone, 0);
}

static void who_waits_in_vain_is_let_go_of(void **state)
{
	(void)state;
	char octet;
	int fd = wait_for_later();
	alarm(30);
	while (recv(fd, &octet, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN)
		event_base_loop(base, EVLOOP_ONCE);
	alarm(0);
	close(fd);
	assert_int_equal(gone, 1);
	fd = wait_for_later();
	status_ask_close(ask);
	ask = NULL;
	assert_int_equal(gone, 1);
	close(fd);
}

static void who_hangs_up_while_he_waits_is_let_go_of(void **state)
{
	(void)state;
	close(wait_for_later());
	alarm(5); /* before his deadline */
	while (gone == 0)
		event_base_loop(base, EVLOOP_ONCE);
	alarm(0);
	assert_int_equal(gone, 1);
}

/* printf 'show calls\n' | nc -U, say. */
static void who_has_done_with_writing_still_waits(void **state)
{
	(void)state;
	char got[64] = "";
	struct evbuffer *answer = evbuffer_new();
	int fd = wait_for_later();
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(gone, 0);
	evbuffer_add_printf(answer, "now\n");
	status_ask_answer(waits, answer);
	evbuffer_free(answer);
	listen_to(fd, got, sizeof(got) - 1);
	assert_string_equal(got, "OK 4\nnow\n");
	assert_int_equal(gone, 0);
}

static void strangers_are_told_so(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		skip();
	}
	for (int i = 0; i < 2; i++) {
		/* The second one is who started us: the one who listens. */
		if (i == 1) {
			status_ask_close(ask);
			close(listening);
			assert_int_equal(seteuid(STRANGER), 0);
			struct why why;
			listening = instance_open(name, &why);
			assert_int_equal(seteuid(0), 0);
			struct status_ask_config config = {
			    .base = base, .fd = listening, .verbs = verbs, .arg = &listening};
			ask = status_ask_open(&config, &why);
			assert_non_null(ask);
		}
		pid_t pid = fork();
		if (pid == 0) {
			char got[256] = "";
			if (setuid(STRANGER) != 0)
				_exit(3);
			int fd = call();
			send(fd, "words\n", 6, MSG_NOSIGNAL);
			size_t length = 0;
			ssize_t more;
			while ((more = read(fd, got + length, sizeof(got) - 1 - length)) > 0)
				length += (size_t)more;
			_exit(strcmp(got, STATUS_ASK_NOT_ALLOWED "\n") == 0 ? 1
			      : strcmp(got, "OK 7\nwords|\n") == 0	    ? 2
									    : 4);
		}
		int status;
		while (waitpid(pid, &status, WNOHANG) == 0)
			turn();
		assert_int_equal(WEXITSTATUS(status), i + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_request_is_words_and_has_one_answer, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(a_request_may_come_octet_by_octet, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(bad_requests_are_told_so, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_long_answer_comes_whole_as_it_is_read, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(who_hangs_up_costs_nothing, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(too_many_at_once_are_told_so, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(more_than_a_turn_takes_are_all_heard, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(a_taken_connection_is_its_takers, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(an_answer_may_come_later, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(who_waits_in_vain_is_let_go_of, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(who_hangs_up_while_he_waits_is_let_go_of, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(who_has_done_with_writing_still_waits, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(strangers_are_told_so, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(who_is_silent_is_let_go_of, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("status_ask", tests, NULL, NULL) != 0;
}
