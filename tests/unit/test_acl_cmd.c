#include "acl_cmd.h"

#include "host/log.h"
#include "tests/unit/no_memory.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_S = 20, COMMANDS_MAX = 4, INHERITED_FD = 50 };

static struct event_base *base;
static struct acl_cmd *runner;
static struct acl_cmd_words commands[COMMANDS_MAX];
static size_t command_count;
static char directory[] = "/tmp/test_acl_cmd.XXXXXX";
static char *path_before;

/* Files. */

static const char *in_directory(const char *name)
{
	static char paths[8][128];
	static unsigned next;
	char *path = paths[next++ % 8];
	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(in_directory(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static char *contents(const char *name)
{
	static char text[256 * 1024];
	int fd = open(in_directory(name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* A shell script of that name in the directory, which is also where it runs. */
static void add_command(const char *name, const char *script)
{
	struct why why;
	char text[2000];
	snprintf(text, sizeof(text), "#!/bin/sh\ncd %s || exit 99\n%s\n", directory, script);
	write_file(name, text, 0700);
	assert_int_equal(acl_cmd_split(in_directory(name), &commands[command_count], &why), 0);
	command_count++;
}

static void forget_commands(void)
{
	while (command_count > 0)
		acl_cmd_words_free(&commands[--command_count]);
}

/* Life. */

static void start_runner_with(unsigned timeout_s, unsigned parallel, unsigned waiting_max)
{
	struct why why;
	struct acl_cmd_config config = {.commands = commands,
					.count = command_count,
					.timeout_s = timeout_s,
					.parallel = parallel,
					.waiting_max = waiting_max};
	runner = acl_cmd_new(base, &config, &why);
	assert_non_null(runner);
}

static void start_runner(unsigned timeout_s, unsigned parallel)
{
	start_runner_with(timeout_s, parallel, 0);
}

static int set_up(void **state)
{
	(void)state;
	struct why why;
	struct log_config config = {
	    .target = LOG_TO_FILE, .path = in_directory("log"), .level = LOG_LEVEL_DEBUG};
	base = event_base_new();
	return log_open(&config, &why);
}

static int tear_down(void **state)
{
	(void)state;
	char command[200];
	acl_cmd_free(runner);
	runner = NULL;
	forget_commands();
	event_base_free(base);
	log_close();
	snprintf(command, sizeof(command), "rm -f %s/*", directory);
	if (system(command) != 0)
		return -1;
	/* Nobody is left, not even a zombie. */
	return waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD ? 0 : -1;
}

static int make_directory(void **state)
{
	(void)state;
	path_before = strdup(getenv("PATH"));
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	free(path_before);
	return rmdir(directory);
}

/* Checks. */

struct result {
	int calls;
	enum acl_answer answer;
	size_t which;
	char why[400];
	struct acl_cmd_check *cancel; /* done cancels it */
	bool free_runner;	      /* done does it */
};

static void on_done(void *arg, enum acl_answer answer, size_t which, const char *why)
{
	struct result *result = arg;
	result->calls++;
	result->answer = answer;
	result->which = which;
	snprintf(result->why, sizeof(result->why), "%s", why);
	acl_cmd_cancel(result->cancel);
	if (result->free_runner) {
		acl_cmd_free(runner);
		runner = NULL;
	}
}

static struct acl_cmd_check *start(struct result *result, uint32_t addr)
{
	struct acl_cmd_client client = {.addr = addr,
					.client = "192.0.2.7:4711",
					.listen = "10.0.0.1:1723",
					.peer = "pptp.example:1723",
					.label = "#12"};
	struct acl_cmd_check *check = acl_cmd_start(runner, &client, on_done, result);
	assert_non_null(check);
	assert_int_equal(result->calls, 0);
	return check;
}

static void give_up(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	*(bool *)arg = true;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
}

/* Turns the loop until the condition holds; files are looked at every now and then. */
static void wait_until(bool (*holds)(const void *arg), const void *arg)
{
	bool late = false;
	struct event *timer = evtimer_new(base, give_up, &late);
	struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	evtimer_add(timer, &(struct timeval){.tv_sec = DEADLINE_S});
	event_add(tick, &(struct timeval){.tv_usec = 5000});
	while (!holds(arg) && !late)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(timer);
	event_free(tick);
	assert_false(late);
}

static bool is_done(const void *arg)
{
	return ((const struct result *)arg)->calls > 0;
}

static bool exists(const void *arg)
{
	return access(in_directory(arg), F_OK) == 0;
}

/* All that we have started have been reaped. */
static bool is_childless(const void *arg)
{
	(void)arg;
	siginfo_t info;
	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

static struct result ask(void)
{
	struct result result = {0};
	start(&result, 0xc0000207);
	wait_until(is_done, &result);
	return result;
}

static void expect(enum acl_answer answer, const char *why)
{
	struct result result = ask();
	if (!strstr(result.why, why))
		fail_msg("\"%s\" lacks \"%s\"", result.why, why);
	assert_int_equal(result.answer, answer);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Words. */

static void check_split(const char *text, const char *const *expected)
{
	struct acl_cmd_words words;
	struct why why = {""};
	if (acl_cmd_split(text, &words, &why) < 0)
		fail_msg("%s: %s", text, why.text);
	for (size_t i = 0; i < words.count; i++) {
		assert_non_null(expected[i]);
		assert_string_equal(words.words[i], expected[i]);
	}
	assert_null(expected[words.count]);
	assert_null(words.words[words.count]);
	acl_cmd_words_free(&words);
	assert_int_equal(words.count, 0);
}

#define SPLIT(text, ...) check_split(text, (const char *const[]){__VA_ARGS__, NULL})

static void split_as_a_shell(void **state)
{
	(void)state;
	SPLIT("a", "a");
	SPLIT("  a \t b\nc  ", "a", "b", "c");
	SPLIT("a 'b c' \"d e\"", "a", "b c", "d e");
	SPLIT("a'b'\"c\"d", "abcd");
	SPLIT("'' \"\"", "", "");
	SPLIT("a\\ b c\\\\d \\'e \\\"f", "a b", "c\\d", "'e", "\"f");
	SPLIT("'a\\b' \"a\\b\" \"a\\\\b\" \"a\\\"b\" \"a\\$b\"", "a\\b", "a\\b", "a\\b", "a\"b",
	      "a$b");
	SPLIT("'a\\\\b' 'c\\' d", "a\\\\b", "c\\", "d");
	SPLIT("\"it's\" 'say \"x\"'", "it's", "say \"x\"");
	/* No shell is there to see these. */
	SPLIT("a $HOME `b` *.c ~ # > | ; &", "a", "$HOME", "`b`", "*.c", "~", "#", ">", "|", ";",
	      "&");
	/* Joined lines. */
	SPLIT("a\\\nb \\\n c", "ab", "c");
	SPLIT("\"a\\\nb\"", "ab");
	SPLIT("a \\\n", "a");
}

static void bad_split(const char *text, const char *sentence)
{
	struct acl_cmd_words words;
	struct why why = {""};
	assert_int_equal(acl_cmd_split(text, &words, &why), -1);
	assert_string_equal(why.text, sentence);
	assert_null(words.words);
}

static void what_cannot_be_split(void **state)
{
	(void)state;
	bad_split("", "there is no word in it");
	bad_split(" \t\n", "there is no word in it");
	bad_split("\\\n", "there is no word in it");
	bad_split("a 'b", "the quote ' is not closed");
	bad_split("a \"b'", "the quote \" is not closed");
	bad_split("a \"b\\", "it ends in a backslash");
	bad_split("a\\", "it ends in a backslash");
}

static void find(const char *text, int result, const char *expected)
{
	struct acl_cmd_words words;
	struct why why = {""};
	assert_int_equal(acl_cmd_split(text, &words, &why), 0);
	if (acl_cmd_find(&words, &why) != result)
		fail_msg("'%s': %s", text, why.text);
	if (result == 0)
		assert_string_equal(words.words[0], expected);
	else if (!strstr(why.text, expected))
		fail_msg("\"%s\" lacks \"%s\"", why.text, expected);
	if (result < 0)
		assert_non_null(strstr(why.text, "command "));
	acl_cmd_words_free(&words);
}

static void found_by_path_and_by_name(void **state)
{
	(void)state;
	char path[300];
	write_file("good", "#!/bin/sh\nexit 0\n", 0700);
	write_file("plain", "#!/bin/sh\nexit 0\n", 0600);
	find(in_directory("good"), 0, in_directory("good"));
	find("/bin/sh -c true", 0, "/bin/sh");
	snprintf(path, sizeof(path), "/nonexistent:%s:/bin", directory);
	setenv("PATH", path, 1);
	find("good word", 0, in_directory("good"));
	find("absent", -1, "command absent: it is not in PATH");
	find("plain", -1, "command plain: it may not be executed");
	unsetenv("PATH");
	find("env", 0, "/usr/bin/env");
	setenv("PATH", path_before, 1);
}

static void what_cannot_be_run(void **state)
{
	(void)state;
	write_file("plain", "#!/bin/sh\n", 0600);
	write_file("text", "exit 0\n", 0700);
	write_file("empty", "", 0700);
	write_file("bad_interpreter", "#! /nonexistent/sh -e\n", 0700);
	write_file("dos", "#!/bin/sh\r\nexit 0\r\n", 0700);
	write_file("no_interpreter", "#!\n", 0700);
	write_file("odd", "#!  /bin/sh  -e\n", 0700);
	find("''", -1, "its first word is empty");
	find("/nonexistent/x", -1, "/nonexistent/x: No such file or directory");
	find(directory, -1, "it is not a regular file");
	find("/dev/null", -1, "it is not a regular file");
	find(in_directory("plain"), -1, "/plain: it may not be executed");
	find(in_directory("text"), -1, "/text: it is neither a program nor a script");
	find(in_directory("empty"), -1, "/empty: it is neither a program nor a script");
	find(in_directory("bad_interpreter"), -1,
	     "its interpreter /nonexistent/sh: No such file or directory");
	find(in_directory("dos"), -1, "its interpreter /bin/sh?: No such file or directory");
	find(in_directory("no_interpreter"), -1, "it names no interpreter");
	find(in_directory("odd"), 0, in_directory("odd"));
}

static void words_without_memory(void **state)
{
	(void)state;
	/* The buffer, then an array and a word for each of two. */
	for (int n = 0; n < 5; n++) {
		no_memory_in = n;
		bad_split("one 'two'", "no memory for its words");
	}
	no_memory_in = 5;
	SPLIT("one 'two'", "one", "two");
	no_memory_in = -1;
}

/* Each allocation of its path fails in turn. */
static void finding_without_memory(void **state)
{
	(void)state;
	static const char *const names[] = {"/bin/sh", "sh"};
	char sentence[40];
	for (size_t i = 0; i < 2; i++) {
		struct acl_cmd_words words;
		struct why why = {""};
		assert_int_equal(acl_cmd_split(names[i], &words, &why), 0);
		no_memory_in = 0;
		assert_int_equal(acl_cmd_find(&words, &why), -1);
		snprintf(sentence, sizeof(sentence), "command %s: no memory", names[i]);
		assert_string_equal(why.text, sentence);
		assert_string_equal(words.words[0], names[i]);
		assert_int_equal(acl_cmd_find(&words, &why), 0);
		acl_cmd_words_free(&words);
	}
}

/* Answers. */

static void status_decides(void **state)
{
	(void)state;
	add_command("yes", "exit 0");
	start_runner(10, 4);
	expect(ACL_ALLOW, "/yes said yes");
	acl_cmd_free(runner);
	forget_commands();
	add_command("no", "exit 3");
	start_runner(10, 4);
	expect(ACL_DENY, "/no: exit status 3");
	acl_cmd_free(runner);
	forget_commands();
	add_command("killed", "kill -9 $$");
	start_runner(10, 4);
	expect(ACL_DENY, "/killed: ended by signal 9");
}

static void asked_in_order_until_one_says_yes(void **state)
{
	(void)state;
	char why[200];
	add_command("a", "echo a >>trace; exit 1");
	add_command("b", "echo b >>trace; kill -15 $$");
	add_command("c", "echo c >>trace; exit 0");
	add_command("d", "echo d >>trace; exit 0");
	start_runner(10, 4);
	struct result result = ask();
	assert_int_equal(result.answer, ACL_ALLOW);
	snprintf(why, sizeof(why), "%s said yes", in_directory("c"));
	assert_string_equal(result.why, why);
	assert_string_equal(contents("trace"), "a\nb\nc\n");
}

static void nobody_says_yes(void **state)
{
	(void)state;
	char why[400];
	add_command("a", "exit 1");
	add_command("b", "exit 2");
	start_runner(10, 4);
	snprintf(why, sizeof(why), "%s: exit status 1; %s: exit status 2", in_directory("a"),
		 in_directory("b"));
	struct result result = ask();
	assert_int_equal(result.answer, ACL_DENY);
	assert_string_equal(result.why, why);
}

static void what_cannot_be_started_is_no_yes(void **state)
{
	(void)state;
	add_command("gone", "exit 0");
	assert_int_equal(unlink(in_directory("gone")), 0);
	start_runner(10, 4);
	expect(ACL_ERROR, "/gone: cannot be started: No such file or directory");
	acl_cmd_free(runner);
	add_command("no", "exit 1");
	start_runner(10, 4);
	expect(ACL_DENY, "/no: exit status 1");
	assert_int_equal(ask().which, 2);
	acl_cmd_free(runner);
	add_command("yes", "exit 0");
	start_runner(10, 4);
	expect(ACL_ALLOW, "/yes said yes");
	assert_int_equal(ask().which, 2);
}

static void what_a_command_sees(void **state)
{
	(void)state;
	char expected[8192];
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	sigset_t block, mask;
	add_command("see", "echo \"$# $1\" >words\n"
			   "readlink /proc/$$/fd/0 >input\n"
			   "[ ! -e /proc/$$/fd/50 ] && : >closed\n"
			   "env | grep -v PWD= | sort >environment\n"
			   "cut -d' ' -f1,5 /proc/$$/stat >group; echo $$ >pid\n"
			   "grep -E '^Sig(Blk|Ign):' /proc/self/status >signals\n");
	assert_int_equal(dup2(STDERR_FILENO, INHERITED_FD), INHERITED_FD);
	sigaction(SIGPIPE, &ignore, &before);
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &mask);
	start_runner(10, 4);
	double start_time = now();
	expect(ACL_ALLOW, "yes");
	/* A blocked SIGCHLD would leave it to the deadline to find out. */
	assert_true(now() - start_time < 8);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGPIPE, &before, NULL);
	close(INHERITED_FD);

	assert_string_equal(contents("words"), "1 192.0.2.7\n");
	assert_string_equal(contents("input"), "/dev/null\n");
	assert_true(exists("closed"));
	snprintf(expected, sizeof(expected),
		 "PATH=%s\nPPTPPROXY_CLIENT=192.0.2.7:4711\nPPTPPROXY_LISTEN=10.0.0.1:1723\n"
		 "PPTPPROXY_PEER=pptp.example:1723\n",
		 path_before);
	assert_string_equal(contents("environment"), expected);
	long pid = strtol(contents("pid"), NULL, 10);
	snprintf(expected, sizeof(expected), "%ld %ld\n", pid, pid);
	assert_string_equal(contents("group"), expected);
	/* The C library keeps two signals for itself, 32 and 33, and ignores them. */
	for (char *line = strtok(contents("signals"), "\n"); line; line = strtok(NULL, "\n"))
		assert_int_equal(strtoul(line + strlen("SigBlk:"), NULL, 16) & ~0x180000000UL, 0);
}

/* Not by a shell's help, since shells unblock all signals when they start. */
static void no_signal_is_blocked(void **state)
{
	(void)state;
	struct why why;
	sigset_t block, mask;
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigprocmask(SIG_BLOCK, &block, &mask);
	assert_int_equal(acl_cmd_split("/bin/sed -n '/^SigBlk/{s/[^0-9]*//p;q}' /proc/self/status",
				       &commands[command_count++], &why),
			 0);
	start_runner(10, 4);
	expect(ACL_ALLOW, "/bin/sed said yes");
	sigprocmask(SIG_SETMASK, &mask, NULL);
	log_close();
	assert_non_null(strstr(contents("log"), "/bin/sed: 0000000000000000\n"));
}

static void words_come_before_the_address(void **state)
{
	(void)state;
	struct why why;
	char text[200];
	snprintf(text, sizeof(text), "/bin/sh -c 'echo \"$@\" >%s/words' x 'a b'", directory);
	assert_int_equal(acl_cmd_split(text, &commands[command_count++], &why), 0);
	start_runner(10, 4);
	expect(ACL_ALLOW, "/bin/sh said yes");
	assert_string_equal(contents("words"), "a b 192.0.2.7\n");
}

static bool is_gone(const void *arg)
{
	char path[64], text[200] = "";
	snprintf(path, sizeof(path), "/proc/%ld/stat", *(const long *)arg);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	close(fd);
	/* Whose child it is now may be slow to reap it. */
	return n <= 0 || strstr(text, ") Z ");
}

static void deadline_ends_the_whole_group(void **state)
{
	(void)state;
	add_command("hang", "sleep 600 & echo $! >child; sleep 600");
	add_command("no", "exit 1");
	start_runner(1, 4);
	double before = now();
	expect(ACL_DENY, "/hang: no answer in 1 s; ");
	assert_true(now() - before >= 0.9 && now() - before < 10);
	long child = strtol(contents("child"), NULL, 10);
	assert_true(child > 0);
	wait_until(is_gone, &child);
}

static void grandchild_does_not_hold_the_answer(void **state)
{
	(void)state;
	add_command("leave", "sleep 600 & echo $! >child; echo said; exit 0");
	start_runner(30, 4);
	double before = now();
	expect(ACL_ALLOW, "/leave said yes");
	assert_true(now() - before < 10);
	pid_t child = (pid_t)strtol(contents("child"), NULL, 10);
	assert_int_equal(kill(child, SIGKILL), 0);
	acl_cmd_free(runner);
	runner = NULL;
	log_close();
	assert_non_null(strstr(contents("log"), "/leave: said\n"));
}

/* Output. */

static unsigned count_in_log(const char *word)
{
	unsigned count = 0;
	log_close();
	for (char *at = contents("log"); (at = strstr(at, word)); at++)
		count++;
	return count;
}

static void output_is_logged(void **state)
{
	(void)state;
	add_command("say", "echo one; echo; echo two >&2; printf 'a\\033b\\\\c\\n'; printf rest");
	start_runner(10, 4);
	expect(ACL_ALLOW, "yes");
	log_close();
	char *log = contents("log");
	assert_non_null(strstr(log, "/say: one\n"));
	assert_non_null(strstr(log, "/say: two\n"));
	assert_non_null(strstr(log, "/say: a\\x1bb\\\\c\n"));
	assert_non_null(strstr(log, "/say: rest\n"));
	assert_int_equal(count_in_log(" #12 /tmp/test_acl_cmd."), 4);
}

/* Both its output and its end are there when the loop turns again. */
static void last_words_are_logged(void **state)
{
	(void)state;
	siginfo_t info;
	struct result result = {0};
	add_command("say", ": >started\n"
			   "until [ -e go ]; do sleep 0.01; done\n"
			   "yes 123456789 | head -c 16000");
	start_runner(60, 4);
	start(&result, 0xc0000207);
	wait_until(exists, "started");
	write_file("go", "", 0600);
	assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
	wait_until(is_done, &result);
	assert_int_equal(count_in_log(": 123456789\n"), 1600);
}

static void long_line_is_logged_in_pieces(void **state)
{
	(void)state;
	add_command("say", "head -c 1000 /dev/zero | tr '\\0' '\\377'; echo; echo end");
	start_runner(10, 4);
	expect(ACL_ALLOW, "yes");
	assert_int_equal(count_in_log("\\xff"), 1000);
	assert_int_equal(count_in_log("/say: end\n"), 1);
	assert_int_equal(count_in_log("..."), 0);
}

static void much_output_is_left_out(void **state)
{
	(void)state;
	add_command("say", "yes 123456789 | head -c 500000; exit 0");
	start_runner(20, 4);
	expect(ACL_ALLOW, "yes");
	assert_int_equal(count_in_log(": 123456789\n"), 16384 / 10);
	assert_int_equal(count_in_log(": what else it says is left out\n"), 1);
}

static void endless_output_meets_the_deadline(void **state)
{
	(void)state;
	add_command("say", "exec yes");
	start_runner(1, 4);
	expect(ACL_DENY, "/say: no answer in 1 s");
}

/* Many. */

static void only_so_many_at_once(void **state)
{
	(void)state;
	enum { CHECKS = 5, PLACES = 2 };
	struct result results[CHECKS] = {{0}};
	add_command("wait", "echo \"+ $1\" >>trace\n: >started.$1\n"
			    "until [ -e go ]; do sleep 0.01; done\n"
			    "echo \"- $1\" >>trace");
	start_runner(60, PLACES);
	for (unsigned i = 0; i < CHECKS; i++)
		start(&results[i], 0xc0000201 + i);
	wait_until(exists, "started.192.0.2.1");
	wait_until(exists, "started.192.0.2.2");
	write_file("go", "", 0600);
	for (unsigned i = 0; i < CHECKS; i++) {
		wait_until(is_done, &results[i]);
		assert_int_equal(results[i].answer, ACL_ALLOW);
	}
	int running = 0;
	unsigned begun = 0, all = 0;
	for (char *line = strtok(contents("trace"), "\n"); line; line = strtok(NULL, "\n")) {
		running += line[0] == '+' ? 1 : -1;
		begun += line[0] == '+';
		assert_in_range(running, 0, PLACES);
		/* First come, first served: who begins has waited for all that came before him, but
		 * those that still run, which may write later. */
		if (line[0] == '+') {
			unsigned which = (unsigned)(line[strlen(line) - 1] - '0');
			assert_in_range(which, 1, begun + PLACES - 1);
			all |= 1U << which;
		}
	}
	assert_int_equal(begun, CHECKS);
	assert_int_equal(all, (1U << (CHECKS + 1)) - 2);
}

static void cancelled_in_every_state(void **state)
{
	(void)state;
	struct result running = {0}, waiting = {0}, last = {0};
	add_command("wait", ": >started.$1\n[ $1 = 192.0.2.3 ] || exec sleep 600");
	start_runner(60, 1);
	acl_cmd_cancel(NULL);
	struct acl_cmd_check *first = start(&running, 0xc0000201);
	struct acl_cmd_check *second = start(&waiting, 0xc0000202);
	start(&last, 0xc0000203);
	wait_until(exists, "started.192.0.2.1");
	acl_cmd_cancel(second);
	acl_cmd_cancel(first);
	/* The place is free once the first one's process is gone. */
	wait_until(is_done, &last);
	assert_int_equal(last.answer, ACL_ALLOW);
	wait_until(is_childless, NULL);
	assert_int_equal(running.calls + waiting.calls, 0);
	assert_false(exists("started.192.0.2.2"));
}

/* One source fills the queue; those who come one by one find room in it all the same. */
static void the_source_that_has_most_waiting_gives_way(void **state)
{
	(void)state;
	enum { FLOOD = 0xc0000201, RUNS = 0, WAIT = 4 };
	struct result flood[1 + WAIT + 1] = {{0}}, others[WAIT] = {{0}};
	add_command("wait", ": >started.$1\nexec sleep 600");
	start_runner_with(60, 1, WAIT);
	start(&flood[RUNS], FLOOD);
	wait_until(exists, "started.192.0.2.1");
	for (int i = 1; i <= WAIT + 1; i++)
		start(&flood[i], FLOOD);
	wait_until(is_done, &flood[WAIT + 1]);
	for (uint32_t i = 0; i < 2; i++) {
		start(&others[i], FLOOD + 1 + i);
		wait_until(is_done, &flood[1 + i]);
		assert_int_equal(flood[1 + i].answer, ACL_ERROR);
		assert_string_equal(flood[1 + i].why,
				    "4 clients wait for access commands already "
				    "(--max-waiting-checks), most of them at its address");
	}
	/* To have more than its newcomer it has too few left by then. */
	start(&others[2], FLOOD + 1);
	wait_until(is_done, &others[2]);
	assert_string_equal(others[2].why,
			    "4 clients wait for access commands already (--max-waiting-checks)");
	assert_int_equal(others[0].calls + others[1].calls, 0);
	assert_int_equal(flood[RUNS].calls + flood[3].calls + flood[4].calls, 0);
}

/* Two run, two wait, and the next one hears at once that there are too many. */
static void only_so_many_wait(void **state)
{
	(void)state;
	struct result results[6] = {{0}};
	struct acl_cmd_check *checks[6];
	add_command("wait", ": >started.$1\nexec sleep 600");
	start_runner_with(60, 2, 2);
	for (uint32_t i = 0; i < 5; i++)
		checks[i] = start(&results[i], 0xc0000201 + i);
	wait_until(is_done, &results[4]);
	assert_int_equal(results[4].answer, ACL_ERROR);
	assert_string_equal(results[4].why,
			    "2 clients wait for access commands already (--max-waiting-checks)");
	wait_until(exists, "started.192.0.2.2");
	/* One that waited leaves, and its place is free. */
	acl_cmd_cancel(checks[3]);
	start(&results[3], 0xc0000204);
	start(&results[5], 0xc0000206);
	wait_until(is_done, &results[5]);
	assert_int_equal(results[5].answer, ACL_ERROR);
	for (int i = 0; i < 4; i++)
		assert_int_equal(results[i].calls, 0);
}

static void cancelled_before_it_starts(void **state)
{
	(void)state;
	struct result result = {0}, other = {0};
	add_command("yes", ": >started.$1");
	start_runner(60, 4);
	acl_cmd_cancel(start(&result, 0xc0000201));
	start(&other, 0xc0000202);
	wait_until(is_done, &other);
	assert_int_equal(result.calls, 0);
	assert_false(exists("started.192.0.2.1"));
}

/* Both fail to start, so both have ended when the first one's done is called. */
static void cancelled_by_the_other_s_done(void **state)
{
	(void)state;
	struct result first = {0}, second = {0}, third = {0};
	add_command("gone", "exit 0");
	assert_int_equal(unlink(in_directory("gone")), 0);
	start_runner(60, 4);
	start(&first, 0xc0000201);
	first.cancel = start(&second, 0xc0000202);
	start(&third, 0xc0000203);
	wait_until(is_done, &third);
	assert_int_equal(first.calls, 1);
	assert_int_equal(second.calls, 0);
}

static void freed_while_they_run(void **state)
{
	(void)state;
	struct result results[4] = {{0}};
	add_command("hang", "echo $$ >pid.$1; : >started.$1; exec sleep 600");
	start_runner(60, 2);
	for (unsigned i = 0; i < 4; i++)
		start(&results[i], 0xc0000201 + i);
	wait_until(exists, "started.192.0.2.1");
	wait_until(exists, "started.192.0.2.2");
	acl_cmd_cancel(start(&results[0], 0xc0000205));
	acl_cmd_free(runner);
	runner = NULL;
	assert_true(is_childless(NULL));
	event_base_loop(base, EVLOOP_NONBLOCK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(results[i].calls, 0);
}

static void freed_by_done(void **state)
{
	(void)state;
	struct result first = {.free_runner = true}, others[3] = {{0}};
	add_command("mixed", "[ $1 = 192.0.2.1 ] || exec sleep 600");
	start_runner(60, 2);
	start(&first, 0xc0000201);
	for (unsigned i = 0; i < 3; i++)
		start(&others[i], 0xc0000202 + i);
	wait_until(is_done, &first);
	assert_true(is_childless(NULL));
	for (int i = 0; i < 3; i++)
		assert_int_equal(others[i].calls, 0);
}

static void other_people_s_children_are_left_alone(void **state)
{
	(void)state;
	int status = 0;
	add_command("yes", "exit 0");
	start_runner(10, 4);
	pid_t pid = fork();
	if (pid == 0)
		_exit(42);
	for (int i = 0; i < 3; i++)
		expect(ACL_ALLOW, "yes");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 42);
}

static void descriptors_and_memory_come_back(void **state)
{
	(void)state;
	add_command("yes", "echo x; exit 0");
	start_runner(10, 4);
	expect(ACL_ALLOW, "yes");
	int before = dup(STDERR_FILENO);
	close(before);
	for (int i = 0; i < 50; i++)
		expect(ACL_ALLOW, "yes");
	int after = dup(STDERR_FILENO);
	close(after);
	assert_int_equal(before, after);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(split_as_a_shell),
	    cmocka_unit_test(what_cannot_be_split),
	    CASE(found_by_path_and_by_name),
	    CASE(what_cannot_be_run),
	    cmocka_unit_test(words_without_memory),
	    cmocka_unit_test(finding_without_memory),
	    CASE(status_decides),
	    CASE(asked_in_order_until_one_says_yes),
	    CASE(nobody_says_yes),
	    CASE(what_cannot_be_started_is_no_yes),
	    CASE(what_a_command_sees),
	    CASE(no_signal_is_blocked),
	    CASE(words_come_before_the_address),
	    CASE(deadline_ends_the_whole_group),
	    CASE(grandchild_does_not_hold_the_answer),
	    CASE(output_is_logged),
	    CASE(last_words_are_logged),
	    CASE(long_line_is_logged_in_pieces),
	    CASE(much_output_is_left_out),
	    CASE(endless_output_meets_the_deadline),
	    CASE(only_so_many_at_once),
	    CASE(the_source_that_has_most_waiting_gives_way),
	    CASE(only_so_many_wait),
	    CASE(cancelled_in_every_state),
	    CASE(cancelled_before_it_starts),
	    CASE(cancelled_by_the_other_s_done),
	    CASE(freed_while_they_run),
	    CASE(freed_by_done),
	    CASE(other_people_s_children_are_left_alone),
	    CASE(descriptors_and_memory_come_back),
	};
	return cmocka_run_group_tests_name("acl_cmd", tests, make_directory, remove_directory) != 0;
}
