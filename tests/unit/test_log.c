#include "host/log.h"

#include "host/log_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

static char directory[] = "/tmp/test_log.XXXXXX";
static char path[sizeof(directory) + 16];
static char old_path[sizeof(directory) + 16];

/* What syslog is told is caught here instead. */

static char syslogged[2000];
static int syslog_priority;

static void catch (int priority, const char *format, va_list args)
{
	size_t used = strlen(syslogged);
	syslog_priority = priority;
	vsnprintf(syslogged + used, sizeof(syslogged) - used, format, args);
	strncat(syslogged, "|", sizeof(syslogged) - strlen(syslogged) - 1);
}

void syslog(int priority, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	catch (priority, format, args);
	va_end(args);
}

void __syslog_chk(int priority, int flag, const char *format, ...);
void __syslog_chk(int priority, int flag, const char *format, ...)
{
	(void)flag;
	va_list args;
	va_start(args, format);
	catch (priority, format, args);
	va_end(args);
}

/* Helpers. */

static void open_log(enum log_target target, enum log_level level)
{
	struct log_config config = {
	    .target = target, .path = path, .level = level, .name = "test_log"};
	struct why why = {""};
	if (log_open(&config, &why) < 0)
		fail_msg("%s", why.text);
}

static char *contents(const char *name)
{
	static char text[64 * 1024];
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;
	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	int result = regexec(&regex, text, 0, NULL, 0);
	regfree(&regex);
	if (result != 0)
		fail_msg("\"%s\" does not match %s", text, pattern);
}

/* Puts a descriptor in the place of another and returns the one to put back. */
static int divert(int fd, int to)
{
	int saved = dup(fd);
	assert_true(saved >= 0 && dup2(to, fd) == fd);
	return saved;
}

static void undo(int fd, int saved)
{
	dup2(saved, fd);
	close(saved);
}

static void open_pipe(int ends[2])
{
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

static long now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int make_directory(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/log", directory);
	snprintf(old_path, sizeof(old_path), "%s/log.0", directory);
	return 0;
}

static int remove_files(void **state)
{
	(void)state;
	log_close();
	if (unlink(path) < 0)
		rmdir(path);
	unlink(old_path);
	return 0;
}

static int remove_directory(void **state)
{
	return remove_files(state) < 0 || rmdir(directory) < 0 ? -1 : 0;
}

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} "

/* Cases. */

static void without_a_log_lines_go_to_standard_error(void **state)
{
	(void)state;
	int ends[2];
	char text[200] = "";
	open_pipe(ends);
	int saved = divert(STDERR_FILENO, ends[1]);
	errno = ENOENT;
	log_warning("one %d", 1);
	assert_int_equal(errno, ENOENT);
	log_debug("not this");
	log_info("two");
	log_error("three");
	undo(STDERR_FILENO, saved);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "warning: one 1\ntwo\nerror: three\n");
	close(ends[0]);
	close(ends[1]);
}

static void file_has_stamps_and_mode(void **state)
{
	(void)state;
	struct stat status;
	mode_t before = umask(0);
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	umask(before);
	log_info("plain");
	log_warning("careful");
	log_error("broken");
	log_debug("silent");
	log_close();
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_matches(contents(path),
		       "^" STAMP "plain\n" STAMP "warning: careful\n" STAMP "error: broken\n$");
	/* Appended to. */
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_info("more");
	log_close();
	assert_matches(contents(path), "plain\n.*\n.*\n" STAMP "more\n$");
}

static void levels_gate(void **state)
{
	(void)state;
	open_log(LOG_TO_FILE, LOG_LEVEL_WARNING);
	assert_true(log_wants(LOG_LEVEL_ERROR));
	assert_true(log_wants(LOG_LEVEL_WARNING));
	assert_false(log_wants(LOG_LEVEL_INFO));
	log_info("no");
	log_dump("no", (const uint8_t *)"x", 1);
	int evaluated = 0;
	log_debug("no %d", evaluated++);
	assert_int_equal(evaluated, 0);
	log_close();
	assert_string_equal(contents(path), "");
	open_log(LOG_TO_FILE, LOG_LEVEL_DUMP);
	assert_true(log_wants(LOG_LEVEL_DUMP));
	log_close();
}

static void line_cannot_be_forged_or_endless(void **state)
{
	(void)state;
	char word[3 * LOG_LINE_MAX];
	memset(word, 'x', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_info("a\nb\rc\033d\177e");
	log_info("%s", word);
	log_close();
	char *text = contents(path);
	assert_matches(text, "^" STAMP "a\\?b\\?c\\?d\\?e\n" STAMP "xxx[^\n]*xxx\\.\\.\\.\n$");
	assert_int_equal(strcspn(strchr(text, '\n') + 1, "\n"), LOG_LINE_MAX);
}

static void longest_line_is_not_cut(void **state)
{
	(void)state;
	char word[LOG_LINE_MAX + 1];
	memset(word, 'x', sizeof(word));
	word[LOG_LINE_MAX - strlen("2026-01-31T12:00:00.123 ")] = '\0';
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_info("%s", word);
	log_close();
	assert_int_equal(strlen(contents(path)), LOG_LINE_MAX + 1);
	assert_matches(contents(path), "x\n$");
}

static void dump_shows_hex_and_text(void **state)
{
	(void)state;
	const uint8_t octets[18] = "Hello, \x7f\xff\nworld.!";
	open_log(LOG_TO_FILE, LOG_LEVEL_DUMP);
	log_dump("#12 a dump", octets, sizeof(octets));
	log_dump("nothing", octets, 0);
	log_close();
	assert_matches(contents(path),
		       "^" STAMP "#12 a dump\n"
		       "    0000  48 65 6c 6c 6f 2c 20 7f  ff 0a 77 6f 72 6c 64 2e  "
		       "Hello, \\.\\.\\.world\\.\n"
		       "    0010  21 00                                             !\\.\n" STAMP
		       "nothing\n$");
}

static void escape(void **state)
{
	(void)state;
	char out[16];
	assert_string_equal(log_escape(out, sizeof(out), "a\\b\n\x80", 5), "a\\\\b\\x0a\\x80");
	assert_string_equal(log_escape(out, sizeof(out), "ab\0cd", 5), "ab");
	assert_string_equal(log_escape(out, sizeof(out), "abcd", 2), "ab");
	assert_string_equal(log_escape(out, sizeof(out), "", 0), "");
	/* Cut at a whole piece. */
	assert_string_equal(log_escape(out, 8, "\1\2\3", 3), "\\x01");
	assert_string_equal(log_escape(out, 9, "\1\2\3", 3), "\\x01\\x02");
	assert_string_equal(log_escape(out, 4, "abcdef", 6), "abc");
	assert_string_equal(log_escape(out, 1, "abc", 3), "");
}

static void reopen_follows_the_path(void **state)
{
	(void)state;
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_info("before");
	/* The file is there, so the writer has it open. */
	assert_int_equal(rename(path, old_path), 0);
	log_reopen();
	log_info("after");
	log_close();
	assert_matches(contents(path), STAMP "after\n$");
	assert_null(strstr(contents(old_path), "after"));
}

static void reopen_keeps_the_old_file_if_it_must(void **state)
{
	(void)state;
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	assert_int_equal(rename(path, old_path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	log_reopen();
	log_close();
	assert_matches(contents(old_path), "warning: cannot open .*/log anew: Is a directory");
}

static void unwritable_file_is_named(void **state)
{
	(void)state;
	struct why why;
	struct log_config config = {.target = LOG_TO_FILE, .path = "/nonexistent/log"};
	assert_int_equal(log_open(&config, &why), -1);
	assert_string_equal(why.text,
			    "cannot open log file /nonexistent/log: No such file or directory");
	/* Nobody waits for a FIFO's reader. */
	assert_int_equal(mkfifo(path, 0600), 0);
	config.path = path;
	assert_int_equal(log_open(&config, &why), -1);
	assert_non_null(strstr(why.text, path));
}

/* Reads what comes until the writer has closed it or, with a marker, until that is seen. */
static char *drain(int fd, const char *marker)
{
	size_t size = 8U << 20, used = 0;
	char *text = malloc(size);
	assert_non_null(text);
	text[0] = '\0';
	while (!marker || !strstr(text + (used > 4096 ? used - 4096 : 0), marker)) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		assert_int_equal(poll(&ready, 1, DEADLINE_MS), 1);
		ssize_t n = read(fd, text + used, size - used - 1);
		if (n <= 0)
			break;
		used += (size_t)n;
		text[used] = '\0';
	}
	return text;
}

/* The writer gathers what comes right behind a line, but not for ever. */
static void lines_of_a_crowd_come_without_more_of_it(void **state)
{
	(void)state;
	int ends[2];
	open_pipe(ends);
	int saved = divert(STDOUT_FILENO, ends[1]);
	open_log(LOG_TO_STDOUT, LOG_LEVEL_INFO);
	for (int crowd = 0; crowd < 20; crowd++) {
		char last[32];
		for (int i = 0; i < crowd; i++)
			log_info("one of crowd %d", crowd);
		log_info("last of crowd %d", crowd);
		snprintf(last, sizeof(last), "last of crowd %d\n", crowd);
		char *text = drain(ends[0], last);
		assert_non_null(strstr(text, last));
		free(text);
	}
	undo(STDOUT_FILENO, saved);
	log_close();
	close(ends[0]);
	close(ends[1]);
}

/* Numbered lines, then a note about lines that are missing, then, perhaps, further numbers. */
static void check_numbers(const char *text, unsigned sent)
{
	unsigned next = 0, lost;
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		unsigned number;
		assert_non_null(strchr(line, '\n'));
		if (sscanf(line, "line %u ", &number) == 1) {
			assert_int_equal(number, next);
			next++;
		} else if (sscanf(line, "warning: %u log lines were lost", &lost) == 1) {
			assert_true(lost > 0);
			next += lost;
		} else if (strncmp(line, "last", 4) != 0) {
			fail_msg("'%.60s'", line);
		}
	}
	assert_int_equal(next, sent);
}

static void full_pipe_holds_nobody(int flags)
{
	enum { LINES = 40000 };
	int ends[2];
	open_pipe(ends);
	if (flags)
		fcntl(ends[1], F_SETFL, flags);
	int saved = divert(STDOUT_FILENO, ends[1]);
	open_log(LOG_TO_STDOUT, LOG_LEVEL_INFO);
	long start = now_ms();
	for (unsigned i = 0; i < LINES; i++)
		log_info("line %u %060d", i, 0);
	long taken = now_ms() - start;

	/* The note comes once the queue is empty; from then on all is as before. */
	char *text = drain(ends[0], "log lines were lost\n");
	size_t used = strlen(text);
	log_info("last");
	char *rest = drain(ends[0], "last\n");
	log_close();
	undo(STDOUT_FILENO, saved);
	close(ends[0]);
	close(ends[1]);

	assert_true(taken < DEADLINE_MS);
	assert_true(used >= LOG_QUEUE_OCTETS / 2 && used < LINES * 60UL);
	check_numbers(text, LINES);
	assert_string_equal(rest, "last\n");
	free(text);
	free(rest);
}

static void full_pipe(void **state)
{
	(void)state;
	full_pipe_holds_nobody(0);
}

static void full_pipe_that_does_not_block(void **state)
{
	(void)state;
	full_pipe_holds_nobody(O_NONBLOCK);
}

/* How long it takes to close the log whose reader reads nothing, within ms; 0: as log_close. */
static long leave_a_hanging_writer_behind(unsigned ms)
{
	int ends[2];
	open_pipe(ends);
	int saved = divert(STDOUT_FILENO, ends[1]);
	open_log(LOG_TO_STDOUT, LOG_LEVEL_INFO);
	for (unsigned i = 0; i < 2000; i++)
		log_info("line %u %060d", i, 0);
	long start = now_ms();
	if (ms == 0)
		log_close();
	else
		log_close_within(ms);
	long taken = now_ms() - start;
	undo(STDOUT_FILENO, saved);
	/* Another log is not disturbed by it. */
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_info("another");
	log_close();
	assert_matches(contents(path), "^" STAMP "another\n$");
	/* Once it can it ends, and closes its end of the pipe. */
	close(ends[1]);
	char *text = drain(ends[0], NULL);
	assert_true(strlen(text) < 2000 * 60);
	free(text);
	close(ends[0]);
	return taken;
}

static void close_leaves_a_hanging_writer_behind(void **state)
{
	(void)state;
	long taken = leave_a_hanging_writer_behind(0);
	assert_true(taken >= 900 && taken < 5000);
}

static void close_leaves_it_sooner_where_packets_wait(void **state)
{
	(void)state;
	long taken = leave_a_hanging_writer_behind(50);
	assert_true(taken >= 45 && taken < 900);
}

/* What is flushed is in the file, so that there is nothing to wait for afterwards. */
static void flush_writes_what_is_queued(void **state)
{
	(void)state;
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_flush();
	for (unsigned i = 0; i < 500; i++)
		log_info("line %u %060d", i, 0);
	log_info("the last");
	log_flush();
	assert_matches(contents(path), STAMP "the last\n$");
}

static void flush_does_not_wait_for_ever(void **state)
{
	(void)state;
	int ends[2];
	open_pipe(ends);
	int saved = divert(STDOUT_FILENO, ends[1]);
	open_log(LOG_TO_STDOUT, LOG_LEVEL_INFO);
	for (unsigned i = 0; i < 2000; i++)
		log_info("line %u %060d", i, 0);
	long start = now_ms();
	log_flush();
	long taken = now_ms() - start;
	undo(STDOUT_FILENO, saved);
	close(ends[0]); /* ends the writer's wait */
	log_close();
	close(ends[1]);
	assert_true(taken >= 900 && taken < 5000);
}

static void gone_reader_ends_nothing(void **state)
{
	(void)state;
	int ends[2];
	open_pipe(ends);
	close(ends[0]);
	int saved = divert(STDOUT_FILENO, ends[1]);
	open_log(LOG_TO_STDOUT, LOG_LEVEL_INFO);
	for (int i = 0; i < 100; i++)
		log_info("to nobody");
	log_close();
	undo(STDOUT_FILENO, saved);
	close(ends[1]);
}

static void wait_for(const char *name, const char *word)
{
	long deadline = now_ms() + DEADLINE_MS;
	while (!strstr(contents(name), word)) {
		assert_true(now_ms() < deadline);
		sched_yield();
	}
}

static void full_disk_is_told_later(void **state)
{
	(void)state;
	if (access("/dev/full", W_OK) < 0)
		skip();
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	/* Whether the writer has tried its luck on /dev/full before it opens the file again cannot
	 * be seen from outside, so there are several rounds. */
	long deadline = now_ms() + DEADLINE_MS;
	for (bool told = false; !told;) {
		assert_true(now_ms() < deadline);
		assert_int_equal(unlink(path), 0);
		assert_int_equal(symlink("/dev/full", path), 0);
		log_reopen();
		log_info("one");
		sched_yield();
		assert_int_equal(unlink(path), 0);
		log_reopen();
		log_info("two");
		wait_for(path, "two");
		told = !strstr(contents(path), "one");
	}
	log_close();
	assert_matches(contents(path), "^" STAMP "warning: 1 log lines were lost: No space left "
				       "on device\n" STAMP "two\n$");
}

/* What another process could not write whole, as the disk was full, swallows no line of this
 * one. */
static void line_that_another_left_torn(void **state)
{
	(void)state;
	open_log(LOG_TO_FILE, LOG_LEVEL_INFO);
	log_info("one");
	wait_for(path, "one\n");
	FILE *other = fopen(path, "ae");
	assert_non_null(other);
	fputs("half a l", other);
	fclose(other);
	log_info("two");
	log_close();
	assert_matches(contents(path), "^" STAMP "one\nhalf a l\n" STAMP "two\n$");
}

static void syslog_gets_priorities(void **state)
{
	(void)state;
	syslogged[0] = '\0';
	open_log(LOG_TO_SYSLOG, LOG_LEVEL_DUMP);
	log_error("one %%d");
	log_info("two");
	log_close();
	assert_string_equal(syslogged, "error: one %d|two|");
	assert_int_equal(syslog_priority, LOG_INFO);

	syslogged[0] = '\0';
	open_log(LOG_TO_SYSLOG, LOG_LEVEL_DUMP);
	log_dump("title", (const uint8_t *)"ab", 2);
	log_close();
	assert_matches(syslogged, "^title\\|    0000  61 62 +ab\\|$");
	assert_int_equal(syslog_priority, LOG_DEBUG);
	open_log(LOG_TO_SYSLOG, LOG_LEVEL_DUMP);
	log_warning("three");
	log_close();
	assert_int_equal(syslog_priority, LOG_WARNING);
}

enum { THREADS = 4, LINES_A_THREAD = 1500 };

static void *chatter(void *arg)
{
	for (int i = 0; i < LINES_A_THREAD; i++)
		log_info("thread %d line %d", *(int *)arg, i);
	return NULL;
}

static void threads_do_not_mix_lines(void **state)
{
	(void)state;
	pthread_t threads[THREADS];
	int numbers[THREADS], next[THREADS] = {0};
	int ends[2];
	open_pipe(ends);
	int saved = divert(STDOUT_FILENO, ends[1]);
	open_log(LOG_TO_STDOUT, LOG_LEVEL_INFO);
	for (int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, chatter, &numbers[i]);
	}
	for (int i = 0; i < THREADS; i++) {
		log_reopen();
		pthread_join(threads[i], NULL);
	}
	log_info("end");
	char *text = drain(ends[0], "end\n");
	log_close();
	undo(STDOUT_FILENO, saved);
	close(ends[0]);
	close(ends[1]);
	for (const char *line = text; strcmp(line, "end\n") != 0; line = strchr(line, '\n') + 1) {
		int thread, number;
		assert_int_equal(sscanf(line, "thread %d line %d\n", &thread, &number), 2);
		assert_in_range(thread, 0, THREADS - 1);
		assert_int_equal(number, next[thread]++);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(next[i], LINES_A_THREAD);
	free(text);
}

static void queue_wraps_and_counts(void **state)
{
	(void)state;
	struct log_queue queue;
	char out[32];
	assert_int_equal(log_queue_init(&queue, 10), 0);
	for (int i = 0; i < 25; i++) {
		assert_true(log_queue_put(&queue, "abc\n", 4));
		assert_true(log_queue_put(&queue, "de\n", 3));
		assert_int_equal(log_queue_room(&queue), 3);
		/* Whole lines only. */
		assert_int_equal(log_queue_take(&queue, out, 6), 4);
		assert_memory_equal(out, "abc\n", 4);
		assert_int_equal(log_queue_take(&queue, out, sizeof(out)), 3);
		assert_memory_equal(out, "de\n", 3);
	}
	assert_int_equal(log_queue_take(&queue, out, sizeof(out)), 0);
	assert_true(log_queue_put(&queue, "123456789\n", 10));
	assert_false(log_queue_put(&queue, "a\nb\n", 4));
	assert_int_equal(log_queue_take(&queue, out, sizeof(out)), 10);
	/* Nothing more until it has been told. */
	assert_false(log_queue_put(&queue, "c\n", 2));
	assert_int_equal(log_queue_forgive(&queue), 3);
	assert_int_equal(log_queue_forgive(&queue), 0);
	assert_true(log_queue_put(&queue, "c\n", 2));
	log_queue_clear(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_a_log_lines_go_to_standard_error),
	    cmocka_unit_test_teardown(file_has_stamps_and_mode, remove_files),
	    cmocka_unit_test_teardown(levels_gate, remove_files),
	    cmocka_unit_test_teardown(line_cannot_be_forged_or_endless, remove_files),
	    cmocka_unit_test_teardown(longest_line_is_not_cut, remove_files),
	    cmocka_unit_test_teardown(dump_shows_hex_and_text, remove_files),
	    cmocka_unit_test(escape),
	    cmocka_unit_test_teardown(reopen_follows_the_path, remove_files),
	    cmocka_unit_test_teardown(reopen_keeps_the_old_file_if_it_must, remove_files),
	    cmocka_unit_test_teardown(unwritable_file_is_named, remove_files),
	    cmocka_unit_test(lines_of_a_crowd_come_without_more_of_it),
	    cmocka_unit_test(full_pipe),
	    cmocka_unit_test(full_pipe_that_does_not_block),
	    cmocka_unit_test_teardown(close_leaves_a_hanging_writer_behind, remove_files),
	    cmocka_unit_test_teardown(close_leaves_it_sooner_where_packets_wait, remove_files),
	    cmocka_unit_test_teardown(flush_writes_what_is_queued, remove_files),
	    cmocka_unit_test(flush_does_not_wait_for_ever),
	    cmocka_unit_test(gone_reader_ends_nothing),
	    cmocka_unit_test_teardown(full_disk_is_told_later, remove_files),
	    cmocka_unit_test_teardown(line_that_another_left_torn, remove_files),
	    cmocka_unit_test(syslog_gets_priorities),
	    cmocka_unit_test(threads_do_not_mix_lines),
	    cmocka_unit_test(queue_wraps_and_counts),
	};
	return cmocka_run_group_tests_name("log", tests, make_directory, remove_directory) != 0;
}
