/*
 * Which commands are asked, for whom, and what becomes of a question when the configuration changes
 * or whoever asked dies. The commands are scripts.
 */
#include "keeper/keeper_commands.h"

#include "host/log.h"

#include <errno.h>
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWERS_MAX = 64, PORT = 1723 };

static char directory[] = "/tmp/test_keeper_commands.XXXXXX";
static struct event_base *base;
static struct keeper_commands *commands;
static struct why why;
static struct link_message answers[ANSWERS_MAX];
static unsigned answer_count;

static void on_answer(void *arg, const struct link_message *message)
{
	assert_ptr_equal(arg, &answers);
	assert_true(answer_count < ANSWERS_MAX);
	assert_int_equal(message->type, LINK_CHECKED);
	answers[answer_count++] = *message;
}

static const char *path(const char *name)
{
	static char text[4][100];
	static unsigned next;
	char *at = text[next++ % 4];
	snprintf(at, sizeof(text[0]), "%s/%s", directory, name);
	return at;
}

static int set_up(void **state)
{
	(void)state;
	answer_count = 0;
	base = event_base_new();
	commands = keeper_commands_new(base, NULL, on_answer, &answers);
	alarm(20);
	return commands ? 0 : -1;
}

static int tear_down(void **state)
{
	char line[100];
	(void)state;
	keeper_commands_free(commands);
	event_base_free(base);
	alarm(0);
	snprintf(line, sizeof(line), "rm -f %s/*", directory);
	if (system(line) != 0)
		return -1;
	return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

/* One pair, and a command of this text; NULL: none. */
static void prepare(const char *name, const char *script)
{
	struct options options = {.acl_timeout_s = 15, .acl_parallel = 2, .max_waiting_checks = 3};
	struct pair pair;
	struct acl_cmd_words words;

	assert_int_equal(pair_parse("0.0.0.0:1723,vpn.example:99", &pair, &why), 0);
	options.pairs = &pair;
	options.pair_count = 1;
	if (script) {
		FILE *file = fopen(path(name), "w");
		fprintf(file, "#!/bin/sh\ncd %s\n%s\n", directory, script);
		fclose(file);
		assert_int_equal(chmod(path(name), 0700), 0);
		assert_int_equal(acl_cmd_split(path(name), &words, &why), 0);
		options.commands = malloc(sizeof(words));
		options.commands[0] = words;
		options.command_count = 1;
	}
	assert_int_equal(keeper_commands_prepare(commands, &options, &why), 0);
	assert_int_equal(options.command_count, 0);
}

static void use(const char *name, const char *script)
{
	prepare(name, script);
	keeper_commands_use(commands);
}

static void ask(uint32_t number, uint32_t pair)
{
	const struct link_message message = {
	    .type = LINK_CHECK,
	    .number = number,
	    .check =
		{
		    .connection = 17,
		    .pair = pair,
		    .client_addr = 0x0a01000a,
		    .client_port = 4711,
		    .listen_addr = 0x0a010001,
		    .listen_port = PORT,
		},
	};
	keeper_commands_check(commands, &message);
}

static void wait_for_answers(unsigned count)
{
	while (answer_count < count)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(answer_count, count);
}

static void check_answer(unsigned which, uint32_t number, enum acl_answer answer, const char *text)
{
	assert_int_equal(answers[which].number, number);
	assert_int_equal(answers[which].answer, answer);
	if (!strstr(answers[which].text, text))
		fail_msg("'%s' is not in '%s'", text, answers[which].text);
}

static void wait_for_file(const char *name)
{
	while (access(path(name), F_OK) != 0)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* ---- cases ---- */

static void commands_say_yes_and_no(void **state)
{
	(void)state;
	use("yes", "exit 0");
	ask(UINT32_MAX, 0);
	wait_for_answers(1);
	check_answer(0, UINT32_MAX, ACL_ALLOW, "yes said yes");
	assert_int_equal(answers[0].count[0], 0);
	use("no", "exit 3");
	ask(8, 0);
	wait_for_answers(2);
	check_answer(1, 8, ACL_DENY, "exit status 3");
}

/* The worker names addresses and a pair's place, never a word of the command. */
static void command_hears_of_the_client(void **state)
{
	char said[300] = "";
	(void)state;
	use("tells", "echo $1 $PPTPPROXY_CLIENT $PPTPPROXY_LISTEN $PPTPPROXY_PEER >said");
	ask(1, 0);
	wait_for_answers(1);
	FILE *file = fopen(path("said"), "r");
	assert_non_null(file);
	assert_non_null(fgets(said, sizeof(said), file));
	fclose(file);
	assert_string_equal(said, "10.1.0.10 10.1.0.10:4711 10.1.0.1:1723 vpn.example:99\n");
}

static void what_cannot_be_asked_is_no_yes(void **state)
{
	(void)state;
	ask(1, 0); /* before there is any configuration */
	use(NULL, NULL);
	ask(2, 0); /* which has no commands */
	use("yes", "exit 0");
	ask(3, 1); /* a pair that is not there */
	ask(4, UINT32_MAX);
	wait_for_answers(4);
	for (unsigned i = 0; i < 4; i++)
		check_answer(i, i + 1, ACL_ERROR, "no command");
}

static void too_many_questions_are_answered_at_once(void **state)
{
	enum { MANY = 40 };
	(void)state;
	use("waits", "while ! [ -e go ]; do sleep 0.02; done");
	for (uint32_t i = 0; i < MANY; i++)
		ask(i, 0);
	wait_for_answers(MANY - 5); /* two run, three wait */
	for (unsigned i = 0; i < MANY - 5; i++)
		check_answer(i, i + 5, ACL_ERROR, "--max-waiting-checks");
	fclose(fopen(path("go"), "w"));
	wait_for_answers(MANY);
}

static void cancelled_question_has_no_answer(void **state)
{
	(void)state;
	use("waits", "touch begun; while ! [ -e go ]; do sleep 0.02; done");
	ask(1, 0);
	wait_for_file("begun");
	keeper_commands_cancel(commands, 2); /* nobody's */
	keeper_commands_cancel(commands, 1);
	keeper_commands_cancel(commands, 1);
	use("yes", "exit 0");
	ask(3, 0);
	wait_for_answers(1);
	check_answer(0, 3, ACL_ALLOW, "");
}

static void all_are_cancelled_when_whoever_asked_dies(void **state)
{
	(void)state;
	use("waits", "while ! [ -e go ]; do sleep 0.02; done");
	for (uint32_t i = 0; i < 20; i++)
		ask(i, 0);
	keeper_commands_cancel_all(commands);
	use("yes", "exit 0");
	ask(99, 0);
	wait_for_answers(1);
	check_answer(0, 99, ACL_ALLOW, "");
}

/* What has begun ends with the commands that it began with. */
static void change_does_not_disturb_what_has_begun(void **state)
{
	(void)state;
	use("old", "touch begun; while ! [ -e go ]; do sleep 0.02; done; exit 5");
	ask(1, 0);
	wait_for_file("begun");
	prepare("new", "exit 0");
	ask(2, 0); /* it is not in use yet */
	keeper_commands_use(commands);
	ask(3, 0);
	wait_for_answers(1);
	check_answer(0, 3, ACL_ALLOW, "new said yes");
	fclose(fopen(path("go"), "w"));
	wait_for_answers(3);
	unsigned one = answers[1].number == 1 ? 1 : 2; /* they run side by side */
	check_answer(one, 1, ACL_DENY, "exit status 5");
	check_answer(3 - one, 2, ACL_DENY, "exit status 5");
}

static void forgotten_ones_are_never_asked(void **state)
{
	(void)state;
	use("old", "exit 0");
	prepare("new", "exit 9");
	keeper_commands_forget(commands);
	keeper_commands_forget(commands);
	keeper_commands_use(commands);
	ask(1, 0);
	wait_for_answers(1);
	check_answer(0, 1, ACL_ALLOW, "old said yes");
	prepare("new", "exit 9"); /* and is left to keeper_commands_free */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CASE(commands_say_yes_and_no),
	    CASE(command_hears_of_the_client),
	    CASE(what_cannot_be_asked_is_no_yes),
	    CASE(too_many_questions_are_answered_at_once),
	    CASE(cancelled_question_has_no_answer),
	    CASE(all_are_cancelled_when_whoever_asked_dies),
	    CASE(change_does_not_disturb_what_has_begun),
	    CASE(forgotten_ones_are_never_asked),
	};
	return cmocka_run_group_tests_name("keeper_commands", tests, make_directory,
					   remove_directory) != 0;
}
