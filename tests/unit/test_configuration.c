/*
 * Words and file, read by the keeper, told to a worker, and understood there as the same.
 */
#include "keeper/configuration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 16 };

static char path[] = "/tmp/test_configuration.XXXXXX";
static struct configuration configuration;
static struct letter letter;
static struct why why;
static char *argv[WORDS_MAX];

static int make_file(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd >= 0 && close(fd) == 0 ? 0 : -1;
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static int set_up(void **state)
{
	(void)state;
	letter = LETTER_NONE;
	configuration = (struct configuration){0};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	letter_clear(&letter);
	configuration_clear(&configuration);
	return 0;
}

static void write_file(const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* The words end with NULL. */
static enum options_answer read_words(const char *first, ...)
{
	va_list words;
	int argc = 0;
	static char program[] = "pptpproxy";
	argv[argc++] = program;
	va_start(words, first);
	for (const char *word = first; word; word = va_arg(words, const char *))
		argv[argc++] = (char *)(uintptr_t)word;
	va_end(words);
	argv[argc] = NULL;
	configuration_clear(&configuration);
	why.text[0] = '\0';
	return configuration_read(&configuration, argc, argv, &why);
}

static void words_alone_are_enough(void **state)
{
	(void)state;
	assert_int_equal(read_words("-p", "10.0.0.1", NULL), OPTIONS_RUN);
	assert_null(configuration.file);
	assert_null(configuration.path);
	assert_true(configuration.open_to_all);
	assert_int_equal(read_words("-p", "10.0.0.1", "-a", "10.0.0.0/8", NULL), OPTIONS_RUN);
	assert_false(configuration.open_to_all);
}

static void file_is_read_and_commands_are_found(void **state)
{
	(void)state;
	write_file("proxy 10.0.0.1\nacl-cmd true x\n");
	assert_int_equal(read_words("-n", "-c", path, NULL), OPTIONS_RUN);
	assert_string_equal(configuration.path, path);
	assert_int_equal(configuration.options.pair_count, 1);
	assert_false(configuration.open_to_all);
	assert_int_equal(configuration.options.commands[0].words[0][0], '/');
	assert_int_equal(read_words("-c", path, "--check", NULL), OPTIONS_CHECK);
	assert_int_equal(read_words("-c", path, "--doctor", NULL), OPTIONS_DOCTOR);
}

static void what_is_bad_is_named(void **state)
{
	(void)state;
	assert_int_equal(read_words("-p", "10.0.0.1", "-c", "/nonexistent/x", NULL), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "/nonexistent/x"));
	write_file("proxy 10.0.0.1\nnonsense 1\n");
	assert_int_equal(read_words("-c", path, NULL), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "nonsense"));
	write_file("proxy 10.0.0.1\nacl-cmd /nonexistent/command\n");
	assert_int_equal(read_words("-c", path, NULL), OPTIONS_BAD);
	assert_non_null(strstr(why.text, " line 2: command /nonexistent/command: "));
	assert_int_equal(read_words("-c", path, "-x", "true", NULL), OPTIONS_BAD);
	assert_non_null(strstr(why.text, " line 2: command /nonexistent/command: "));
	assert_int_equal(read_words("-c", path, "--check", NULL), OPTIONS_BAD);
	assert_int_equal(read_words("-c", path, "--doctor", NULL), OPTIONS_BAD);
	write_file("proxy 10.0.0.1\nacl-cmd true\n");
	assert_int_equal(read_words("-c", path, "-x", "/nonexistent/word", NULL), OPTIONS_BAD);
	assert_int_equal(strncmp(why.text, "command /nonexistent/word: ", 27), 0);
}

static void help_needs_no_file(void **state)
{
	(void)state;
	assert_int_equal(read_words("-c", "/nonexistent/x", "--help", NULL), OPTIONS_HELP);
	assert_int_equal(read_words("-c", "/nonexistent/x", "--version", NULL), OPTIONS_VERSION);
}

static void worker_has_the_same_as_its_keeper(void **state)
{
	(void)state;
	write_file("proxy 10.0.0.2\nacl-cmd true\nmax-calls 7\n");
	assert_int_equal(read_words("-n", "-p", "10.0.0.1", "-c", path, NULL), OPTIONS_RUN);
	assert_int_equal(configuration_tell(&configuration, argv, &letter, &why), 0);
	/* The file may be another one by now; the worker could not even read it. */
	write_file("nonsense\n");
	struct configuration told;
	assert_int_equal(configuration_receive(&told, &letter, &why), OPTIONS_RUN);
	assert_int_equal(told.options.pair_count, 2);
	assert_int_equal(told.options.pairs[0].peer.addr, configuration.options.pairs[0].peer.addr);
	assert_int_equal(told.options.pairs[1].peer.addr, configuration.options.pairs[1].peer.addr);
	assert_int_equal(told.options.max_calls, 7);
	assert_int_equal(told.options.command_count, 1);
	/* It asks the keeper, and looks for no commands. */
	assert_string_equal(told.options.commands[0].words[0], "true");
	assert_string_equal(told.path, path);
	configuration_clear(&told);
}

static void letter_of_bad_words_is_refused(void **state)
{
	char bad[] = "--nonsense", *words[] = {bad, bad, NULL};
	struct letter from = LETTER_NONE;
	struct configuration told;
	(void)state;
	from.words = words;
	from.word_count = 2;
	assert_int_equal(configuration_receive(&told, &from, &why), OPTIONS_BAD);
	assert_non_null(strstr(why.text, "nonsense"));
	configuration_clear(&told);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    CASE(words_alone_are_enough),
	    CASE(file_is_read_and_commands_are_found),
	    CASE(what_is_bad_is_named),
	    CASE(help_needs_no_file),
	    CASE(worker_has_the_same_as_its_keeper),
	    CASE(letter_of_bad_words_is_refused),
	};
	return cmocka_run_group_tests_name("configuration", tests, make_file, remove_file) != 0;
}
